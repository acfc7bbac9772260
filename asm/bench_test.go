package asm

import (
	"testing"
	"time"
)

// bestRate reports the mean and the best rate of a benchmark: the best stands
// still while other work comes and goes on the machine.
type bestRate struct {
	b    *testing.B
	best time.Duration
}

func newBestRate(b *testing.B) *bestRate { return &bestRate{b: b, best: 1 << 62} }

// time runs one iteration.
func (r *bestRate) time(iteration func()) {
	start := time.Now()
	iteration()
	r.best = min(r.best, time.Since(start))
}

// report reports operations per iteration as rates.
func (r *bestRate) report(ops float64) { r.reportAs("GOP/s", ops) }

// reportAs reports work per iteration, in billions a second of the unit.
func (r *bestRate) reportAs(unit string, work float64) {
	r.b.ReportMetric(work*float64(r.b.N)/r.b.Elapsed().Seconds()/1e9, unit)
	r.b.ReportMetric(work/r.best.Seconds()/1e9, "best-"+unit)
	r.b.ReportMetric(float64(r.best.Nanoseconds()), "best-ns/op")
}
