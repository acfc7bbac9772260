// Package report shows what quantization did to a network, for people who must
// decide whether it is good enough.
package report

import (
	"cmp"
	"crypto/sha256"
	_ "embed" // the page
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"maps"
	"math"
	"slices"

	"github.com/narrow-ml/narrow/ptq"
)

// Page is what one report says. Sizes are in bytes, percentages 0..100.
type Page struct {
	Model, Output         string // names of the files
	ModelSize, OutputSize int64
	Inputs                int     // that were calibrated on
	Seconds               float64 // from reading the model to the written file
	PeakRSS               int64
	IntegerMACs           float64 // share of the multiply-accumulates that are done on integers
	Measured              int     // inputs that Agreement, SQNR and Variants were measured on
	Agreement             float64 // of the classes with fp32; NaN if the network is no classifier
	SQNR                  float64 // of the outputs against fp32, dB; +Inf if they are identical
	Options               []Option
	Steps                 []Step // of the pipeline, each with all before it; the last is what was written
	Variants              []Variant
	Result                *ptq.Report
	Version, Tier, Rerun  string // of narrow; the processor tier; the command line

	Network               []Node   // in the order of the graph; nil if it is not known
	Check                 *Check   // on other inputs, or on those that were measured on; nil for none
	Front                 []Point  // of a search for a target
	Latency, LatencyFloat float64  // milliseconds for one input; 0 if they were not measured
	Threads               int      // that they were measured with
	Record                []Option // hashes, dates, versions
}

// Point is one network that a search for a target looked at.
type Point struct {
	ptq.Point
	Command string
}

// content is a page and what is worked out for it.
type content struct {
	Page
	Classifier              bool // its Agreements are numbers
	Verdict                 string
	Advice                  []Advice
	Winner                  string // the variant that is clearly better than what was written
	ChangedOptions          []Option
	Picture                 template.HTML // of the network
	Layers, MoreLayers      []Node
	LayerCount              int
	Weights, MoreWeights    []WeightRow
	WeightCount             int
	Script                  template.JS
	ScriptHash              string
	StepRows                []StepRow
	StepsLow, StepsHigh     float64 // the ends of the steps' axis, dB
	Balances, MoreBalances  []Balance
	Unbalanced              string // why no channels were balanced
	Refused                 []Note // pairs that cannot be
	WorstFirst, MoreTensors []Row
	FloatNodes, RaisedNodes []Note
}

// Option is a choice that was made.
type Option struct {
	Name, Value string
	Default     string // "" if it is not known
}

// Variant is the same network quantized with one choice changed.
type Variant struct {
	Name      string
	SQNR      float64
	Agreement float64
}

// Note is a remark on a node.
type Note struct{ Node, Text string }

// Row is a line of the table of tensors.
type Row struct {
	ptq.TensorReport
	Low, High float64 // the least and greatest value that the integers can hold
	Picture   template.HTML
}

// WeightRow is a line of the table of weights.
type WeightRow struct {
	ptq.WeightReport
	Worst         float64 // of the channels, dB
	Picture, Bars template.HTML
}

//go:embed page.html
var pageText string

//go:embed page.js
var script string

var page = template.Must(template.New("report").Funcs(template.FuncMap{
	"size":    sizeText,
	"number":  func(v float64) string { return fmt.Sprintf("%.4g", v) },
	"decibel": decibelText,
	"percent": percentText,
	"bar":     barWidth,
	"times":   timesText,

	"nan":          math.IsNaN,
	"milliseconds": func(v float64) string { return fmt.Sprintf("%.3g ms", v) },
	"sortable":     sortable,
}).Parse(pageText))

// WriteHTML writes the report as one HTML file that needs nothing else. A script in it sorts, searches and zooms; the page
// allows this one and no other, and shows everything without it.
func WriteHTML(w io.Writer, p Page) error {
	c := content{Page: p, Classifier: !math.IsNaN(p.Agreement), Verdict: verdict(p), Unbalanced: unbalanced(p.Result.Equalization)}
	c.StepRows, c.StepsLow, c.StepsHigh = stepRows(p.Steps)
	c.Balances, c.MoreBalances = balances(p.Result.Equalization)
	if e := p.Result.Equalization; e != nil {
		c.Refused = notes(e.Refused)
	}
	c.WorstFirst = rows(p.Result.Tensors)
	c.Advice = advice(c)
	c.WorstFirst, c.MoreTensors = split(c.WorstFirst)
	c.Winner, c.ChangedOptions = winner(p), changedOptions(p.Options)
	c.Picture = networkSVG(p.Network)
	c.Layers = byEffect(p.Network)
	c.LayerCount = len(c.Layers)
	c.Layers, c.MoreLayers = split(c.Layers)
	c.Weights = weightRows(p.Result.Weights)
	c.WeightCount = len(c.Weights)
	c.Weights, c.MoreWeights = split(c.Weights)
	hash := sha256.Sum256([]byte(script))
	c.Script, c.ScriptHash = template.JS(script), base64.StdEncoding.EncodeToString(hash[:])
	c.FloatNodes = notes(p.Result.Float)
	for _, name := range p.Result.Raised {
		c.RaisedNodes = append(c.RaisedNodes, Note{Node: name})
	}
	return page.Execute(w, c)
}

// shownRows is how many lines of a table are shown before the reader asks for the others.
const shownRows = 20

