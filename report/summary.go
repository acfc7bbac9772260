package report

import (
	"fmt"
	"math"
	"strings"

	"github.com/narrow-ml/narrow/ptq"
)

// Summary is what became of a network, as JSON has it.
type Summary struct {
	NodesQuantized int               `json:"nodes_quantized"`
	NodesFloat     int               `json:"nodes_float"`
	Float          map[string]string `json:"float,omitempty"`               // why a node stays in float, by its name
	Target         string            `json:"target,omitempty"`              // of --for
	TargetIntegers *float64          `json:"target_integer_macs,omitempty"` // percent of the multiply-accumulates that it computes on integers
	*Quality                         // nil if nothing was measured
}

// Summarize returns what became of a network.
func Summarize(q *ptq.Result) Summary {
	s := Summary{NodesQuantized: q.Nodes, NodesFloat: len(q.Float), Float: q.Float, Quality: QualityOf(q)}
	if q.Target != nil {
		s.Target, s.TargetIntegers = q.Target.Target, &q.Target.Integer
	}
	return s
}

// Quality is how good a network is, as JSON has it.
type Quality struct {
	SQNR      *float64        `json:"sqnr_db"`   // least of any output or part of one; null if they are equal
	Spread    float64         `json:"spread_db"` // standard error of that
	Agreement *float64        `json:"agreement"` // percent; null without classes
	Measured  int             `json:"measured_inputs"`
	HeldBack  bool            `json:"held_back"`
	Verdict   string          `json:"verdict"`
	Outputs   []OutputQuality `json:"outputs"`
	Mends     []ptq.Mend      `json:"mends,omitempty"`
	Warnings  []string        `json:"warnings,omitempty"`
	Search    *ptq.Search     `json:"search,omitempty"` // of --target
}

// OutputQuality is one output, or a part of one.
type OutputQuality struct {
	Name string   `json:"name"`
	SQNR *float64 `json:"sqnr_db"`
}

// QualityOf returns nil if nothing was measured.
func QualityOf(q *ptq.Result) *Quality {
	m := q.Measured
	if m == nil {
		return nil
	}
	r := &Quality{
		SQNR: number(m.Least), Spread: m.Spread, Agreement: number(m.Agreement), Measured: m.Inputs, HeldBack: m.HeldBack, Verdict: m.Verdict(),
		Mends: q.Mends, Warnings: q.Warnings, Search: q.Search,
	}
	for _, o := range m.Outputs {
		r.Outputs = append(r.Outputs, OutputQuality{o.Name, number(o.SQNR)})
		for _, p := range o.Parts {
			r.Outputs = append(r.Outputs, OutputQuality{PartName(o.Name, p), number(p.SQNR)})
		}
	}
	return r
}

// number returns what JSON has for v: null for what is no finite number.
func number(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

// PartName writes a part as y[:,4:6].
func PartName(output string, p ptq.Part) string {
	return fmt.Sprintf("%s[%s%d:%d]", output, strings.Repeat(":,", p.Axis), p.From, p.To)
}
