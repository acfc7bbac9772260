package report

import (
	"fmt"
	"html/template"
	"math"
	"strings"
)

// drawing is a picture of the page: paths in the page's colours over a plane whose y grows upwards.
type drawing struct {
	width, height float64 // of the picture
	left          float64 // of it, for the labels of the vertical axis
	xLow, xHigh   float64 // what the plane shows
	yLow, yHigh   float64
	logarithmic   bool // the vertical axis
	out           strings.Builder
}

// x and y return where a point of the plane is in the picture.
func (d *drawing) x(v float64) float64 {
	return d.left + (v-d.xLow)/(d.xHigh-d.xLow)*(d.width-d.left)
}

func (d *drawing) y(v float64) float64 {
	low, high := d.yLow, d.yHigh
	if d.logarithmic {
		v, low, high = math.Log(v), math.Log(low), math.Log(high)
	}
	return d.height * (1 - (v-low)/(high-low))
}

// point is a place in the plane.
type point struct{ x, y float64 }

// line draws a path through points in a style of the page.
func (d *drawing) line(points []point, style string) {
	d.out.WriteString(`<path d="`)
	for i, p := range points {
		fmt.Fprintf(&d.out, "%c%.1f %.1f", "ML"[min(i, 1)], d.x(p.x), d.y(p.y))
	}
	fmt.Fprintf(&d.out, `" style="fill:none;%s"/>`, style)
}

// bars draws boxes that stand on the lower edge, each from x to x+width and as high as y says.
func (d *drawing) bars(tops []point, width float64, style string) {
	if len(tops) == 0 {
		return
	}
	d.out.WriteString(`<path d="`)
	for _, t := range tops {
		x := d.x(t.x)
		fmt.Fprintf(&d.out, "M%.1f %.1fV%.1fH%.1fV%.1fZ", x, d.height, d.y(t.y), d.x(t.x+width), d.height)
	}
	fmt.Fprintf(&d.out, `" style="%s"/>`, style)
}

// powerAxis draws lines at powers of ten, or of two where there are few of those, with what they stand for.
func (d *drawing) powerAxis() {
	for _, v := range powers(d.yLow, d.yHigh) {
		y := d.y(v)
		fmt.Fprintf(&d.out, `<path d="M%.1f %.1fH%.1f" style="stroke:var(--line)"/>`, d.left, y, d.width)
		fmt.Fprintf(&d.out, `<text x="%.1f" y="%.1f" style="fill:var(--soft);font:10px sans-serif;text-anchor:end">%.3g</text>`, d.left-4, y+3, v)
	}
}

// svg returns the picture as an element of the page; attributes are those of the svg element.
func (d *drawing) svg(attributes, label string) template.HTML {
	return template.HTML(fmt.Sprintf(`<svg viewBox="0 0 %g %g" role="img" aria-label="%s" %s>%s</svg>`,
		d.width, d.height, template.HTMLEscapeString(label), attributes, d.out.String()))
}

// powers returns two to six powers of ten, or of two, between low and high.
func powers(low, high float64) []float64 {
	base := 10.0
	if high/low < 100 {
		base = 2
	}
	first, last := math.Ceil(math.Log(low)/math.Log(base)-1e-9), math.Floor(math.Log(high)/math.Log(base)+1e-9)
	step := math.Ceil((last - first + 1) / 6)
	var all []float64
	for e := first; e <= last; e += max(step, 1) {
		all = append(all, math.Pow(base, e))
	}
	return all
}
