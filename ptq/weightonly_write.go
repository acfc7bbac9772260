package ptq

import (
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// writeQDQ puts a DequantizeLinear on the integers in the place of the weights.
func (q *weightQuantizer) writeQDQ(w *weightTensor, c *weightCodes) {
	l, name := q.lowering, w.value.Name
	attrs := op.Attrs{"axis": int64(c.groups.axis)}
	if c.groups.block > 0 {
		attrs["block_size"] = int64(c.groups.block)
	}
	shape := c.groups.shape(c.shape)
	data := graph.NewConst(l.name(name+"_quantized"), q.integers(c.codes, c.shape))
	scale := graph.NewConst(l.name(name+"_scale"), inType(c.scales, w.value.Const.DType(), shape))
	inputs := []*graph.Value{data, scale}
	if !q.Symmetric {
		inputs = append(inputs, graph.NewConst(l.name(name+"_zero_point"), q.integers(c.zeros, shape)))
	}
	l.replace(w.value, l.add(name+"_dequantized", "DequantizeLinear", attrs, inputs...))
}

// integers returns codes as a tensor of the type that holds them: signed without zero points, so that 0 stands for zero.
// 2 and 3 bits are kept in 4, the narrowest type that operator set 21 has.
func (q *weightQuantizer) integers(codes []uint8, shape []int) *tensor.Tensor {
	d := tensor.Uint8
	switch {
	case q.Bits < 8 && q.Symmetric:
		d = tensor.Int4
	case q.Bits < 8:
		d = tensor.Uint4
	case q.Symmetric:
		d = tensor.Int8
	}
	t := tensor.New(d, shape...)
	out := t.Bytes()
	for i, v := range codes {
		if q.Symmetric {
			v -= 1 << (q.Bits - 1)
		}
		out[i] = v
	}
	return t
}

// inType returns scales in the type of the weights.
func inType(s []float32, d tensor.DType, shape []int) *tensor.Tensor {
	if d != tensor.Float16 {
		return tensor.From(s, shape...)
	}
	half := make([]tensor.Half, len(s))
	for i, v := range s {
		half[i] = tensor.HalfFrom(v)
	}
	return tensor.From(half, shape...)
}
