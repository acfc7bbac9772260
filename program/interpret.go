package program

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// ErrInterpret reports a step that the interpreter does not compute.
var ErrInterpret = errors.New("the interpreter computes integer steps alone")

// Memory is what a program's tensors hold while it is interpreted.
type Memory struct {
	p       *Program
	arena   []byte
	inputs  []*tensor.Tensor
	outputs []*tensor.Tensor
	slots   []*tensor.Tensor
}

// Interpret runs a program whose arithmetic is all on integers, as the comments of its
// types say, element by element and in one arena: slow, and independent of
// the kernels, so that they can be tested against it. The inputs hold
// p.Samples samples, as many as p takes at a time. After each step it calls
// after, unless that is nil, with what the memory holds then; an error from it ends the run. Steps
// on floats but quantization, moves, Softmax and reference kernels give [ErrInterpret].
func (p *Program) Interpret(inputs []*tensor.Tensor, after func(*Step, *Memory) error) (outputs []*tensor.Tensor, err error) {
	if len(inputs) != len(p.Inputs) {
		return nil, fmt.Errorf("program: %d inputs given, %d wanted", len(inputs), len(p.Inputs))
	}
	for i, in := range inputs {
		if want := p.Inputs[i].Type; in.DType() != want.DType || in.Len() != tensor.Volume(want.Shape) {
			return nil, fmt.Errorf("program: input %q is %v, not %s%v", p.Inputs[i].Name, in, want.DType, want.Shape)
		}
	}
	m := &Memory{p: p, arena: make([]byte, p.Arena), inputs: inputs, slots: make([]*tensor.Tensor, p.Slots), outputs: make([]*tensor.Tensor, len(p.Outputs))}
	for _, t := range p.Tensors {
		if t.View == nil && t.Border != (Sides{}) && t.Born <= t.Used {
			m.fillBorder(t)
		}
	}
	for _, s := range p.Steps {
		if err := m.run(s); err != nil {
			return nil, fmt.Errorf("program: step %q: %w", s.Name, err)
		}
		if after != nil {
			if err := after(s, m); err != nil {
				return nil, err
			}
		}
	}
	return m.outputs, nil
}

// Read returns the elements of a tensor, in ONNX's order: its samples one after the
// other, each [C,H,W] in channels-last layout and row-major in plain layout.
func (m *Memory) Read(t *Tensor) *tensor.Tensor {
	if t.Place != InArena {
		return m.external(t)
	}
	out := tensor.New(t.DType, t.Samples, t.H, t.W, t.C)
	if t.Layout == Last {
		out = tensor.New(t.DType, t.Samples, t.C, t.H, t.W)
	}
	data := out.Bytes()
	w := t.Width()
	m.each(t, func(i, s, y, x, c int) {
		at := m.at(t, s, y, x, c)
		copy(data[i*w:(i+1)*w], m.arena[at:at+w])
	})
	return out
}

// each calls f with every element of t, i counting them in ONNX's order.
func (m *Memory) each(t *Tensor, f func(i, s, y, x, c int)) {
	for s := range t.Samples {
		for y := range t.H {
			for x := range t.W {
				for c := range t.C {
					i := ((s*t.H+y)*t.W+x)*t.C + c
					if t.Layout == Last {
						i = ((s*t.C+c)*t.H+y)*t.W + x
					}
					f(i, s, y, x, c)
				}
			}
		}
	}
}

func (m *Memory) external(t *Tensor) *tensor.Tensor {
	switch t.Place {
	case IsInput:
		return m.inputs[t.Index]
	case IsOutput:
		return m.outputs[t.Index]
	case InSlot:
		return m.slots[t.Index]
	}
	return t.Value
}

// at returns where an element is in the arena, in bytes.
func (m *Memory) at(t *Tensor, s, y, x, c int) int {
	return (t.Offset + s*t.SampleStride + y*t.RowStride + x*t.PixStride + c) * t.Width()
}

// int returns an element of a tensor of bytes.
func (m *Memory) int(t *Tensor, s, y, x, c int) int {
	q := m.arena[m.at(t, s, y, x, c)]
	if t.DType == tensor.Int8 {
		return int(int8(q))
	}
	return int(q)
}

// setBits stores an element whatever its type.
func (m *Memory) setBits(t *Tensor, s, y, x, c int, v uint32) {
	at := m.at(t, s, y, x, c)
	if t.Width() == 1 {
		m.arena[at] = uint8(v)
		return
	}
	binary.NativeEndian.PutUint32(m.arena[at:], v)
}

func (m *Memory) bits(t *Tensor, s, y, x, c int) uint32 {
	at := m.at(t, s, y, x, c)
	if t.Width() == 1 {
		return uint32(m.arena[at])
	}
	return binary.NativeEndian.Uint32(m.arena[at:])
}

