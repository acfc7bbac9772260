package asm

import (
	"runtime"
	"testing"
	"time"
)

// bestRate reports the mean and the best rate of a benchmark: the best stands
// still while other work comes and goes on the machine. An iteration that was
// interrupted counts by the processor time it took.
type bestRate struct {
	b       *testing.B
	best    time.Duration
	threads bool // an iteration runs on other threads too: its processor time is not known
}

func newBestRate(b *testing.B) *bestRate {
	runtime.LockOSThread() // until the benchmark's goroutine ends: threadTime is that of one thread
	return &bestRate{b: b, best: 1 << 62}
}

// time runs one iteration.
func (r *bestRate) time(iteration func()) {
	start, used := time.Now(), threadTime()
	iteration()
	elapsed := time.Since(start)
	if used > 0 && !r.threads {
		elapsed = min(elapsed, threadTime()-used)
	}
	r.best = min(r.best, elapsed)
}

// report reports operations per iteration as rates.
func (r *bestRate) report(ops float64) { r.reportAs("GOP/s", ops) }

// reportAs reports work per iteration, in billions a second of the unit.
func (r *bestRate) reportAs(unit string, work float64) {
	r.b.ReportMetric(work*float64(r.b.N)/r.b.Elapsed().Seconds()/1e9, unit)
	r.b.ReportMetric(work/r.best.Seconds()/1e9, "best-"+unit)
	r.b.ReportMetric(float64(r.best.Nanoseconds()), "best-ns/op")
}
