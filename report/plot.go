package report

import (
	"bytes"
	"fmt"
	"html/template"
	"image/color"
	"math"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Colours of drawings. A page is light or dark, so each stands for one of the
// page's, put in its place by [drawing].
var (
	softColor   = color.RGBA{R: 1, A: 255}
	lineColor   = color.RGBA{R: 2, A: 255}
	accentColor = color.RGBA{R: 3, A: 255}
	cutColor    = color.RGBA{R: 4, A: 255}
)

var pageColors = strings.NewReplacer("#010000", "var(--soft)", "#020000", "var(--line)", "#030000", "var(--accent)", "#040000", "var(--cut)")

// newPlot returns an empty plot, without axes, on the page's ground.
func newPlot() *plot.Plot {
	p := plot.New()
	p.BackgroundColor = color.Transparent
	p.HideAxes()
	p.X.Padding, p.Y.Padding = 0, 0
	return p
}

// drawing returns a plot as an element of the page, w units wide and h high; attributes
// are those of the svg element.
func drawing(p *plot.Plot, w, h vg.Length, attributes, label string) template.HTML {
	c := vgsvg.New(w, h)
	p.Draw(draw.New(c))
	var b bytes.Buffer
	c.WriteTo(&b)                                // a buffer takes everything
	_, body, _ := strings.Cut(b.String(), "<g ") // what comes before makes a file of it
	return template.HTML(fmt.Sprintf(`<svg viewBox="0 0 %g %g" role="img" aria-label="%s" %s><g %s`,
		w.Points(), h.Points(), template.HTMLEscapeString(label), attributes, pageColors.Replace(body)))
}

// logAxis makes the vertical axis of p logarithmic, with a line at every power of ten,
// or of two where there are few of those.
func logAxis(p *plot.Plot, low, high float64) {
	p.Y.Min, p.Y.Max = low, high
	p.Y.Scale = plot.LogScale{}
	p.Y.Tick.Marker = plot.TickerFunc(powerTicks)
	p.Y.Tick.Label.Color, p.Y.LineStyle.Width, p.Y.Tick.Length = softColor, 0, 0
	p.Y.Tick.Label.Font.Variant, p.Y.Tick.Label.Font.Size = "Sans", 10
	p.Y.Tick.Label.XAlign = draw.XRight
	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
	grid.Horizontal.Color, grid.Horizontal.Width = lineColor, 1
	p.Add(grid)
}

// powerTicks returns two to six ticks at powers of ten, or of two.
func powerTicks(low, high float64) []plot.Tick {
	base := 10.0
	if high/low < 100 {
		base = 2
	}
	first, last := math.Ceil(math.Log(low)/math.Log(base)-1e-9), math.Floor(math.Log(high)/math.Log(base)+1e-9)
	step := math.Ceil((last - first + 1) / 6)
	var ticks []plot.Tick
	for e := first; e <= last; e += max(step, 1) {
		v := math.Pow(base, e)
		ticks = append(ticks, plot.Tick{Value: v, Label: fmt.Sprintf("%.3g", v)})
	}
	return ticks
}
