package engine

import (
	"math"

	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// lowerLayerNorm computes LayerNormalization and RMSNormalization along the last dimension.
func lowerLayerNorm(b *builder, n *graph.Node) bool {
	x, y := n.In(0), n.Outputs[0]
	rank := b.rank(x)
	if len(n.Outputs) > 1 || !b.fits(x) || !b.fits(y) || b.typeOf(x).DType != tensor.Float32 || rank < 2 {
		return false
	}
	if axis := n.Attrs.Int("axis", -1); axis != -1 && axis != rank-1 {
		return false
	}
	c := b.shape(x)[rank-1]
	scale, shift := b.floats(n.In(1)), make([]float32, c)
	if n.In(2) != nil {
		shift = b.floats(n.In(2))
	}
	if len(scale) != c || len(shift) != c {
		return false
	}
	epsilon := n.Attrs.Float("epsilon", 1e-5)
	centered := n.Op == "LayerNormalization"
	src := b.float(x, plain)
	dst := b.like(y, src)
	s := rowStep(n.Op, dst, func(cl *call, w *worker, s, y0, y1 int) {
		to, from := dst.f32(cl, s), src.f32(cl, s)
		for i := range to.W { // plain images have one row
			normalize(to.Data[i*to.PixStride:][:c], from.Data[i*from.PixStride:][:c], scale, shift, epsilon, centered)
		}
	})
	s.ops = 8 * dst.w * c
	b.add(s.of(n).reading(src))
	return true
}

// normalize brings x to mean 0, if it is to be centered, and mean square 1, then scales and shifts it by element.
func normalize(dst, x, scale, shift []float32, epsilon float32, centered bool) {
	mean := float32(0)
	if centered {
		mean = asm.MeanF32(x)
	}
	variance := asm.SumSquaresF32(x, mean) / float32(len(x))
	inverse := float32(1 / math.Sqrt(float64(variance+epsilon)))
	asm.AffineF32(dst, x, 1, -mean)
	asm.AffineF32(dst, dst, inverse, 0)
	asm.ChannelAffineF32(dst, dst, scale, shift)
}
