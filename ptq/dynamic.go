package ptq

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// DynamicOptions say how [QuantizeDynamic] works.
type DynamicOptions struct {
	Rows    bool     // rows of what products of matrices read are brought to one magnitude before; otherwise a tensor's largest row takes the steps from others
	Exclude []string // nodes that stay in float
	Safe    bool     // neighbouring weights of at most 128 together, see [WithSaturationSafe]
	Threads int      // 0 for as many as there are processors
}

// QuantizeDynamic returns g with its products on 8-bit integers: weights with a scale for each output, activations
// with the range that each has when the network runs (DynamicQuantizeLinear, then MatMulInteger or ConvInteger). Embeddings and the
// weights of recurrent operators become 8-bit integers that are read back as floats. It needs no data and does not change g.
func QuantizeDynamic(ctx context.Context, g *graph.Graph, o DynamicOptions) (*WeightsResult, error) {
	g, err := copied(g)
	if err != nil {
		return nil, err
	}
	if err := graph.Infer(g); err == nil && nothingInFloat(g) {
		return nil, ErrQuantized
	}
	if err := Prepare(g, preparedOpset); err != nil {
		return nil, err
	}
	d := &dynamic{DynamicOptions: o, lowering: newLowering(g), ranges: make(map[*graph.Value]*dynamicRange), rows: make(map[*graph.Value]*dynamicRows), result: &WeightsResult{Graph: g, Float: make(map[string]string)}}
	if d.excluded, err = named(g, o.Exclude); err != nil {
		return nil, err
	}
	for _, n := range slices.Clone(g.Nodes) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := d.node(n); err != nil {
			return nil, nodeError(n, err)
		}
	}
	d.lowering.finish()
	if err := g.Sort(); err != nil {
		return nil, fmt.Errorf("ptq: %w", err)
	}
	return d.rest(ctx)
}

// rest quantizes the weights that no product on integers took.
func (d *dynamic) rest(ctx context.Context) (*WeightsResult, error) {
	products := d.result
	weights := DefaultWeightOptions()
	weights.Symmetric, weights.Threads = true, d.Threads
	for n := range d.excluded {
		if slices.Contains(products.Graph.Nodes, n) {
			weights.Exclude = append(weights.Exclude, n.Name)
		}
	}
	r, err := QuantizeWeights(ctx, products.Graph, weights)
	switch {
	case err == nil:
		r.Quantized += products.Quantized
		return r, nil
	case errors.Is(err, ErrNoWeights) && products.Quantized > 0:
		return products, nil
	}
	return nil, err
}

// dynamic carries a dynamic quantization out.
type dynamic struct {
	DynamicOptions
	lowering *lowering
	result   *WeightsResult
	ranges   map[*graph.Value]*dynamicRange
	rows     map[*graph.Value]*dynamicRows
	excluded map[*graph.Node]bool
}

// dynamicRange is a tensor's integers, scale and zero point, made when the network runs.
type dynamicRange struct{ data, scale, zero *graph.Value }

// rangeOf quantizes v, once for all who read it.
func (d *dynamic) rangeOf(v *graph.Value) *dynamicRange {
	if d.ranges[v] != nil {
		return d.ranges[v]
	}
	l := d.lowering
	data := l.add(v.Name+"_dynamic", "DynamicQuantizeLinear", nil, v)
	r := &dynamicRange{data: data, scale: &graph.Value{Name: l.name(v.Name + "_dynamic_scale"), Node: data.Node}, zero: &graph.Value{Name: l.name(v.Name + "_dynamic_zero"), Node: data.Node}}
	data.Node.Outputs = append(data.Node.Outputs, r.scale, r.zero)
	d.ranges[v] = r
	return r
}

