package engine

import (
	"math/rand/v2"
	"testing"

	"github.com/narrow-ml/narrow/tensor"
)

// TestLayout places random buffers: no two that are needed at the same time may
// share memory, and none may share that of a border.
func TestLayout(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		var buffers []*buffer
		steps := make([]*step, 20)
		for i := range steps {
			b := &buffer{dtype: tensor.Float32, samples: 1 + r.IntN(2), h: 1 + r.IntN(3), w: 1 + r.IntN(3), c: 1 + r.IntN(40)}
			if r.IntN(2) == 0 {
				b.dtype = tensor.Uint8
			}
			if r.IntN(3) == 0 {
				b.border = sides{1, 1, 1, 1}
			}
			steps[i] = &step{writes: []*buffer{b}}
			for range min(len(buffers), 2) {
				steps[i].reads = append(steps[i].reads, buffers[r.IntN(len(buffers))])
			}
			buffers = append(buffers, b)
		}
		total := layout(buffers, steps)
		for i, a := range buffers {
			start, end := extentOf(a)
			if start < 0 || end > total {
				t.Fatalf("seed %d: buffer %d takes bytes %d to %d of %d", seed, i, start, end, total)
			}
			for j, b := range buffers[:i] {
				from, to := extentOf(b)
				overlap := start < to && from < end
				together := a.bornAt <= b.usedAt && b.bornAt <= a.usedAt
				borders := a.border != sides{} || b.border != sides{}
				same := start == from && a.border == b.border && a.h == b.h && a.w == b.w && a.c == b.c && a.dtype == b.dtype
				if overlap && (together || borders && !same) {
					t.Fatalf("seed %d: buffers %d and %d share memory", seed, i, j)
				}
			}
		}
	}
}

// extentOf returns the bytes that a laid out buffer with memory of its own takes.
func extentOf(b *buffer) (start, end int) {
	start = (b.off - b.border.top*b.rowStep - b.border.left*b.pix) * b.width()
	return start, start + (b.samples*b.size()+slack)*b.width()
}
