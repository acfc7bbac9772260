package c

import (
	"math/rand/v2"
	"testing"

	"github.com/narrow-ml/narrow/program"
	"github.com/narrow-ml/narrow/tensor"
)

// TestOverlap goes over random windows from the first pixel to the last and back: with the distance that lag or lead
// gives nothing is written that is still to be read, and with one byte less something is.
func TestOverlap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	between := func(lo, hi int) int { return lo + rng.IntN(hi-lo+1) }
	for range 500 {
		var g program.Geometry
		in := &program.Tensor{H: between(1, 9), W: between(1, 9), C: between(1, 6), DType: tensor.Uint8}
		out := &program.Tensor{C: between(1, 12), DType: tensor.Uint8}
		size := [2]*int{&out.H, &out.W}
		before := [2]*int{&g.Pad.Top, &g.Pad.Left}
		for d, n := range []int{in.H, in.W} {
			g.Kernel[d], g.Stride[d], g.Dilation[d] = between(1, min(4, n)), between(1, 3), 1
			*before[d] = rng.IntN(g.Kernel[d])
			*size[d] = (n+*before[d]+rng.IntN(g.Kernel[d])-g.Kernel[d])/g.Stride[d] + 1
		}
		in.PixStride, out.PixStride = in.C, out.C+rng.IntN(3)
		in.RowStride, out.RowStride = in.W*in.PixStride, out.W*out.PixStride
		atOnce := between(1, 2)
		for _, backwards := range []bool{false, true} {
			distance := lag
			if backwards {
				distance = lead
			}
			n := distance(g, in, out, atOnce)
			if lost(g, in, out, atOnce, n, backwards) {
				t.Fatalf("%+v of %+v to %+v, %d at once, backwards %t: %d bytes are too few", g, in, out, atOnce, backwards, n)
			}
			if n > 0 && !lost(g, in, out, atOnce, n-1, backwards) {
				t.Fatalf("%+v of %+v to %+v, %d at once, backwards %t: %d bytes are too many", g, in, out, atOnce, backwards, n)
			}
		}
	}
}

// lost reports whether a byte that has been written is read afterwards, or for the same pixels.
func lost(g program.Geometry, in, out *program.Tensor, atOnce, distance int, backwards bool) bool {
	inAt, outAt := distance, 0
	if backwards {
		inAt, outAt = 0, distance
	}
	written := make(map[int]bool)
	for i := range out.H * out.W {
		if backwards {
			i = out.H*out.W - 1 - i
		}
		y, x := i/out.W, i%out.W
		for _, w := range []int{x, min(max(x-atOnce+1, 0), x), min(x+atOnce-1, out.W-1)} { // its pair may be either
			if backwards == (w <= x) || w == x {
				for c := range out.C {
					written[outAt+y*out.RowStride+w*out.PixStride+c] = true
				}
			}
		}
		for k := range g.Kernel[0] * g.Kernel[1] {
			row, pixel := y*g.Stride[0]-g.Pad.Top+k/g.Kernel[1], x*g.Stride[1]-g.Pad.Left+k%g.Kernel[1]
			for c := range in.C {
				if row >= 0 && row < in.H && pixel >= 0 && pixel < in.W && written[inAt+row*in.RowStride+pixel*in.PixStride+c] {
					return true
				}
			}
		}
	}
	return false
}
