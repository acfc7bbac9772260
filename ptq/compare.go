package ptq

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// ErrNothingInCommon reports two networks without a tensor of the same name.
var ErrNothingInCommon = errors.New("ptq: the networks have no tensor in common")

// Comparison is how far a tensor of one network is from that of the other.
type Comparison struct {
	Name   string     `json:"name"`
	SQNR   float64    `json:"sqnr_db"` // +Inf if they are equal
	Cosine float64    `json:"cosine"`  // of the angle between them; 1 if both are zero
	Want   [2]float64 `json:"range"`   // least and greatest value in the reference
	Got    [2]float64 `json:"range_quantized"`
}

// Compare runs a float network and a quantized form of it, by this or any other
// tool, on the same data and compares the tensors that have the same name in both, the
// outputs among them: the worst first.
func Compare(ctx context.Context, reference, quantized *graph.Graph, data dataset.Source, batch, threads int) ([]Comparison, error) {
	names, want, got := common(reference, quantized)
	if len(names) == 0 {
		return nil, ErrNothingInCommon
	}
	a, err := withOutputs(reference, want, threads)
	if err != nil {
		return nil, err
	}
	b, err := withOutputs(quantized, got, threads)
	if err != nil {
		return nil, err
	}
	sums := make([]difference, len(names))
	data, _ = a.Separate(data)
	for inputs, err := range data.Batches(batch) {
		if err != nil {
			return nil, err
		}
		x, err := a.Run(ctx, inputs...)
		if err != nil {
			return nil, err
		}
		y, err := b.Run(ctx, inputs...)
		if err != nil {
			return nil, err
		}
		for i := range names {
			if err := sums[i].add(x[i], y[i]); err != nil {
				return nil, fmt.Errorf("ptq: tensor %q: %w", names[i], err)
			}
		}
	}
	out := make([]Comparison, len(names))
	for i, name := range names {
		out[i] = sums[i].result(name)
	}
	slices.SortStableFunc(out, func(a, b Comparison) int {
		switch {
		case a.SQNR < b.SQNR:
			return -1
		case a.SQNR > b.SQNR:
			return 1
		}
		return 0
	})
	return out, nil
}

func withOutputs(g *graph.Graph, values []*graph.Value, threads int) (*engine.Net, error) {
	part := *g
	part.Outputs = values
	return engine.Compile(&part, engine.WithThreads(threads))
}

// common returns the computed float tensors that both graphs have, by name, in the
// order of the first; of the second as it is read, after quantization.
func common(a, b *graph.Graph) (names []string, inA, inB []*graph.Value) {
	byName := make(map[string]*graph.Value)
	for _, n := range b.Nodes {
		for _, v := range n.Outputs {
			if v != nil {
				byName[v.Name] = v
			}
		}
	}
	for v, w := range dequantized(b) {
		byName[v.Name] = w
	}
	for _, n := range a.Nodes {
		for _, v := range n.Outputs {
			if v == nil || v.Type.DType != tensor.Float32 || byName[v.Name] == nil {
				continue
			}
			names, inA, inB = append(names, v.Name), append(inA, v), append(inB, byName[v.Name])
		}
	}
	return names, inA, inB
}

// dequantized returns, for each value that is quantized, its dequantized form.
func dequantized(g *graph.Graph) map[*graph.Value]*graph.Value {
	forms := make(map[*graph.Value]*graph.Value)
	for _, n := range g.Nodes {
		if n.Op != "DequantizeLinear" || n.In(0) == nil || n.In(0).Node == nil {
			continue
		}
		if q := n.In(0).Node; q.Op == "QuantizeLinear" && forms[q.Inputs[0]] == nil {
			forms[q.Inputs[0]] = n.Outputs[0]
		}
	}
	return forms
}

// difference sums up how two tensors differ.
type difference struct {
	signal, noise, other, product float64
	want, got                     [2]float64
}

func (d *difference) add(want, got *tensor.Tensor) error {
	if !slices.Equal(want.Shape(), got.Shape()) {
		return fmt.Errorf("shapes %v and %v differ", want.Shape(), got.Shape())
	}
	y := got.Float32s()
	for i, v := range want.Float32s() {
		x, z := float64(v), float64(y[i])
		d.signal += x * x
		d.other += z * z
		d.product += x * z
		d.noise += (x - z) * (x - z)
		d.want = [2]float64{math.Min(d.want[0], x), math.Max(d.want[1], x)}
		d.got = [2]float64{math.Min(d.got[0], z), math.Max(d.got[1], z)}
	}
	return nil
}

func (d *difference) result(name string) Comparison {
	c := Comparison{Name: name, SQNR: 10 * math.Log10(d.signal/d.noise), Cosine: d.product / math.Sqrt(d.signal*d.other), Want: d.want, Got: d.got}
	if d.noise == 0 {
		c.SQNR = math.Inf(1)
	}
	if d.signal == 0 && d.other == 0 {
		c.Cosine = 1
	}
	return c
}
