package report

import (
	"fmt"
	"html/template"
	"math"

	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/narrow-ml/narrow/ptq"
)

// Size of a histogram's picture; the page stretches it.
const (
	histogramBars   = 64
	histogramWidth  = 256
	histogramHeight = 56
)

// histogramSVG draws a histogram with a logarithmic height over the range that
// was seen; what lies outside [low, high], and is cut off, has another colour.
func histogramSVG(h *ptq.Histogram, low, high float64) template.HTML {
	if h == nil || h.Count() == 0 {
		return ""
	}
	from, to := h.Range()
	from, to = math.Min(from, 0), math.Max(to, 0)
	if from == to {
		return ""
	}
	kept, beyond := &plotter.Polygon{Color: accentColor}, &plotter.Polygon{Color: cutColor}
	top, width := 0.0, (to-from)/histogramBars
	for i, n := range rebin(h, from, to) {
		if n == 0 {
			continue
		}
		x, y := from+float64(i)*width, math.Log1p(n)
		bars := kept
		if middle := x + width/2; middle < low || middle > high {
			bars = beyond
		}
		bars.XYs = append(bars.XYs, plotter.XYs{{X: x, Y: 0}, {X: x, Y: y}, {X: x + width, Y: y}, {X: x + width, Y: 0}})
		top = math.Max(top, y)
	}
	p := newPlot()
	p.Add(kept, beyond)
	for _, v := range []float64{low, high} {
		if v > from && v < to {
			p.Add(&plotter.Line{XYs: plotter.XYs{{X: v, Y: 0}, {X: v, Y: top}}, LineStyle: draw.LineStyle{Color: cutColor, Width: 1.5, Dashes: []vg.Length{4, 3}}})
		}
	}
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = from, to, 0, top
	return drawing(p, histogramWidth, histogramHeight, `class="histogram" preserveAspectRatio="none"`,
		fmt.Sprintf("histogram from %.4g to %.4g, kept from %.4g to %.4g", from, to, math.Max(low, from), math.Min(high, to)))
}

// rebin counts the values of h in equal parts of [from, to].
func rebin(h *ptq.Histogram, from, to float64) []float64 {
	bars := make([]float64, histogramBars)
	put := func(v, n float64) {
		i := int((v - from) / (to - from) * histogramBars)
		bars[min(max(i, 0), histogramBars-1)] += n
	}
	put(0, float64(h.Zeros()))
	pos, neg := h.Sides()
	for i, n := range pos {
		put((float64(i)+0.5)*h.Width(), float64(n))
	}
	for i, n := range neg {
		put(-(float64(i)+0.5)*h.Width(), float64(n))
	}
	return bars
}
