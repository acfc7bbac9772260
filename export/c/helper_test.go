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
	var last []byte
	for i, s := range n.net.steps {
		if w := s.Action.Writes()[0]; w == t || w.Root() == t.Root() {
			last = v.Steps[i]
		}
	}
	out := make([]float32, t.H*t.W*t.C)
	for i := range out {
		at := i
		if t.Layout == program.Last {
			at = i%t.C*t.H*t.W + i/t.C
		}
		if p.scales != nil {
			out[at] = float32(int32(binary.LittleEndian.Uint32(last[4*i:]))) * p.scales[i%t.C]
		} else {
			out[at] = p.coding.Number(number(last[i], p.ctype() == "int8_t"))
		}
	}
	return out
}
