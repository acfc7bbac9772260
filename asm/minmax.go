package asm

var minMaxF32 = pick[func([]float32) (float32, float32, int)]("minMaxF32", active)

// MinMaxF32 returns the least and the greatest number in x, and how many of
// its elements are NaN. NaN elements take no part in lo and hi; infinities do.
// With no number in x, lo is +Inf and hi is -Inf. Which of -0 and +0 stands
// for zero is unspecified.
func MinMaxF32(x []float32) (lo, hi float32, nan int) {
	readRange(x)
	whole := len(x) &^ 31
	lo, hi, nan = minMaxF32(x[:whole])
	l, h, n := minMaxF32Generic(x[whole:])
	return min(lo, l), max(hi, h), nan + n
}
