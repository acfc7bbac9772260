package asm

var (
	expF32       = pick[mapKernel]("expF32", active)
	sigmoidF32   = pick[mapKernel]("sigmoidF32", active)
	tanhF32      = pick[mapKernel]("tanhF32", active)
	erfF32       = pick[mapKernel]("erfF32", active)
	geluF32      = pick[mapKernel]("geluF32", active)
	hardSwishF32 = pick[mapKernel]("hardSwishF32", active)
	sumF32       = pick[func(x []float32) float32]("sumF32", active)
	sumSqF32     = pick[func(x []float32, center float32) float32]("sumSquaresF32", active)
)

// ExpF32 sets dst[i] = e^x[i] within 2 units in the last place; overflow gives
// +Inf, results below the least normal number may be flushed to 0. Like all functions
// of one operand here it takes slices of one length (it panics otherwise), and
// dst may be x. NaN gives NaN.
func ExpF32(dst, x []float32) { unary(expF32, dst, x, 0, 0) }

// SigmoidF32 sets dst[i] = 1/(1+e^-x[i]) within 4 units in the last place;
// results below the least normal number may be flushed to 0.
func SigmoidF32(dst, x []float32) { unary(sigmoidF32, dst, x, 0, 0) }

// TanhF32 sets dst[i] to the hyperbolic tangent of x[i] within 4 units in the
// last place.
func TanhF32(dst, x []float32) { unary(tanhF32, dst, x, 0, 0) }

// ErfF32 sets dst[i] to the error function of x[i] within 4 units in the last
// place.
func ErfF32(dst, x []float32) { unary(erfF32, dst, x, 0, 0) }

// GeluF32 sets dst[i] = x[i]/2 * (1 + erf(x[i]/sqrt(2))) within 2^-23 or, if that is more,
// 2 units in the last place; 0 for minus infinity.
func GeluF32(dst, x []float32) { unary(geluF32, dst, x, 0, 0) }

// HardSwishF32 sets dst[i] = x[i] * min(max(x[i]/6 + 1/2, 0), 1), within 4
// units in the last place of the larger of x[i]*x[i]/6 and x[i]/2.
func HardSwishF32(dst, x []float32) { unary(hardSwishF32, dst, x, 0, 0) }

// SumF32 returns the sum of x: 64 sums of every 64th element, then halves of
// them added until one is left, the same on every tier.
func SumF32(x []float32) float32 {
	readRange(x)
	return sumF32(x)
}

// MeanF32 returns the mean of x, which has at least one element.
func MeanF32(x []float32) float32 { return SumF32(x) / float32(len(x)) }

// SumSquaresF32 returns the sum of (x[i]-center)², in the order of [SumF32].
func SumSquaresF32(x []float32, center float32) float32 {
	readRange(x)
	return sumSqF32(x, center)
}

// SoftmaxF32 sets each row of c elements of dst to e^(x-max)/sum of the
// row of x. dst may be x. A row with NaN, or with no finite number, is NaN.
func SoftmaxF32(dst, x []float32, c int) {
	checkMap(dst, x)
	for ; len(x) >= c && c > 0; dst, x = dst[c:], x[c:] {
		row := dst[:c]
		_, largest, _ := MinMaxF32(x[:c])
		affineF32(row, x[:c], 1, -largest)
		expF32(row, row, 0, 0)
		affineF32(row, row, 1/sumF32(row), 0)
	}
}
