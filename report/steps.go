package report

import (
	"fmt"
	"math"
)

// Step is a network that was built with the choices up to this one.
type Step struct {
	Name, What string  // the option, and what it does; no option for the first step
	SQNR       float64 // of the outputs against fp32, dB; +Inf if they are identical
	Agreement  float64 // of the classes, percent; NaN if the network is no classifier
}

// StepRow is a line of the table of steps. Its bar reaches from the SQNR before the
// step to that after it, on an axis that all rows share; places are in percent.
type StepRow struct {
	Step
	First       bool
	Change      string // in dB
	Left, Width float64
	Worse       bool
}

// stepRows returns the table's lines and the ends of its axis, in dB.
func stepRows(steps []Step) (rows []StepRow, low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, s := range steps {
		if !math.IsInf(s.SQNR, 0) && !math.IsNaN(s.SQNR) {
			low, high = math.Min(low, s.SQNR), math.Max(high, s.SQNR)
		}
	}
	if low > high { // all are exact
		low, high = 0, 0
	}
	low, high = math.Floor(low-0.5), math.Ceil(high+0.5)
	at := func(db float64) float64 {
		if math.IsNaN(db) {
			return 0
		}
		return 100 * min(max((db-low)/(high-low), 0), 1)
	}
	for i, s := range steps {
		r := StepRow{Step: s, First: i == 0, Left: at(s.SQNR)}
		if i > 0 {
			from := steps[i-1].SQNR
			r.Change, r.Worse = changeText(from, s.SQNR), s.SQNR < from-noChange
			r.Left = min(at(from), at(s.SQNR))
			r.Width = max(at(from), at(s.SQNR)) - r.Left
		}
		rows = append(rows, r)
	}
	return rows, low, high
}

// noChange is how many dB less than which are written as none.
const noChange = 0.05

// changeText writes the difference between two SQNRs.
func changeText(from, to float64) string {
	d := to - from
	switch {
	case from == to || math.Abs(d) < noChange: // equal if both are infinite
		return "0.0 dB"
	case math.IsInf(d, 0) || math.IsNaN(d):
		return "–"
	}
	return fmt.Sprintf("%+.1f dB", d)
}
