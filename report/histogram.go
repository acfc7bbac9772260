package report

import (
	"fmt"
	"html/template"
	"math"

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
	var kept, beyond []point
	top, width := 0.0, (to-from)/histogramBars
	for i, n := range rebin(h, from, to) {
		if n == 0 {
			continue
		}
		bar := point{from + float64(i)*width, math.Log1p(n)}
		if middle := bar.x + width/2; middle < low || middle > high {
			beyond = append(beyond, bar)
		} else {
			kept = append(kept, bar)
		}
		top = math.Max(top, bar.y)
	}
	d := &drawing{width: histogramWidth, height: histogramHeight, xLow: from, xHigh: to, yHigh: top}
	d.bars(kept, width, "fill:var(--accent)")
	d.bars(beyond, width, "fill:var(--cut)")
	for _, v := range []float64{low, high} {
		if v > from && v < to {
			d.line([]point{{v, 0}, {v, top}}, "stroke:var(--cut);stroke-width:1.5;stroke-dasharray:4 3")
		}
	}
	return d.svg(`class="histogram" preserveAspectRatio="none"`,
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
