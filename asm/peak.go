package asm

import "time"

// Peak measures how many arithmetic operations a second one core does at most:
// multiplications and additions of float32, and of bytes with 32-bit sums, in
// loops that touch no memory. It takes some milliseconds. A number is 0 where
// this build has no loop for the active tier.
func Peak() (float, integer float64) {
	f, perF := peakFloat(active)
	i, perI := peakInteger(active)
	return operationsPerSecond(f, perF), operationsPerSecond(i, perI)
}

// peakRounds is how often a measured loop goes round: less than a millisecond.
const peakRounds = 100_000

// operationsPerSecond times loops of so many operations a round: the fastest of several.
func operationsPerSecond(loop func(n int), operations int) float64 {
	if loop == nil {
		return 0
	}
	best := time.Duration(1 << 62)
	for range 10 {
		start := time.Now()
		loop(peakRounds)
		best = min(best, time.Since(start))
	}
	return float64(peakRounds) * float64(operations) / best.Seconds()
}
