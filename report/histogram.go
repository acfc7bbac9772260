package report

import (
	"fmt"
	"html/template"
	"math"
	"strings"

	"github.com/narrow-ml/narrow/ptq"
)

// Size of a histogram's picture, in SVG units; the page scales it.
const (
	pictureBars   = 64
	pictureWidth  = 256
	pictureHeight = 56
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
	bars := rebin(h, from, to)
	top := 0.0
	for _, n := range bars {
		top = math.Max(top, math.Log1p(n))
	}
	at := func(v float64) float64 { return (v - from) / (to - from) * pictureWidth }
	var kept, cut strings.Builder
	for i, n := range bars {
		if n == 0 {
			continue
		}
		path, middle := &kept, from+(float64(i)+0.5)/pictureBars*(to-from)
		if middle < low || middle > high {
			path = &cut
		}
		y := pictureHeight * math.Log1p(n) / top
		const width = pictureWidth / pictureBars
		fmt.Fprintf(path, "M%d %dv-%.1fh%dv%.1fz", i*width, pictureHeight, y, width, y)
	}
	var svg strings.Builder
	fmt.Fprintf(&svg, `<svg viewBox="0 0 %d %d" preserveAspectRatio="none" role="img" aria-label="histogram from %.4g to %.4g, kept from %.4g to %.4g">`,
		pictureWidth, pictureHeight, from, to, math.Max(low, from), math.Min(high, to))
	fmt.Fprintf(&svg, `<path class="kept" d="%s"/><path class="cut" d="%s"/>`, kept.String(), cut.String())
	for _, v := range []float64{low, high} {
		if v > from && v < to {
			fmt.Fprintf(&svg, `<path class="clip" d="M%.1f 0v%d"/>`, at(v), pictureHeight)
		}
	}
	svg.WriteString("</svg>")
	return template.HTML(svg.String())
}

// rebin counts the values of h in equal parts of [from, to].
func rebin(h *ptq.Histogram, from, to float64) []float64 {
	bars := make([]float64, pictureBars)
	put := func(v, n float64) {
		i := int((v - from) / (to - from) * pictureBars)
		bars[min(max(i, 0), pictureBars-1)] += n
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
