package ptq

import (
	"errors"
	"fmt"
	"math"

	"github.com/narrow-ml/narrow/graph"
)

// ErrOverflow reports a sum of products that does not fit 32 bits.
var ErrOverflow = errors.New("ptq: a sum of products could overflow 32 bits")

// checkSums returns an error that wraps [ErrOverflow] unless no input whatever can make
// the int32 sum of an affine node with activations of up to 8 bits overflow: the
// magnitudes of its integer weights times the farthest integer from the zero point,
// and of its bias. (16-bit activations are computed in float.) The operands of a join are
// products with their scales, no sum of integers, and saturate. All scales must be known.
func checkSums(g *graph.Graph) error {
	for _, n := range g.Nodes {
		if !isAffine(n) {
			continue
		}
		x := scalingOf(n.Inputs[0].Node)
		if x.Bits > 8 {
			continue
		}
		w := weightsOf(n)
		farthest := math.Max(float64(x.Max()-x.Zero), float64(x.Zero-x.Min()))
		sums := make([]float64, w.channels())
		for c := range sums {
			l := w.scaling.levels(c)
			w.each(c, func(i int) { sums[c] += math.Abs(float64(w.data[i])) }) // on the grid already
			sums[c] *= farthest / l.Scale
		}
		if b := n.In(2); b != nil {
			s := scalingOf(b.Node)
			for c, v := range b.Node.Inputs[0].Const.Float32s() {
				sums[min(c, len(sums)-1)] += math.Abs(float64(v)) / s.levels(min(c, len(s.Scale)-1)).Scale
			}
		}
		for c, sum := range sums {
			if sum > math.MaxInt32 {
				return nodeError(n, fmt.Errorf("%w: channel %d can reach %.3g", ErrOverflow, c, sum))
			}
		}
	}
	return nil
}
