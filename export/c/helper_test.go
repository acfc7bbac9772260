package c

import (
	"encoding/binary"

	"github.com/narrow-ml/narrow/program"
)

// Numbers returns, in ONNX's order, what the first output of a network stands for, nil if the graph goes on with a softmax.
func (v *Vector) Numbers(n *Network) []float32 {
	p := n.net.outputs[0]
	if p.softmax {
		return nil
	}
	t := p.tensor
	root, size := t.Root(), elementSize(t)
	memory := make([]byte, root.Size()*size)
	for i, s := range n.net.steps { // a Concat is written by parts
		if w := s.Action.Writes()[0]; w.Root() == root {
			for k := range w.H * w.W {
				at := (w.Offset - root.Offset + k/w.W*w.RowStride + k%w.W*w.PixStride) * size
				copy(memory[at:], v.Steps[i][k*w.C*size:][:w.C*size])
			}
		}
	}
	out := make([]float32, t.H*t.W*t.C)
	for i := range out {
		at := i
		if t.Layout == program.Last {
			at = i%t.C*t.H*t.W + i/t.C
		}
		from := (t.Offset - root.Offset + i/t.C/t.W*t.RowStride + i/t.C%t.W*t.PixStride + i%t.C) * size
		if p.scales != nil {
			out[at] = float32(int32(binary.LittleEndian.Uint32(memory[from:]))) * p.scales[i%t.C]
		} else {
			out[at] = p.coding.Number(number(memory[from], p.ctype() == "int8_t"))
		}
	}
	return out
}
