package asm

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// randomRequants returns one rescaling of each mode, for sums of some hundred thousands.
func randomRequants(t testing.TB, rng *rand.Rand, channels int) map[RequantMode]*Requant {
	t.Helper()
	scale, mul := make([]float32, channels), make([]int32, channels)
	shift, right := make([]uint8, channels), make([]int8, channels)
	grow := 0.0
	if rng.IntN(4) == 0 { // products beyond int32
		grow = 14
	}
	for c := range channels {
		scale[c] = float32(math.Exp(min(-8+2*rng.NormFloat64(), -0.1) + grow))
		mul[c], shift[c] = rng.Int32(), uint8(35+rng.IntN(10))
		right[c] = int8(rng.IntN(20))
	}
	out := make(map[RequantMode]*Requant)
	lo := uint8(rng.IntN(100))
	for mode := ByFloat; mode <= ByShift; mode++ {
		var err error
		zero, lo, hi := uint8(rng.IntN(256)), lo, 200+uint8(rng.IntN(56))
		if rng.IntN(3) == 0 { // for which kernels have a shorter way
			zero, lo, hi = 0, 0, 255
		}
		switch mode {
		case ByFloat:
			out[mode], err = RequantByFloat(scale, zero, lo, hi)
		case ByMultiplier:
			out[mode], err = RequantByMultiplier(mul, shift, zero, lo, hi)
		case ByShift:
			out[mode], err = RequantByShift(right, zero, lo, hi)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// requantOne requantizes one pixel by the references.
func requantOne(r *Requant, dst []uint8, src []int32) {
	r.rowsBy(&requantGeneric, &requantArgs{dst: dst, src: src, pixels: 1, channels: r.channels}, 0)
}

// requantEdges are sums around which rounding, saturation and overflow go wrong.
func requantEdges(rng *rand.Rand, n int) []int32 {
	out := make([]int32, n)
	for i := range out {
		switch rng.IntN(6) {
		case 0:
			out[i] = math.MaxInt32 - int32(rng.IntN(3))
		case 1:
			out[i] = math.MinInt32 + int32(rng.IntN(3))
		case 2:
			out[i] = int32(1)<<rng.IntN(31) + int32(rng.IntN(3)) - 1
		case 3:
			out[i] = -(int32(1) << rng.IntN(31)) + int32(rng.IntN(3)) - 1
		case 4:
			out[i] = int32(rng.Uint32())
		default:
			out[i] = int32(rng.IntN(2001) - 1000)
		}
	}
	return out
}

// TestRequantReference compares the references with arbitrary precision.
func TestRequantReference(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		const channels = 9
		src, got := requantEdges(rng, channels), make([]uint8, channels)
		for mode, r := range randomRequants(t, rng, channels) {
			requantOne(r, got, src)
			for c, v := range src {
				want := exactRequant(r, mode, c, v)
				if got[c] != want {
					t.Fatalf("mode %d of %d by %v: got %d, want %d", mode, v, r, got[c], want)
				}
			}
		}
	}
}

func exactRequant(r *Requant, mode RequantMode, c int, v int32) uint8 {
	var q *big.Int
	if mode == ByFloat {
		x := new(big.Float).SetPrec(200).SetFloat64(math.RoundToEven(float64(float32(v) * r.scale[c])))
		q, _ = x.Int(nil)
	} else {
		q = new(big.Int).Mul(big.NewInt(int64(v)), big.NewInt(int64(r.mul[c])))
		if n := uint(r.shift[c]); n > 0 {
			q.Add(q, new(big.Int).Lsh(big.NewInt(1), n-1))
			q.Rsh(q, n)
		}
	}
	q.Add(q, big.NewInt(int64(r.zero)))
	if q.Cmp(big.NewInt(int64(r.lo))) < 0 {
		return uint8(r.lo)
	}
	if q.Cmp(big.NewInt(int64(r.hi))) > 0 {
		return uint8(r.hi)
	}
	return uint8(q.Int64())
}

func TestRequantize(t *testing.T) {
	forEachKernel(t, "requantize", func(t *testing.T, k *requantKernels, _ int) {
		rng := rand.New(rand.NewPCG(2, 2))
		for channels := 1; channels <= 70; channels++ {
			for _, r := range randomRequants(t, rng, channels) {
				pixels := 1 + rng.IntN(9)
				dstStep, srcStep := channels+rng.IntN(3), (channels+15)/16*16
				missing := rng.IntN(2) * (srcStep - channels)
				src, _ := guardedCopies(t, requantEdges(rng, pixels*srcStep-missing))
				atEnd, atStart := guarded[uint8](t, (pixels-1)*dstStep+channels)
				want := make([]uint8, len(atEnd))
				args := requantArgs{src: src, dstStep: dstStep, srcStep: srcStep, pixels: pixels, channels: channels}
				args.dst = want
				generic := args
				r.rowsBy(&requantGeneric, &generic, 0)
				for _, dst := range [][]uint8{atEnd, atStart} {
					again := args
					again.dst = dst
					r.rowsBy(k, &again, 0)
					if string(dst) != string(want) {
						t.Fatalf("%d channels by %+v: got %v, want %v", channels, r, dst, want)
					}
				}
			}
		}
	})
}

func TestRequantErrors(t *testing.T) {
	nan := float32(math.NaN())
	for i, err := range []error{
		second(RequantByFloat(nil, 0, 0, 255)),
		second(RequantByFloat([]float32{nan}, 0, 0, 255)),
		second(RequantByFloat([]float32{1}, 0, 9, 8)),
		second(RequantByMultiplier([]int32{1}, []uint8{63}, 0, 0, 255)),
		second(RequantByMultiplier([]int32{1, 2}, []uint8{3}, 0, 0, 255)),
		second(RequantByShift([]int8{-31}, 0, 0, 255)),
		second(RequantByShift([]int8{32}, 0, 0, 255)),
	} {
		if err == nil {
			t.Errorf("case %d: no error", i)
		}
	}
}

func TestRequantApply(t *testing.T) {
	r, err := RequantByShift([]int8{0, 1, -2}, 10, 0, 255)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]uint8, 6)
	r.Apply(got, []int32{5, 5, 5, -3, -3, -3})
	if want := []uint8{15, 13, 30, 7, 9, 0}; string(got) != string(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