// split returns the first lines of a table and the others.
func split[T any](rows []T) (first, others []T) {
	n := min(len(rows), shownRows)
	return rows[:n], rows[n:]
}

// winner returns the best of the variants if it is clearly better than what was written.
func winner(p Page) string {
	if best := bestVariant(p); best != nil {
		return best.Name
	}
	return ""
}

func changedOptions(all []Option) []Option {
	var changed []Option
	for _, o := range all {
		if o.Default != "" && o.Value != o.Default {
			changed = append(changed, o)
		}
	}
	return changed
}

// byEffect returns the nodes, those with the strongest effect on the outputs first and those of which it is not known last.
func byEffect(nodes []Node) []Node {
	all := slices.Clone(nodes)
	slices.SortStableFunc(all, func(a, b Node) int { return cmp.Compare(sortable(a.Effect()), sortable(b.Effect())) })
	return all
}

// sortable returns a number of decibels that sorts what is exact behind numbers, and what is not known behind that.
func sortable(db float64) float64 {
	switch {
	case math.IsInf(db, 1):
		return 1e6
	case math.IsInf(db, -1):
		return -1e6
	case math.IsNaN(db):
		return 2e6
	}
	return db
}

// weightRows returns the weights, those with the least SQNR first.
func weightRows(weights []ptq.WeightReport) []WeightRow {
	var all []WeightRow
	for _, w := range weights {
		r := WeightRow{WeightReport: w, Worst: math.Inf(1), Picture: histogramSVG(w.Histogram, math.Inf(-1), math.Inf(1)), Bars: barsSVG(w.Channels)}
		for _, db := range w.Channels {
			if !math.IsNaN(db) {
				r.Worst = math.Min(r.Worst, db)
			}
		}
		all = append(all, r)
	}
	slices.SortStableFunc(all, func(a, b WeightRow) int { return cmp.Compare(sortable(a.Worst), sortable(b.Worst)) })
	return all
}

// Sizes of the picture of channels, and its axis in dB.
const (
	barsWidth, barsHeight = 192, 36
	mostBars              = 192
	barsTop               = 60
)

// barsSVG draws the SQNR of channels, those that show in the accuracy in another colour. Of several in one bar it is the worst.
func barsSVG(channels []float64) template.HTML {
	n := min(len(channels), mostBars)
	if n == 0 {
		return ""
	}
	var good, bad []point
	for i := range n {
		worst := math.Inf(1)
		for _, db := range channels[i*len(channels)/n : (i+1)*len(channels)/n] {
			if !math.IsNaN(db) {
				worst = math.Min(worst, db)
			}
		}
		bar := point{float64(i) / float64(n), math.Min(math.Max(worst, 0), barsTop)}
		if worst < badOutputs {
			bad = append(bad, bar)
		} else {
			good = append(good, bar)
		}
	}
	d := &drawing{width: barsWidth, height: barsHeight, xHigh: 1, yHigh: barsTop}
	d.bars(good, 0.8/float64(n), "fill:var(--accent)")
	d.bars(bad, 0.8/float64(n), "fill:var(--cut)")
	return d.svg(`class="bars" preserveAspectRatio="none"`, fmt.Sprintf("SQNR of %d channels", len(channels)))
}

// rows returns the tensors, that with the least SQNR first.
func rows(tensors []ptq.TensorReport) []Row {
	all := make([]Row, len(tensors))
	for i, t := range tensors {
		low, high := levels(t)
		all[i] = Row{t, low, high, histogramSVG(t.Histogram, low, high)}
	}
	slices.SortStableFunc(all, func(a, b Row) int { return cmp.Compare(a.SQNR, b.SQNR) })
	return all
}

// Step returns the scale with the precision that a page shows.
func (r Row) Step() float64 { return float64(r.Scale) }

// levels returns the least and greatest value that a tensor's integers can hold.
func levels(t ptq.TensorReport) (low, high float64) {
	least, greatest := 0, 1<<t.Bits-1
	if !t.Unsigned {
		least, greatest = -1<<(t.Bits-1), 1<<(t.Bits-1)-1
	}
	return float64(least-t.Zero) * float64(t.Scale), float64(greatest-t.Zero) * float64(t.Scale)
}

func notes(byNode map[string]string) []Note {
	var all []Note
	for _, name := range slices.Sorted(maps.Keys(byNode)) {
		all = append(all, Note{name, byNode[name]})
	}
	return all
}

func sizeText(n int64) string {
	switch {
	case n < 1_000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 1_000_000_000:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.2f GB", float64(n)/1e9)
}

func decibelText(db float64) string {
	switch {
	case math.IsInf(db, 1):
		return "exact"
	case math.IsNaN(db):
		return "–"
	}
	return fmt.Sprintf("%.1f dB", db)
}

func percentText(v float64) string {
	if math.IsNaN(v) {
		return "–"
	}
	return fmt.Sprintf("%.1f %%", v)
}

// timesText writes a ratio.
func timesText(v float64) string {
	if v < 10 {
		return fmt.Sprintf("%.1f×", v)
	}
	return fmt.Sprintf("%.0f×", v)
}

// barWidth returns the length of a bar for an SQNR, in percent: full at 60 dB.
func barWidth(db float64) float64 {
	if math.IsInf(db, 1) {
		return 100
	}
	if !(db > 0) {
		return 0
	}
	return min(100, db/60*100)
}