// node brings a product with constant weights to integers.
func (d *dynamic) node(n *graph.Node) error {
	traits := n.Traits()
	if traits.Dynamic == "" || !n.In(1).IsConst() || n.In(0).IsConst() || n.In(1).Const.DType() != tensor.Float32 || n.In(1).Const.Len() < leastWeights || !finite(n.In(1).Const) {
		return nil
	}
	if d.excluded[n] {
		d.result.Float[n.Name] = "it was excluded"
		return nil
	}
	if kind, reason := kindOf(d.lowering.g, n, &traits); kind != op.Affine {
		d.result.Float[n.Name] = reason.String()
		return nil
	}
	codes, scale, err := d.weights(n)
	if err != nil {
		return err
	}
	d.result.Quantized++
	d.replace(n, traits.Dynamic, codes, scale)
	return nil
}

// weights rounds the weights of n to 8 bits. Scales have the shape that makes them factors of the results.
func (d *dynamic) weights(n *graph.Node) (codes *tensor.Tensor, scale []float32, err error) {
	value, bias := n.Inputs[1], n.Inputs[2:]
	n.Inputs = []*graph.Value{n.Inputs[0], newScaling(d.lowering.g, value, &Scaling{Grid: Grid{Bits: 8, Signed: true}, Axis: -1, Paired: d.Safe})}
	scaling := n.Inputs[1].Node
	w := weightsOf(n)
	w.scaling.Scale, w.scaling.Axis = w.scales(true), w.axis
	if len(w.scaling.Scale) == 1 {
		w.scaling.Axis = -1
	}
	w.roundNearest()
	codes, err = w.scaling.quantize(scaling.Inputs[0].Const)
	n.Inputs = append([]*graph.Value{n.Inputs[0], value}, bias...)
	d.lowering.g.Nodes = slices.DeleteFunc(d.lowering.g.Nodes, func(m *graph.Node) bool { return m == scaling })
	return codes, w.scaling.Scale, err
}

// replace puts the product on integers in the place of n: the sums times both scales, and the bias.
func (d *dynamic) replace(n *graph.Node, operator string, codes *tensor.Tensor, scale []float32) {
	l, name := d.lowering, n.Name
	bias := n.In(2)
	attrs := n.Attrs
	channels := []int{len(scale)}
	switch {
	case n.Traits().Channels == 1: // of [batch, channels, space...]
		for range codes.Rank() - 2 {
			channels = append(channels, 1)
		}
	default:
		if n.Attrs.Int("transB", 0) != 0 {
			codes = transposed(codes)
		}
		attrs = nil
	}
	in, magnitude := n.Inputs[0], (*graph.Value)(nil)
	if d.Rows && len(channels) == 1 && n.Attrs.Int("transA", 0) == 0 {
		rows := d.rowsOf(in)
		in, magnitude = rows.data, rows.magnitude
	}
	x := d.rangeOf(in)
	sums := l.add(name+"_sums", operator, attrs, x.data, graph.NewConst(l.name(name+"_weights_quantized"), codes), x.zero)
	factor := l.add(name+"_factor", "Mul", nil, x.scale, graph.NewConst(l.name(name+"_weights_scale"), tensor.From(scale, channels...)))
	y := l.add(name+"_scaled", "Mul", nil, l.add(name+"_float", "Cast", op.Attrs{"to": int64(1)}, sums), factor)
	if magnitude != nil {
		y = l.add(name+"_restored", "Mul", nil, y, magnitude)
	}
	if bias != nil {
		b := bias
		if len(channels) > 1 {
			b = graph.NewConst(l.name(name+"_bias"), tensor.From(bias.Const.Float32s(), channels...))
		}
		y = l.add(name+"_biased", "Add", nil, y, b)
	}
	l.replace(n.Outputs[0], y)
}

// transposed returns a matrix of bytes with rows and columns exchanged.
func transposed(t *tensor.Tensor) *tensor.Tensor {
	rows, columns := t.Shape()[0], t.Shape()[1]
	from, to := tensor.Data[int8](t), make([]int8, rows*columns)
	for i, v := range from {
		to[i%columns*rows+i/columns] = v
	}
	return tensor.From(to, columns, rows)
}
