package op

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/narrow-ml/narrow/tensor"
)

// valid makes random calls that an operator must take.
type valid func(r *rand.Rand) (Attrs, []*tensor.Tensor)

func between(r *rand.Rand, lo, hi int) int { return lo + r.IntN(hi-lo+1) }

func normal(r *rand.Rand, shape ...int) *tensor.Tensor {
	t := tensor.New(tensor.Float32, shape...)
	for i := range t.F32() {
		t.F32()[i] = float32(r.NormFloat64())
	}
	return t
}

func positive(r *rand.Rand, shape ...int) *tensor.Tensor {
	t := normal(r, shape...)
	for i, v := range t.F32() {
		t.F32()[i] = v*v + 0.1
	}
	return t
}

// bytes8 is a random int8 or uint8 tensor.
func bytes8(r *rand.Rand, d tensor.DType, shape ...int) *tensor.Tensor {
	t := tensor.New(d, shape...)
	for i := range t.Bytes() {
		t.Bytes()[i] = byte(r.Uint32())
	}
	return t
}

func dims(r *rand.Rand, rank, lo, hi int) []int {
	s := make([]int, rank)
	for i := range s {
		s[i] = between(r, lo, hi)
	}
	return s
}

func list(v []int) []int64 { return mapSlice(v, func(x int) int64 { return int64(x) }) }

func ints(v ...int) *tensor.Tensor { return tensor.From(list(v), len(v)) }

// convAttrs returns random attributes of a window that fits the spatial
// dimensions in.
func convAttrs(r *rand.Rand, kernel, in []int) Attrs {
	a := Attrs{"kernel_shape": list(kernel)}
	n := len(kernel)
	if r.IntN(2) == 0 {
		a["strides"] = list(dims(r, n, 1, 3))
	}
	if r.IntN(4) == 0 {
		a["auto_pad"] = pick(r, []string{"SAME_UPPER", "SAME_LOWER"})
		return a
	}
	pads := make([]int, 2*n)
	for i := range pads {
		pads[i] = r.IntN(kernel[i%n])
	}
	a["pads"] = list(pads)
	if r.IntN(3) == 0 {
		dilations := dims(r, n, 1, 2)
		for d := range dilations {
			if in[d]+pads[d]+pads[n+d] < dilations[d]*(kernel[d]-1)+1 {
				dilations[d] = 1
			}
		}
		a["dilations"] = list(dilations)
	}
	return a
}

// convolution returns attributes and shapes of input, weights and bias.
func convolution(r *rand.Rand) (a Attrs, x, w []int, m int) {
	n := between(r, 1, 3)
	kernel, in := dims(r, n, 1, 3), dims(r, n, 3, 8)
	a = convAttrs(r, kernel, in)
	group := pick(r, []int{1, 1, 2, 3})
	a["group"] = int64(group)
	c, m := group*between(r, 1, 3), group*between(r, 1, 3)
	return a, append([]int{between(r, 1, 2), c}, in...), append([]int{m, c / group}, kernel...), m
}

func pooling(r *rand.Rand) (Attrs, []*tensor.Tensor) {
	n := between(r, 1, 3)
	kernel, in := dims(r, n, 1, 3), dims(r, n, 3, 8)
	a := convAttrs(r, kernel, in)
	if a["auto_pad"] == nil {
		a["ceil_mode"] = int64(r.IntN(2))
	}
	return a, []*tensor.Tensor{normal(r, append(dims(r, 2, 1, 3), in...)...)}
}

func averagePooling(r *rand.Rand) (Attrs, []*tensor.Tensor) {
	a, in := pooling(r)
	a["count_include_pad"] = int64(r.IntN(2))
	return a, in
}

func convTransposed(r *rand.Rand) (Attrs, []*tensor.Tensor) {
	n := between(r, 1, 3)
	kernel, group := dims(r, n, 1, 3), between(r, 1, 2)
	strides := dims(r, n, 1, 3)
	a := Attrs{"kernel_shape": list(kernel), "group": int64(group), "strides": list(strides)}
	extra, pads := make([]int, n), make([]int, 2*n)
	for d := range extra {
		extra[d] = r.IntN(strides[d])
		pads[d], pads[n+d] = r.IntN(kernel[d]), r.IntN(kernel[d])
	}
	a["output_padding"], a["pads"] = list(extra), list(pads)
	c := group * between(r, 1, 2)
	w := append([]int{c, between(r, 1, 2)}, kernel...)
	return a, []*tensor.Tensor{normal(r, append([]int{between(r, 1, 2), c}, dims(r, n, 4, 6)...)...), normal(r, w...), normal(r, w[1]*group)}
}

