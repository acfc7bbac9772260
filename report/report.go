// Package report shows what quantization did to a network, for people who must
// decide whether it is good enough.
package report

import (
	"cmp"
	_ "embed" // the page
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
}

// content is a page and what is worked out for it.
type content struct {
	Page
	Classifier              bool // its Agreements are numbers
	Verdict                 string
	Advice                  []string
	StepRows                []StepRow
	StepsLow, StepsHigh     float64 // the ends of the steps' axis, dB
	Balances, MoreBalances  []Balance
	Unbalanced              string // why no channels were balanced
	Refused                 []Note // pairs that cannot be
	WorstFirst, MoreTensors []Row
	FloatNodes, RaisedNodes []Note
}

// Option is a choice that was made.
type Option struct{ Name, Value string }

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

//go:embed page.html
var pageText string

var page = template.Must(template.New("report").Funcs(template.FuncMap{
	"size":    sizeText,
	"number":  func(v float64) string { return fmt.Sprintf("%.4g", v) },
	"decibel": decibelText,
	"percent": percentText,
	"bar":     barWidth,
	"times":   timesText,
}).Parse(pageText))

// WriteHTML writes the report as one HTML file that needs nothing else: no
// network, no script.
func WriteHTML(w io.Writer, p Page) error {
	c := content{Page: p, Classifier: !math.IsNaN(p.Agreement), Verdict: verdict(p), Unbalanced: unbalanced(p.Result.Equalization)}
	c.StepRows, c.StepsLow, c.StepsHigh = stepRows(p.Steps)
	c.Balances, c.MoreBalances = balances(p.Result.Equalization)
	if e := p.Result.Equalization; e != nil {
		c.Refused = notes(e.Refused)
	}
	c.WorstFirst = rows(p.Result.Tensors)
	c.Advice = advice(c)
	if len(c.WorstFirst) > shownTensors {
		c.WorstFirst, c.MoreTensors = c.WorstFirst[:shownTensors], c.WorstFirst[shownTensors:]
	}
	c.FloatNodes = notes(p.Result.Float)
	for _, name := range p.Result.Raised {
		c.RaisedNodes = append(c.RaisedNodes, Note{Node: name})
	}
	return page.Execute(w, c)
}

// shownTensors is how many tensors are shown before the reader asks for the others.
const shownTensors = 20

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
