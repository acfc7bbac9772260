// Package networks holds tests of whole networks, made up or exported.
package networks

import (
	"context"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/ptq"
	"github.com/narrow-ml/narrow/tensor"
)

var count = flag.Int("transformers", 6, "how many random transformers to quantize")

const (
	words    = 64 // in the vocabulary
	length   = 12 // of a text
	calib    = 256
	unseen   = 64
	slack    = 1.5 // dB that the measure on inputs held back may be above that on unseen ones where it is near the limit
	rotation = 100 // base of the rotary frequencies
)

// TestRandomTransformers quantizes transformers of 1 to 4 layers with what real ones have: channels that are far larger than all
// others, masks, tied embeddings, norms and positions of several kinds. None may come under 20 dB on unseen texts without a
// warning that names nodes, nor give what is no number.
func TestRandomTransformers(t *testing.T) {
	warned := 0
	for seed := range *count {
		m := newTransformer(uint64(seed))
		t.Run(fmt.Sprintf("%d: %s", seed, m.what), func(t *testing.T) {
			result, err := ptq.Quantize(context.Background(), m.g, m.texts(t, calib))
			if err != nil {
				t.Fatal(err)
			}
			db := m.ratio(t, result.Graph)
			r := result.Report
			if r.Measured.Least < ptq.Poor {
				warned++
			}
			switch {
			case math.IsNaN(db):
				t.Error("it gives what is no number")
			case db < ptq.Poor-slack && r.Measured.Least >= ptq.Poor:
				t.Errorf("%.1f dB on unseen texts, and no warning: %.1f dB were measured", db, r.Measured.Least)
			case r.Measured.Least < ptq.Poor && len(r.Mends) == 0:
				t.Errorf("%.1f dB, and the warning names nothing", r.Measured.Least)
			}
			t.Logf("%.1f dB on unseen texts, %.1f measured, %d mends", db, r.Measured.Least, len(r.Mends))
		})
	}
	t.Logf("%d of %d are warned of", warned, *count)
}

// transformer is a random one.
type transformer struct {
	g    *graph.Graph
	rng  *rand.Rand
	d, h int // channels, heads
	what string

	masked, rms, rotary, tied, gated, before bool
	outliers                                 float64 // by how much some channels are larger
}

func newTransformer(seed uint64) *transformer {
	m := &transformer{rng: rand.New(rand.NewPCG(seed, 15)), g: &graph.Graph{Name: "transformer", Opset: map[string]int{"": 17}}}
	coin := func() bool { return m.rng.IntN(2) == 0 }
	layers := 1 + m.rng.IntN(4)
	m.d, m.h = 32<<m.rng.IntN(2), 2<<m.rng.IntN(2)
	m.masked, m.rms, m.rotary, m.tied, m.gated, m.before = coin(), coin(), coin(), coin(), coin(), coin()
	if coin() {
		m.outliers = math.Exp(m.rng.Float64() * math.Log(60))
	}
	m.what = fmt.Sprintf("%d layers of %d, masked %t, rms %t, rotary %t, tied %t, gated %t, norm before %t, outliers %.0f",
		layers, m.d, m.masked, m.rms, m.rotary, m.tied, m.gated, m.before, m.outliers)
	m.build(layers)
	return m
}

func (m *transformer) input(name string) *graph.Value {
	v := &graph.Value{Name: name, Type: op.Type{DType: tensor.Int64, Shape: []int{op.Unknown, length}, Known: true}, Dims: []string{"N", ""}}
	m.g.Inputs = append(m.g.Inputs, v)
	return v
}

func (m *transformer) add(operator string, attrs op.Attrs, inputs ...*graph.Value) *graph.Value {
	return m.g.New(fmt.Sprintf("%s_%d", operator, len(m.g.Nodes)), operator, attrs, inputs...)
}

func (m *transformer) constant(t *tensor.Tensor) *graph.Value {
	return graph.NewConst(fmt.Sprintf("constant_%d_%d", len(m.g.Nodes), m.rng.Uint32()), t)
}

func (m *transformer) number(x float32) *graph.Value { return m.constant(tensor.Scalar(x)) }