func resizing(r *rand.Rand) (Attrs, []*tensor.Tensor) {
	a := Attrs{"mode": pick(r, []string{"nearest", "linear", "cubic"}),
		"coordinate_transformation_mode": pick(r, []string{"half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"})}
	if a["mode"] == "nearest" {
		a["nearest_mode"] = pick(r, []string{"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"})
	}
	in := append([]int{1, between(r, 1, 2)}, dims(r, 2, 3, 7)...)
	x := normal(r, in...)
	if r.IntN(2) == 0 {
		return a, []*tensor.Tensor{x, nil, nil, ints(in[0], in[1], between(r, 2, 12), between(r, 2, 12))}
	}
	return a, []*tensor.Tensor{x, nil, f32([]int{4}, 1, 1, pick(r, []float32{0.5, 1, 1.5, 2, 3}), pick(r, []float32{0.5, 1, 2, 2.6}))}
}

// quantizedArgs is x with a random scale and zero point.
func quantizedArgs(r *rand.Rand, d tensor.DType, shape ...int) []*tensor.Tensor {
	return []*tensor.Tensor{bytes8(r, d, shape...), f32(nil, 0.01+r.Float32()/20), bytes8(r, d)}
}

func qunary(a func(r *rand.Rand) (Attrs, []int)) valid {
	return func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		d := pick(r, []tensor.DType{tensor.Int8, tensor.Uint8})
		attrs, shape := a(r)
		return attrs, append(quantizedArgs(r, d, shape...), quantizedArgs(r, d)[1:]...)
	}
}

func qbinary(r *rand.Rand) (Attrs, []*tensor.Tensor) {
	d := pick(r, []tensor.DType{tensor.Int8, tensor.Uint8})
	shape := dims(r, 3, 1, 4)
	other := slices.Clone(shape)
	other[r.IntN(3)] = 1
	return nil, slices.Concat(quantizedArgs(r, d, shape...), quantizedArgs(r, d, other...), quantizedArgs(r, d)[1:])
}

func image(r *rand.Rand) []int { return append(dims(r, 2, 1, 3), dims(r, 2, 3, 6)...) }