func (m *Memory) fillBorder(t *Tensor) {
	for s := range t.Samples {
		for y := -t.Border.Top; y < t.H+t.Border.Bottom; y++ {
			for x := -t.Border.Left; x < t.W+t.Border.Right; x++ {
				if y < 0 || y >= t.H || x < 0 || x >= t.W {
					for c := range t.C {
						m.setBits(t, s, y, x, c, t.Fill)
					}
				}
			}
		}
	}
}

func (m *Memory) run(s *Step) error {
	switch a := s.Action.(type) {
	case *Conv:
		m.conv(a)
	case *MatMul:
		m.matMul(a)
	case *Add:
		m.each(a.Out, func(_, s, y, x, c int) {
			m.setBits(a.Out, s, y, x, c, uint32(a.Sum.Apply(m.int(a.A, s, y, x, c), m.int(a.B, s, y, x, c))))
		})
	case *Mul:
		m.mul(a)
	case *MaxPool:
		if !a.In.Bytewide() {
			return ErrInterpret
		}
		m.maxPool(a)
	case *AveragePool:
		if a.Requant == nil {
			return ErrInterpret
		}
		m.averagePool(a)
	case *Product:
		if a.A.DType == tensor.Float32 {
			return ErrInterpret
		}
		m.product(a)
	case *Table:
		m.each(a.Out, func(_, s, y, x, c int) {
			m.setBits(a.Out, s, y, x, c, uint32(a.Table[uint8(m.int(a.In, s, y, x, c))]))
		})
	default:
		return m.move(s.Action)
	}
	return nil
}

// move computes steps that convert, copy or reorder.
func (m *Memory) move(a Action) error {
	switch a := a.(type) {
	case *Quantize:
		from := m.Read(a.In).F32()
		m.each(a.Out, func(i, s, y, x, c int) { m.setBits(a.Out, s, y, x, c, uint32(a.Coding.Code(from[i]))) })
	case *Dequantize:
		m.each(a.Out, func(_, s, y, x, c int) {
			m.setBits(a.Out, s, y, x, c, math.Float32bits(a.Coding.Number(m.int(a.In, s, y, x, c))))
		})
	case *Copy:
		m.copy(a)
	case *Transpose:
		m.transpose(a)
	case *Repeat:
		m.each(a.Out, func(_, s, y, x, c int) { m.setBits(a.Out, s, y, x, c, m.bits(a.In, s, y/a.Rows, x/a.Cols, c)) })
	case *Pad:
		m.each(a.Out, func(_, s, y, x, c int) {
			v, fy, fx, fc := a.Fill, y-a.At.Y, x-a.At.X, c-a.At.C
			if fy >= 0 && fy < a.In.H && fx >= 0 && fx < a.In.W && fc >= 0 && fc < a.In.C {
				v = m.bits(a.In, s, fy, fx, fc)
			}
			m.setBits(a.Out, s, y, x, c, v)
		})
	case *Softmax:
		m.softmax(a)
	case *Reference:
		return m.reference(a)
	default:
		return ErrInterpret
	}
	return nil
}

// window calls f with the input's elements that the window sees from output pixel (y, x); those of the padding have inside false.
func (g *Geometry) window(in *Tensor, y, x int, f func(ky, kx, iy, ix int, inside bool)) {
	for ky := range g.Kernel[0] {
		for kx := range g.Kernel[1] {
			iy, ix := y*g.Stride[0]+ky*g.Dilation[0]-g.Pad.Top, x*g.Stride[1]+kx*g.Dilation[1]-g.Pad.Left
			f(ky, kx, iy, ix, iy >= 0 && iy < in.H && ix >= 0 && ix < in.W)
		}
	}
}

func (m *Memory) conv(a *Conv) {
	w := &a.Weights
	m.each(a.Out, func(_, s, y, x, o int) {
		sum := a.bias(o)
		first := o / w.PerGroup * w.In
		a.window(a.In, y, x, func(ky, kx, iy, ix int, inside bool) {
			for i := 0; inside && i < w.In; i++ {
				sum += int32((m.int(a.In, s, iy, ix, first+i) - a.ZeroIn) * w.At(o, ky, kx, i))
			}
		})
		m.finish(&a.Affine, a.Out, sum, s, y, x, o)
	})
}

func (m *Memory) matMul(a *MatMul) {
	m.each(a.Out, func(_, s, y, x, o int) {
		sum := a.bias(o)
		for i := range a.K {
			sum += int32((m.int(a.In, s, y, x, i) - a.ZeroIn) * a.Weights.At(o, 0, 0, i))
		}
		m.finish(&a.Affine, a.Out, sum, s, y, x, o)
	})
}

func (a *Affine) bias(o int) int32 {
	if a.Bias == nil {
		return 0
	}
	return a.Bias[o]
}

// finish stores what becomes of a sum.
func (m *Memory) finish(a *Affine, out *Tensor, sum int32, s, y, x, o int) {
	if a.Requant == nil {
		m.setBits(out, s, y, x, o, math.Float32bits(float32(sum)*a.Scales[o]))
		return
	}
	q := a.Requant.Apply(sum, o)
	if a.Residual != nil {
		q = a.Residual.Sum.Apply(q, m.int(a.Residual.In, s, y, x, o))
	}
	m.setBits(out, s, y, x, o, uint32(q))
}