func (m *transformer) ints(x ...int64) *graph.Value { return m.constant(tensor.From(x, len(x))) }

func (m *transformer) random(scale float64, shape ...int) *graph.Value {
	data := make([]float32, tensor.Volume(shape))
	for i := range data {
		data[i] = float32(m.rng.NormFloat64() * scale)
	}
	return m.constant(tensor.From(data, shape...))
}

// linear is a product with a matrix, with a bias.
func (m *transformer) linear(x *graph.Value, in, out int) *graph.Value {
	w := m.random(1/math.Sqrt(float64(in)), in, out)
	return m.add("Add", nil, m.add("MatMul", nil, x, w), m.random(0.1, out))
}

// enlarge multiplies a channel of the values by the size of outliers.
func (m *transformer) enlarge(w *graph.Value, channel int) {
	shape, data := w.Const.Shape(), w.Const.F32()
	n := shape[len(shape)-1]
	for i := channel; m.outliers > 0 && i < len(data); i += n {
		data[i] *= float32(m.outliers)
	}
}

func (m *transformer) norm(x *graph.Value) *graph.Value {
	last := op.Attrs{"axes": []int64{-1}}
	if !m.rms {
		x = m.add("Sub", nil, x, m.add("ReduceMean", last, x))
	}
	square := m.add("ReduceMean", last, m.add("Mul", nil, x, x))
	x = m.add("Div", nil, x, m.add("Sqrt", nil, m.add("Add", nil, square, m.number(1e-5))))
	gain := m.random(0.1, m.d)
	for i := range gain.Const.F32() {
		gain.Const.F32()[i]++
	}
	m.enlarge(gain, 3)
	x = m.add("Mul", nil, x, gain)
	if !m.rms {
		x = m.add("Add", nil, x, m.random(0.1, m.d))
	}
	return x
}

// heads makes [N, heads, length, d/heads] of [N, length, d].
func (m *transformer) heads(x *graph.Value) *graph.Value {
	x = m.add("Reshape", nil, x, m.ints(0, length, int64(m.h), int64(m.d/m.h)))
	return m.add("Transpose", op.Attrs{"perm": []int64{0, 2, 1, 3}}, x)
}

// rotated turns pairs of channels by angles that grow with the position.
func (m *transformer) rotated(x *graph.Value) *graph.Value {
	if !m.rotary {
		return x
	}
	n := m.d / m.h
	cos, sin := tensor.New(tensor.Float32, length, n), tensor.New(tensor.Float32, length, n)
	for p := range length {
		for i := range n {
			angle := float64(p) * math.Pow(rotation, -float64(i%(n/2))/float64(n/2))
			cos.F32()[p*n+i], sin.F32()[p*n+i] = float32(math.Cos(angle)), float32(math.Sin(angle))
		}
	}
	part := func(from, to int) *graph.Value {
		return m.add("Slice", nil, x, m.ints(int64(from)), m.ints(int64(to)), m.ints(-1))
	}
	turned := m.add("Concat", op.Attrs{"axis": int64(-1)}, m.add("Neg", nil, part(n/2, n)), part(0, n/2))
	return m.add("Add", nil, m.add("Mul", nil, x, m.constant(cos)), m.add("Mul", nil, turned, m.constant(sin)))
}

func (m *transformer) attention(x, mask *graph.Value) *graph.Value {
	q, k, v := m.rotated(m.heads(m.linear(x, m.d, m.d))), m.rotated(m.heads(m.linear(x, m.d, m.d))), m.heads(m.linear(x, m.d, m.d))
	s := m.add("MatMul", nil, q, m.add("Transpose", op.Attrs{"perm": []int64{0, 1, 3, 2}}, k))
	s = m.add("Mul", nil, s, m.number(float32(1/math.Sqrt(float64(m.d/m.h)))))
	if mask != nil {
		s = m.add("Add", nil, s, mask)
	}
	y := m.add("MatMul", nil, m.add("Softmax", op.Attrs{"axis": int64(-1)}, s), v)
	y = m.add("Transpose", op.Attrs{"perm": []int64{0, 2, 1, 3}}, y)
	return m.linear(m.add("Reshape", nil, y, m.ints(0, length, int64(m.d))), m.d, m.d)
}