var validCalls = map[string]valid{
	"Conv": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		a, x, w, m := convolution(r)
		return a, []*tensor.Tensor{normal(r, x...), normal(r, w...), normal(r, m)}
	},
	"ConvInteger": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		a, x, w, _ := convolution(r)
		return a, []*tensor.Tensor{bytes8(r, tensor.Uint8, x...), bytes8(r, tensor.Uint8, w...), bytes8(r, tensor.Uint8), bytes8(r, tensor.Uint8)}
	},
	"QLinearConv": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		a, x, w, m := convolution(r)
		bias := tensor.New(tensor.Int32, m)
		for i := range m {
			tensor.Data[int32](bias)[i] = int32(r.IntN(2000) - 1000)
		}
		scale := positive(r, m)
		return a, slices.Concat(quantizedArgs(r, tensor.Uint8, x...), []*tensor.Tensor{bytes8(r, tensor.Int8, w...), scale, tensor.New(tensor.Int8, m)},
			[]*tensor.Tensor{f32(nil, 5+r.Float32()*50), bytes8(r, tensor.Uint8), bias})
	},
	"QLinearMatMul": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		m, k, n := between(r, 1, 4), between(r, 1, 9), between(r, 1, 5)
		return nil, slices.Concat(quantizedArgs(r, tensor.Uint8, m, k), quantizedArgs(r, tensor.Int8, k, n), []*tensor.Tensor{f32(nil, 0.1+r.Float32()), bytes8(r, tensor.Uint8)})
	},
	"MatMulInteger": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		m, k, n := between(r, 1, 4), between(r, 1, 9), between(r, 1, 5)
		return nil, []*tensor.Tensor{bytes8(r, tensor.Uint8, m, k), bytes8(r, tensor.Int8, k, n), bytes8(r, tensor.Uint8), bytes8(r, tensor.Int8, n)}
	},
	"ConvTranspose": convTransposed, "MaxPool": pooling, "AveragePool": averagePooling, "Resize": resizing,
	"LpPool": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		a, in := pooling(r)
		delete(a, "ceil_mode")
		a["p"] = int64(between(r, 1, 3))
		return a, in
	},
	"BatchNormalization": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		s := image(r)
		return Attrs{"epsilon": r.Float32() / 10}, []*tensor.Tensor{normal(r, s...), normal(r, s[1]), normal(r, s[1]), normal(r, s[1]), positive(r, s[1])}
	},
	"InstanceNormalization": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		s := image(r)
		return nil, []*tensor.Tensor{normal(r, s...), normal(r, s[1]), normal(r, s[1])}
	},
	"GroupNormalization": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		g := between(r, 1, 3)
		c := g * between(r, 1, 3)
		return Attrs{"num_groups": int64(g)}, []*tensor.Tensor{normal(r, 2, c, 3, 2), normal(r, c), normal(r, c)}
	},
	"LayerNormalization": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		s, axis := dims(r, 3, 1, 5), r.IntN(3)
		return Attrs{"axis": int64(axis - r.IntN(2)*3)}, []*tensor.Tensor{normal(r, s...), normal(r, s[axis:]...), normal(r, s[axis:]...)}
	},
	"RMSNormalization": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		s, axis := dims(r, 3, 1, 5), r.IntN(3)
		return Attrs{"axis": int64(axis - r.IntN(2)*3)}, []*tensor.Tensor{normal(r, s...), normal(r, s[axis:]...)}
	},
	"LRN": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		return Attrs{"size": int64(1 + 2*r.IntN(3)), "alpha": r.Float32(), "bias": 1 + r.Float32()}, []*tensor.Tensor{normal(r, 1, between(r, 1, 7), 3, 2)}
	},
	"LpNormalization": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		return Attrs{"axis": int64(r.IntN(3)), "p": int64(between(r, 1, 2))}, []*tensor.Tensor{normal(r, dims(r, 3, 1, 4)...)}
	},
	"MatMul": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		m, k, n, b := between(r, 1, 9), between(r, 1, 40), between(r, 1, 20), between(r, 1, 3)
		return nil, []*tensor.Tensor{normal(r, b, 1, m, k), normal(r, 2, k, n)}
	},
	"Gemm": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		m, k, n := between(r, 1, 9), between(r, 1, 40), between(r, 1, 20)
		a, b := []int{m, k}, []int{k, n}
		transA, transB := r.IntN(2), r.IntN(2)
		if transA == 1 {
			slices.Reverse(a)
		}
		if transB == 1 {
			slices.Reverse(b)
		}
		return Attrs{"transA": int64(transA), "transB": int64(transB), "alpha": r.Float32(), "beta": r.Float32()},
			[]*tensor.Tensor{normal(r, a...), normal(r, b...), normal(r, pick(r, [][]int{{n}, {m, n}, {m, 1}, {}})...)}
	},
	"Pad": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		return Attrs{"mode": pick(r, []string{"constant", "reflect", "edge", "wrap"})}, []*tensor.Tensor{normal(r, 3, 4), ints(dims(r, 4, 0, 2)...)}
	},
	"Slice": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		return nil, []*tensor.Tensor{normal(r, 5, 4), ints(dims(r, 2, -6, 6)...), ints(dims(r, 2, -6, 6)...), ints(0, 1), ints(pick(r, []int{-2, -1, 1, 2}), 1)}
	},
	"Transpose": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		return Attrs{"perm": list(r.Perm(4))}, []*tensor.Tensor{normal(r, dims(r, 4, 1, 4)...)}
	},
	"Softmax": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		return Attrs{"axis": int64(r.IntN(3))}, []*tensor.Tensor{normal(r, dims(r, 3, 1, 20)...)}
	},
	"ReduceMean": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		return Attrs{"keepdims": int64(r.IntN(2))}, []*tensor.Tensor{normal(r, dims(r, 4, 1, 5)...), ints(r.Perm(4)[:between(r, 1, 4)]...)}
	},
	"ReduceLogSumExp": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		return nil, []*tensor.Tensor{normal(r, dims(r, 3, 1, 5)...), ints(r.IntN(3))}
	},
	"Gather": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		return Attrs{"axis": int64(1)}, []*tensor.Tensor{normal(r, 2, 4, 3), ints(dims(r, 3, -4, 3)...)}
	},
	"GatherElements": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		return Attrs{"axis": int64(1)}, []*tensor.Tensor{normal(r, 2, 4), tensor.From(list(dims(r, 6, -4, 3)), 2, 3)}
	},
	"GatherND": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		return Attrs{"batch_dims": int64(r.IntN(2))}, []*tensor.Tensor{normal(r, 2, 2, 3), tensor.From(list(dims(r, 6, -2, 1)), 2, 3, 1)}
	},
	"ScatterElements": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		return Attrs{"axis": int64(0), "reduction": pick(r, []string{"none", "add", "mul", "max", "min"})},
			[]*tensor.Tensor{normal(r, 4, 2), tensor.From(list(r.Perm(4)[:2]), 1, 2), normal(r, 1, 2)}
	},
	"ScatterND": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		return Attrs{"reduction": pick(r, []string{"none", "add", "mul", "max", "min"})},
			[]*tensor.Tensor{normal(r, 4, 2), tensor.From(list(r.Perm(4)[:2]), 2, 1), normal(r, 2, 2)}
	},
	"TopK": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		return Attrs{"axis": int64(1), "largest": int64(r.IntN(2))}, []*tensor.Tensor{normal(r, 3, 5, 2), ints(between(r, 1, 5))}
	},
	"LSTM": recurrentCall(4), "GRU": recurrentCall(3), "RNN": recurrentCall(1),
	"CumSum": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		return Attrs{"exclusive": int64(r.IntN(2)), "reverse": int64(r.IntN(2))}, []*tensor.Tensor{normal(r, 3, 5), tensor.Scalar(int64(r.IntN(2)))}
	},
	"Einsum": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		return Attrs{"equation": pick(r, []string{"bij,bjk->bik", "bij,bkj->bik", "bij,bjk", "bij,b...->b...i"})}, []*tensor.Tensor{normal(r, 2, 3, 3), normal(r, 2, 3, 3)}
	},
	"NonMaxSuppression": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		return nil, []*tensor.Tensor{positive(r, 1, 8, 4), normal(r, 1, 2, 8), ints(between(r, 1, 8)), f32([]int{1}, 0.3), f32([]int{1}, 0)}
	},
	"QuantizeLinear": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		d := pick(r, []tensor.DType{tensor.Int8, tensor.Uint8})
		return Attrs{"axis": int64(1)}, []*tensor.Tensor{normal(r, 2, 3, 4), positive(r, 3), bytes8(r, d, 3)}
	},
	"DequantizeLinear": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		d := pick(r, []tensor.DType{tensor.Int8, tensor.Uint8})
		return Attrs{"axis": int64(0)}, []*tensor.Tensor{bytes8(r, d, 2, 3, 4), positive(r, 2), bytes8(r, d, 2)}
	},
	"QLinearAdd": qbinary, "QLinearMul": qbinary,
	"QLinearSigmoid":   qunary(func(r *rand.Rand) (Attrs, []int) { return nil, dims(r, 2, 1, 9) }),
	"QLinearLeakyRelu": qunary(func(r *rand.Rand) (Attrs, []int) { return Attrs{"alpha": float32(0.1)}, dims(r, 2, 1, 9) }),
	"QLinearSoftmax": qunary(func(r *rand.Rand) (Attrs, []int) {
		return Attrs{"axis": int64(-1), "opset": int64(13)}, dims(r, 2, 1, 9)
	}),
	"QLinearAveragePool": qunary(func(r *rand.Rand) (Attrs, []int) {
		return Attrs{"kernel_shape": []int64{2, 2}, "pads": []int64{1, 0, 0, 1}}, image(r)
	}),
	"QLinearGlobalAveragePool": qunary(func(r *rand.Rand) (Attrs, []int) { return Attrs{"channels_last": int64(0)}, image(r) }),
	"QLinearConcat": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		return Attrs{"axis": int64(1)}, slices.Concat(quantizedArgs(r, tensor.Uint8)[1:], quantizedArgs(r, tensor.Uint8, 2, 3), quantizedArgs(r, tensor.Uint8, 2, 1))
	},
	"MatMulNBits": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		k, n, bits, block := between(r, 1, 100), between(r, 1, 7), pick(r, []int{2, 4, 8}), pick(r, []int{16, 32, 64})
		blocks := (k + block - 1) / block
		in := []*tensor.Tensor{normal(r, 2, between(r, 1, 4), k), bytes8(r, tensor.Uint8, n, blocks, block*bits/8), positive(r, n, blocks),
			nil, nil, normal(r, n)}
		if r.IntN(2) == 0 {
			in[3] = bytes8(r, tensor.Uint8, n, (blocks*bits+7)/8)
		}
		return Attrs{"K": int64(k), "N": int64(n), "bits": int64(bits), "block_size": int64(block)}, in[:between(r, 4, 6)]
	},
	"GatherBlockQuantized": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		bits, block := pick(r, []int{4, 8}), pick(r, []int{16, 32})
		rows, blocks := between(r, 1, 9), between(r, 1, 3)
		in := []*tensor.Tensor{bytes8(r, tensor.Uint8, rows, blocks*block*bits/8), tensor.From(list(dims(r, 6, -rows, rows-1)), 2, 3), positive(r, rows, blocks)}
		if r.IntN(2) == 0 {
			in = append(in, bytes8(r, tensor.Uint8, rows, (blocks*bits+7)/8))
		}
		return Attrs{"gather_axis": int64(0), "quantize_axis": int64(1), "block_size": int64(block), "bits": int64(bits)}, in
	},
	"QGemm": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		m, k, n := between(r, 1, 4), between(r, 1, 20), between(r, 1, 6)
		c := tensor.New(tensor.Int32, n)
		return Attrs{"transB": int64(1), "alpha": float32(1)}, slices.Concat(quantizedArgs(r, tensor.Uint8, m, k),
			[]*tensor.Tensor{bytes8(r, tensor.Int8, n, k), positive(r, n), tensor.New(tensor.Int8, n), c, f32(nil, 20*r.Float32()), bytes8(r, tensor.Uint8)})
	},
}

