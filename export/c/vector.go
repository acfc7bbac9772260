package c

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/narrow-ml/narrow/program"
	"github.com/narrow-ml/narrow/tensor"
)

// Vector is an input of the network and what each step makes of it.
type Vector struct {
	Inputs [][]byte // as the C function takes them
	Steps  [][]byte // the integers of each step, by row, column and channel; sums as four bytes each, the lowest first
}

// Vector interprets the program for inputs of the graph's own types.
func (n *Network) Vector(inputs []*tensor.Tensor) (*Vector, error) {
	v := &Vector{Inputs: make([][]byte, len(n.net.inputs))}
	p := *n.program
	p.Steps, p.Outputs = nil, nil
	numbers := slices.Clone(inputs)
	for i, at := range n.net.inputs {
		if at.tensor.Place == program.IsInput {
			v.Inputs[i] = inputs[i].Bytes()
			continue
		}
		numbers[i] = at.clamped(inputs[i])
		p.Steps = append(p.Steps, &program.Step{Action: &program.Quantize{In: p.Inputs[i].Tensor, Out: at.tensor, Coding: at.coding}})
	}
	first := len(p.Steps)
	p.Steps = append(p.Steps, n.net.steps...)
	done := 0
	_, err := p.Interpret(numbers, func(s *program.Step, m *program.Memory) error {
		if done++; done > first {
			v.Steps = append(v.Steps, n.result(s, m))
			return nil
		}
		for i, at := range n.net.inputs {
			if at.tensor == s.Action.Writes()[0] {
				v.Inputs[i] = inMemory(m, at.tensor)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	return v, nil
}

// clamped returns numbers within the bounds of an input.
func (p *port) clamped(x *tensor.Tensor) *tensor.Tensor {
	x = x.Clone()
	for i, v := range x.F32() {
		x.F32()[i] = min(max(v, p.clamp[0]), p.clamp[1])
	}
	return x
}

// result returns what a step has made.
func (n *Network) result(s *program.Step, m *program.Memory) []byte {
	if l := n.layers[s]; l != nil && l.requant == nil {
		return l.interpret(m)
	}
	return inMemory(m, s.Action.Writes()[0])
}

// inMemory returns a tensor of bytes by row, column and channel.
func inMemory(m *program.Memory, t *program.Tensor) []byte {
	from := m.Read(t).Bytes()
	if t.Layout == program.Plain {
		return from
	}
	out := make([]byte, 0, len(from))
	for y := range t.H {
		for x := range t.W {
			for c := range t.C {
				out = append(out, from[(c*t.H+y)*t.W+x])
			}
		}
	}
	return out
}

// interpret computes the sums of a layer whose result they are.
func (l *layer) interpret(m *program.Memory) []byte {
	x := inMemory(m, l.in)
	var out []byte
	g := &l.window
	channels := l.in.C / g.Groups
	for y := range l.out.H {
		for ox := range l.out.W {
			for o := range l.out.C {
				sum := l.bias[o]
				for k, w := range l.filter(o) {
					i, tap := k%channels+o/l.filters*channels, k/channels
					iy := y*g.Stride[0] + tap/g.Kernel[1]*g.Dilation[0] - g.Pad.Top
					ix := ox*g.Stride[1] + tap%g.Kernel[1]*g.Dilation[1] - g.Pad.Left
					v := l.padding
					if iy >= 0 && iy < l.in.H && ix >= 0 && ix < l.in.W {
						v = number(x[(iy*l.in.W+ix)*l.in.C+i], l.signed)
					}
					sum += int64(v) * int64(w)
				}
				out = binary.LittleEndian.AppendUint32(out, uint32(int32(min(max(sum, math.MinInt32), math.MaxInt32))))
			}
		}
	}
	return out
}

func number(q byte, signed bool) int {
	if signed {
		return int(int8(q))
	}
	return int(q)
}
