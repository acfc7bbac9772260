package program

import (
	"math/rand/v2"
	"testing"

	"github.com/narrow-ml/narrow/tensor"
)

const testSlack = 32

// TestLayout places random tensors: no two that are needed at the same time may
// share memory, and none may share that of a border.
func TestLayout(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		var tensors []*Tensor
		steps := make([]*Step, 20)
		for i := range steps {
			b := &Tensor{DType: tensor.Float32, Samples: 1 + r.IntN(2), H: 1 + r.IntN(3), W: 1 + r.IntN(3), C: 1 + r.IntN(40)}
			if r.IntN(2) == 0 {
				b.DType = tensor.Uint8
			}
			if r.IntN(3) == 0 {
				b.Border = Sides{1, 1, 1, 1}
			}
			a := &Reference{Out: []*Tensor{b}}
			steps[i] = &Step{Action: a}
			for range min(len(tensors), 2) {
				a.In = append(a.In, tensors[r.IntN(len(tensors))])
			}
			tensors = append(tensors, b)
		}
		p := &Program{Tensors: tensors, Steps: steps}
		p.layout(64, testSlack)
		total := p.Arena
		for i, a := range tensors {
			start, end := extentOf(a)
			if start < 0 || end > total {
				t.Fatalf("seed %d: buffer %d takes bytes %d to %d of %d", seed, i, start, end, total)
			}
			for j, b := range tensors[:i] {
				from, to := extentOf(b)
				overlap := start < to && from < end
				together := a.Born <= b.Used && b.Born <= a.Used
				borders := a.Border != Sides{} || b.Border != Sides{}
				same := start == from && a.Border == b.Border && a.H == b.H && a.W == b.W && a.C == b.C && a.DType == b.DType
				if overlap && (together || borders && !same) {
					t.Fatalf("seed %d: tensors %d and %d share memory", seed, i, j)
				}
			}
		}
	}
}

// extentOf returns the bytes that a laid out buffer with memory of its own takes.
func extentOf(b *Tensor) (start, end int) {
	start = (b.Offset - b.Border.Top*b.RowStride - b.Border.Left*b.PixStride) * b.Width()
	return start, start + (b.Samples*b.Size()+testSlack)*b.Width()
}
