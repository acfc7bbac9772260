package asm

import "fmt"

type (
	binaryKernel = func(dst, a, b []float32)
	// mapKernel is a function of one number with up to two parameters.
	mapKernel = func(dst, x []float32, p, q float32)
)

var (
	addF32       = pick[binaryKernel]("addF32", active)
	subF32       = pick[binaryKernel]("subF32", active)
	mulF32       = pick[binaryKernel]("mulF32", active)
	divF32       = pick[binaryKernel]("divF32", active)
	maxF32       = pick[binaryKernel]("maxF32", active)
	minF32       = pick[binaryKernel]("minF32", active)
	affineF32    = pick[mapKernel]("affineF32", active)
	clampMapF32  = pick[mapKernel]("clampF32", active)
	leakyReluF32 = pick[mapKernel]("leakyReluF32", active)
	mulAddF32    = pick[func(dst, x, a, b []float32)]("mulAddF32", active)
)

// AddF32 sets dst[i] = a[i] + b[i]. Like all functions of two operands here it
// takes slices of the length of dst (it panics at others), and dst may be one
// of them; slices that overlap otherwise are not allowed.
func AddF32(dst, a, b []float32) { binary(addF32, dst, a, b) }

// SubF32 sets dst[i] = a[i] - b[i].
func SubF32(dst, a, b []float32) { binary(subF32, dst, a, b) }

// MulF32 sets dst[i] = a[i] * b[i].
func MulF32(dst, a, b []float32) { binary(mulF32, dst, a, b) }

// DivF32 sets dst[i] = a[i] / b[i], correctly rounded.
func DivF32(dst, a, b []float32) { binary(divF32, dst, a, b) }

// MaxF32 sets dst[i] to the greater of a[i] and b[i], and to NaN if either is
// NaN. Which of -0 and +0 is the greater is unspecified.
func MaxF32(dst, a, b []float32) { binary(maxF32, dst, a, b) }

// MinF32 sets dst[i] to the lesser of a[i] and b[i], and to NaN if either is
// NaN. Which of -0 and +0 is the lesser is unspecified.
func MinF32(dst, a, b []float32) { binary(minF32, dst, a, b) }

// AffineF32 sets dst[i] = x[i]*scale + shift, rounded once or twice.
func AffineF32(dst, x []float32, scale, shift float32) { unary(affineF32, dst, x, scale, shift) }

// ClampF32 sets dst[i] = min(max(x[i], lo), hi), and NaN for NaN: Relu is lo 0
// and hi +Inf.
func ClampF32(dst, x []float32, lo, hi float32) { unary(clampMapF32, dst, x, lo, hi) }

// LeakyReluF32 sets dst[i] = x[i] where it is not negative and alpha*x[i]
// elsewhere.
func LeakyReluF32(dst, x []float32, alpha float32) { unary(leakyReluF32, dst, x, alpha, 0) }

// ChannelAffineF32 sets dst[i*c+j] = x[i*c+j]*scale[j] + shift[j] for
// c = len(scale) = len(shift) channels, rounded once or twice. It panics unless
// dst and x are whole numbers of pixels of c channels.
func ChannelAffineF32(dst, x, scale, shift []float32) {
	c := len(scale)
	if len(shift) != c || c == 0 || len(x)%c != 0 {
		panic(fmt.Sprintf("asm: %d elements by %d scales and %d shifts", len(x), c, len(shift)))
	}
	checkMap(dst, x)
	readRange(scale)
	readRange(shift)
	for i := 0; i < len(x); i += c {
		mulAddF32(dst[i:i+c], x[i:i+c], scale, shift)
	}
}

func binary(kernel binaryKernel, dst, a, b []float32) {
	if len(a) != len(dst) || len(b) != len(dst) {
		panic(fmt.Sprintf("asm: operands of %d and %d elements for %d results", len(a), len(b), len(dst)))
	}
	readRange(a)
	readRange(b)
	writeRange(dst)
	kernel(dst, a, b)
}

func unary(kernel mapKernel, dst, x []float32, p, q float32) {
	checkMap(dst, x)
	kernel(dst, x, p, q)
}

func checkMap(dst, x []float32) {
	if len(x) != len(dst) {
		panic(fmt.Sprintf("asm: %d elements for %d results", len(x), len(dst)))
	}
	readRange(x)
	writeRange(dst)
}