// recurrentCall makes calls of an operator with so many gates.
func recurrentCall(gates int) valid {
	return func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		steps, batch, input, hidden, dirs := between(r, 1, 5), between(r, 1, 3), between(r, 1, 6), between(r, 1, 6), 1
		a := Attrs{"hidden_size": int64(hidden), "direction": pick(r, []string{"forward", "reverse", "bidirectional"})}
		if a["direction"] == "bidirectional" {
			dirs = 2
		}
		if gates == 3 {
			a["linear_before_reset"] = int64(r.IntN(2))
		}
		in := []*tensor.Tensor{normal(r, steps, batch, input), normal(r, dirs, gates*hidden, input), normal(r, dirs, gates*hidden, hidden),
			normal(r, dirs, 2*gates*hidden), nil, normal(r, dirs, batch, hidden)}
		if gates == 4 {
			in = append(in, normal(r, dirs, batch, hidden), normal(r, dirs, 3*hidden))
		}
		return a, in
	}
}

// lookupValid finds the operator that a key of validCalls means.
func lookupValid(t *testing.T, name string) *Op {
	o, err := Lookup("", name)
	if err != nil {
		o, err = Lookup(microsoft, name)
	}
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// TestValidCalls checks that what is right is taken, and that what is nearly
// right does no harm.
func TestValidCalls(t *testing.T) {
	limitElements(t)
	for name, make := range validCalls {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(2, uint64(len(name))))
			o := lookupValid(t, name)
			for n := 0; n < 200 && !t.Failed(); n++ {
				attrs, in := make(r)
				c := &Call{Attrs: attrs, In: in, Out: []*tensor.Tensor{nil}}
				if name == "TopK" {
					c.Out = append(c.Out, nil)
				}
				if !checkCall(t, o, c) {
					t.Errorf("%s %v %v: %v", name, attrs, in, o.Run(c))
				}
				checkCall(t, o, mutated(r, c))
			}
		})
	}
}