func (m *transformer) feedForward(x *graph.Value) *graph.Value {
	up := m.linear(x, m.d, 4*m.d)
	if m.gated {
		gate := m.linear(x, m.d, 4*m.d)
		up = m.add("Mul", nil, up, m.add("Mul", nil, gate, m.add("Sigmoid", nil, gate)))
	} else {
		erf := m.add("Erf", nil, m.add("Div", nil, up, m.number(float32(math.Sqrt2))))
		up = m.add("Mul", nil, m.add("Mul", nil, up, m.add("Add", nil, erf, m.number(1))), m.number(0.5))
	}
	w := m.random(1/math.Sqrt(float64(4*m.d)), 4*m.d, m.d)
	m.enlarge(w, 5)
	return m.add("Add", nil, m.add("MatMul", nil, up, w), m.random(0.1, m.d))
}

func (m *transformer) build(layers int) {
	ids := m.input("ids")
	var mask *graph.Value
	if m.masked {
		low := []float32{-1e4, -1e9, -math.MaxFloat32}[m.rng.IntN(3)]
		inverse := m.add("Sub", nil, m.number(1), m.add("Cast", op.Attrs{"to": int64(1)}, m.input("mask")))
		mask = m.add("Mul", nil, m.add("Unsqueeze", nil, inverse, m.ints(1, 2)), m.number(low))
	}
	table := m.random(1, words, m.d)
	x := m.add("Gather", nil, table, ids)
	if !m.rotary {
		x = m.add("Add", nil, x, m.random(0.5, length, m.d))
	}
	for range layers {
		if m.before {
			x = m.add("Add", nil, x, m.attention(m.norm(x), mask))
			x = m.add("Add", nil, x, m.feedForward(m.norm(x)))
		} else {
			x = m.norm(m.add("Add", nil, x, m.attention(x, mask)))
			x = m.norm(m.add("Add", nil, x, m.feedForward(x)))
		}
	}
	if x = m.norm(x); m.tied {
		x = m.add("MatMul", nil, x, m.add("Transpose", op.Attrs{"perm": []int64{1, 0}}, table))
	} else {
		x = m.linear(x, m.d, 8)
	}
	m.g.Outputs = []*graph.Value{x}
}

// texts are random ones, of which the end is masked.
func (m *transformer) texts(t *testing.T, count int) dataset.Source {
	t.Helper()
	ids, mask := tensor.New(tensor.Int64, count, length), tensor.New(tensor.Int64, count, length)
	for i := range count {
		end := 2 + m.rng.IntN(length-1)
		for p := range length {
			tensor.Data[int64](ids)[i*length+p] = m.rng.Int64N(words)
			if p < end {
				tensor.Data[int64](mask)[i*length+p] = 1
			}
		}
	}
	inputs := []*tensor.Tensor{ids}
	if m.masked {
		inputs = append(inputs, mask)
	}
	s, err := dataset.FromTensors(inputs...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ratio returns the signal-to-noise ratio of a form of the network on texts that it has not seen, NaN where that is no number.
func (m *transformer) ratio(t *testing.T, quantized *graph.Graph) float64 {
	t.Helper()
	signal, noise := 0.0, 0.0
	data := m.texts(t, unseen)
	for batch, err := range data.Batches(unseen) {
		if err != nil {
			t.Fatal(err)
		}
		want, got := m.run(t, m.g, batch), m.run(t, quantized, batch)
		for i, v := range want {
			signal, noise = signal+v*v, noise+(v-got[i])*(v-got[i])
		}
	}
	return 10 * math.Log10(signal/noise)
}

func (m *transformer) run(t *testing.T, g *graph.Graph, inputs []*tensor.Tensor) []float64 {
	t.Helper()
	net, err := engine.Compile(g)
	if err != nil {
		t.Fatal(err)
	}
	y, err := net.Run(context.Background(), inputs...)
	if err != nil {
		t.Fatal(err)
	}
	return y[0].Float64s()
}