func (m *Memory) mul(a *Mul) {
	m.each(a.Out, func(_, s, y, x, c int) {
		by, bx := y, x
		if a.PerChannel {
			by, bx = 0, 0
		}
		v := (m.int(a.A, s, y, x, c) - a.ZeroA) * (m.int(a.B, s, by, bx, c) - a.ZeroB)
		m.setBits(a.Out, s, y, x, c, uint32(a.Requant.Apply(int32(v), 0)))
	})
}

func (m *Memory) product(a *Product) {
	at := func(t *Tensor, s, i int) int { return m.int(t, s, 0, i/t.C, i%t.C) }
	m.each(a.Out, func(i, s, y, x, c int) {
		i -= s * a.Out.elements()
		matrix, row, col := i/(a.Rows*a.Cols), i/a.Cols%a.Rows, i%a.Cols
		var sum int32
		for k := range a.Inner {
			sum += int32((at(a.A, s, (matrix*a.Rows+row)*a.Inner+k) - a.ZeroA) * (at(a.B, s, (matrix*a.Inner+k)*a.Cols+col) - a.ZeroB))
		}
		if a.Requant == nil {
			m.setBits(a.Out, s, y, x, c, math.Float32bits(float32(sum)*a.Scale))
			return
		}
		m.setBits(a.Out, s, y, x, c, uint32(a.Requant.Apply(sum, 0)))
	})
}

func (m *Memory) maxPool(a *MaxPool) {
	m.each(a.Out, func(_, s, y, x, c int) {
		most := -128
		if a.Out.DType == tensor.Uint8 {
			most = 0
		}
		a.window(a.In, y, x, func(_, _, iy, ix int, inside bool) {
			if inside {
				most = max(most, m.int(a.In, s, iy, ix, c))
			}
		})
		m.setBits(a.Out, s, y, x, c, uint32(most))
	})
}

func (m *Memory) averagePool(a *AveragePool) {
	m.each(a.Out, func(_, s, y, x, c int) {
		var sum int32
		a.window(a.In, y, x, func(_, _, iy, ix int, inside bool) {
			if inside {
				sum += int32(m.int(a.In, s, iy, ix, c) - a.ZeroIn)
			}
		})
		m.setBits(a.Out, s, y, x, c, uint32(a.Requant.Apply(sum, c)))
	})
}

func (m *Memory) copy(a *Copy) {
	from := m.Read(a.In)
	switch a.Out.Place {
	case IsOutput:
		m.outputs[a.Out.Index] = shaped(from, a.Out)
	case InSlot:
		m.slots[a.Out.Index] = shaped(from, a.Out)
	default:
		data, w := from.Bytes(), a.Out.Width()
		m.each(a.Out, func(i, s, y, x, c int) {
			at := m.at(a.Out, s, y, x, c)
			copy(m.arena[at:at+w], data[i*w:])
		})
	}
}

// shaped returns x with the shape of t, if that is known.
func shaped(x *tensor.Tensor, t *Tensor) *tensor.Tensor {
	if t.Shape == nil {
		return x
	}
	out, err := x.Reshape(t.Shape...)
	if err != nil {
		return x
	}
	return out
}

func (m *Memory) transpose(a *Transpose) {
	index := make([]int, len(a.Shape))
	m.each(a.Out, func(i, s, y, x, c int) {
		rest, at := i-s*a.Out.elements(), 0
		for d := len(a.Shape) - 1; d >= 0; d-- {
			index[d] = rest % a.Shape[d]
			rest /= a.Shape[d]
			at += index[d] * a.Strides[d]
		}
		m.setBits(a.Out, s, y, x, c, m.bits(a.In, s, 0, at/a.In.C, at%a.In.C))
	})
}

func (m *Memory) softmax(a *Softmax) {
	x := m.Read(a.In).F32()
	m.each(a.Out, func(i, s, y, px, c int) {
		row := x[i-c : i-c+a.In.C]
		sum, most := 0.0, float64(slices.Max(row))
		for _, v := range row {
			sum += math.Exp(float64(v) - most)
		}
		m.setBits(a.Out, s, y, px, c, math.Float32bits(float32(math.Exp(float64(x[i])-most)/sum)))
	})
}

func (m *Memory) reference(a *Reference) error {
	if len(a.Bodies) > 0 {
		return ErrInterpret
	}
	o, err := op.Lookup(a.Node.Domain, a.Node.Op)
	if err != nil {
		return err
	}
	c := &op.Call{Attrs: a.Node.Attrs, Version: a.Version, In: make([]*tensor.Tensor, len(a.In)), Out: make([]*tensor.Tensor, len(a.Out))}
	for i, t := range a.In {
		if t != nil {
			c.In[i] = m.external(t)
		}
	}
	if err := o.Run(c); err != nil {
		return err
	}
	for i, t := range a.Out {
		if t != nil {
			m.slots[t.Index] = c.Out[i]
		}
	}
	return nil
}