// mutated changes a few things of a call.
func mutated(r *rand.Rand, c *Call) *Call {
	m := &Call{Attrs: Attrs{}, Version: c.Version, In: slices.Clone(c.In), Out: make([]*tensor.Tensor, len(c.Out))}
	for k, v := range c.Attrs {
		m.Attrs[k] = v
		if l, ok := v.([]int64); ok && len(l) > 0 && r.IntN(3) == 0 {
			l = slices.Clone(l)
			l[r.IntN(len(l))] = randomInt(r)
			m.Attrs[k] = l
		}
		if _, ok := v.(int64); ok && r.IntN(3) == 0 {
			m.Attrs[k] = randomInt(r)
		}
	}
	for k, v := range randomAttrs(r) {
		if r.IntN(4) == 0 {
			m.Attrs[k] = v
		}
	}
	i := r.IntN(len(m.In))
	if t := m.In[i]; t != nil && r.IntN(2) == 0 {
		d := t.DType()
		if r.IntN(4) == 0 {
			d = pick(r, []tensor.DType{tensor.Float32, tensor.Float64, tensor.Int8, tensor.Uint8, tensor.Int32, tensor.Int64, tensor.Bool, tensor.String})
		}
		m.In[i] = randomTensor(r, d, t.Shape())
	}
	if r.IntN(4) == 0 {
		m.In = m.In[:r.IntN(len(m.In)+1)]
	}
	if r.IntN(4) == 0 {
		m.Version = r.IntN(23)
	}
	return m
}
