package ptq

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// FuzzQuantize changes random networks in ways that no file should have, and puts them through the plan, the
// quantizer and the engine: each gives a result or an error, in time, and leaves the network as it was.
func FuzzQuantize(f *testing.F) {
	for seed := range uint64(40) {
		f.Add(seed, uint8(seed%6), []byte{})
		f.Add(seed, uint8(seed%5), []byte{byte(seed), byte(3 * seed), 2, byte(seed / 3), byte(7 * seed), 1, 4, 200, 9})
	}
	data := images(f, 3, 4, 6, 6)
	f.Fuzz(func(t *testing.T, seed uint64, layers uint8, changes []byte) {
		m := &mutator{Graph: newRandomNet(seed%4096, int(layers%6)+1), bytes: changes}
		for n := 0; len(m.bytes) > 0 && n < 6; n++ {
			m.change()
		}
		survives(t, m.Graph, data, fuzzOptions[seed%uint64(len(fuzzOptions))]...)
	})
}

// survives puts a network through everything.
func survives(t *testing.T, g *graph.Graph, data dataset.Source, options ...Option) {
	t.Helper()
	valid, before := g.Check() == nil, ""
	if valid {
		before = graph.Format(g)
	}
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	_, err := NewPlan(g, options...)
	harmless(t, err)
	harmless(t, runOnce(ctx, g, data))
	q, err := Quantize(ctx, g, data, options...)
	harmless(t, err)
	if err == nil {
		harmless(t, runOnce(ctx, q.Graph, data))
	}
	if valid && graph.Format(g) != before {
		t.Error("the network that was given was changed")
	}
}

// fuzzOptions are those that go different ways through the steps; most leave out what only takes time.
var fuzzOptions = func() [][]Option {
	quick := func(more ...Option) []Option { return append(more, WithMeasure(false), WithClip(Max)) }
	return [][]Option{
		nil, quick(), quick(WithCompensation(false), WithEqualize(false)), quick(WithQOperator(true)), quick(WithShift(true)), quick(WithNoRound(true)), quick(WithBits(4, 8)),
		quick(WithBits(8, 16)), quick(WithPerChannel(false), WithHoldout(0.3)), quick(WithPlaces(PlacesWeighted)), {WithAsymmetric(false), WithClip(KL), WithMeasure(false)},
	}
}()

// harmless fails if an error is the trace of a fault in the code.
func harmless(t *testing.T, err error) {
	t.Helper()
	if err != nil && (strings.Contains(err.Error(), "internal error") || strings.Contains(err.Error(), "broke on it") || errors.Is(err, context.DeadlineExceeded)) {
		t.Fatal(err)
	}
}

// runOnce runs a network on the first batch of data.
func runOnce(ctx context.Context, g *graph.Graph, data dataset.Source) error {
	net, err := engine.Compile(g)
	if err != nil {
		return err
	}
	for x, err := range data.Batches(2) {
		if err == nil {
			_, err = net.Run(ctx, x...)
		}
		return err
	}
	return nil
}

// mutator changes a network as its bytes say.
type mutator struct {
	*graph.Graph
	bytes []byte
}

// choose takes a byte and returns a number below n; 0 if there are no bytes left.
func (m *mutator) choose(n int) int {
	if len(m.bytes) == 0 || n <= 0 {
		return 0
	}
	b := m.bytes[0]
	m.bytes = m.bytes[1:]
	return int(b) % n
}

func (m *mutator) integer() int64 {
	return []int64{0, 1, 2, 3, -1, -2, 4, 5, 7, 36, 64, -7, 1 << 31, 1 << 40, math.MaxInt64, math.MinInt64}[m.choose(16)]
}

func (m *mutator) integers() []int64 {
	list := make([]int64, m.choose(6))
	for i := range list {
		list[i] = m.integer()
	}
	return list
}

func (m *mutator) value() *graph.Value {
	all := m.Values()
	if len(all) == 0 || m.choose(16) == 15 {
		return nil
	}
	return all[m.choose(len(all))]
}

// change makes one change.
func (m *mutator) change() {
	if len(m.Nodes) == 0 {
		return
	}
	n := m.Nodes[m.choose(len(m.Nodes))]
	switch m.choose(12) {
	case 0:
		if len(n.Inputs) > 0 {
			n.Inputs[m.choose(len(n.Inputs))] = m.value()
		}
	case 1:
		n.Op = fuzzOperators[m.choose(len(fuzzOperators))]
	case 2:
		m.attribute(n)
	case 3:
		n.Inputs = append(n.Inputs, m.value())
	case 4:
		n.Inputs = n.Inputs[:m.choose(len(n.Inputs)+1)]
	case 5, 6:
		m.constant(n)
	case 7:
		m.declare()
	case 8:
		m.Outputs = append(m.Outputs, m.value())
	case 9:
		m.Opset[[]string{"", "com.microsoft", "ai.onnx.ml"}[m.choose(3)]] = []int{0, 1, 7, 11, 17, 21, 24, 99, -1}[m.choose(9)]
	case 10:
		if m.choose(2) == 0 {
			n.Name = m.Nodes[m.choose(len(m.Nodes))].Name
		} else {
			n.Outputs = append(n.Outputs, []*graph.Value{nil, {Name: "more", Node: n}}[m.choose(2)])
		}
	case 11:
		i := slices.Index(m.Nodes, n)
		m.Nodes = slices.Delete(m.Nodes, i, i+1)
	}
}

// fuzzOperators may stand where others do; the table's own list grows, which would change what a seed means.
var fuzzOperators = []string{"Conv", "Gemm", "MatMul", "Add", "Mul", "Div", "Relu", "Reshape", "Concat", "Slice", "Pad", "Resize", "Transpose", "Softmax", "LSTM", "Loop", "If", "Scan",
	"Gather", "Expand", "Tile", "Range", "ConstantOfShape", "TopK", "NonZero", "Einsum", "QuantizeLinear", "DequantizeLinear", "ReduceMean", "Squeeze", "Unsqueeze", "Cast", "Split",
	"MaxPool", "AveragePool", "GlobalMaxPool", "BatchNormalization", "InstanceNormalization", "LayerNormalization", "ConvTranspose", "Where", "Shape", "Size", "Identity", "Dropout",
	"Clip", "PRelu", "Flatten", "GatherND", "ScatterND", "CumSum", "ArgMax", "DepthToSpace", "SpaceToDepth", "Sum", "Mean", "Max", "Min", "Pow", "Sqrt", "Erf", "LRN", "GRU", "Nothing", ""}

var fuzzAttributes = []string{"axis", "group", "kernel_shape", "strides", "pads", "dilations", "auto_pad", "ceil_mode", "count_include_pad", "keepdims", "perm", "to", "mode", "alpha", "beta",
	"transA", "transB", "axes", "epsilon", "value", "block_size", "body", "then_branch", "else_branch", "output_shape", "num_outputs", "hidden_size"}

func (m *mutator) attribute(n *graph.Node) {
	if n.Attrs == nil {
		n.Attrs = op.Attrs{}
	}
	name := fuzzAttributes[m.choose(len(fuzzAttributes))]
	switch m.choose(7) {
	case 0, 1:
		n.Attrs[name] = m.integer()
	case 2, 3:
		n.Attrs[name] = m.integers()
	case 4:
		n.Attrs[name] = float32(m.integer())
	case 5:
		n.Attrs[name] = []string{"SAME_UPPER", "VALID", "reflect", "edge", "linear", "nonsense", ""}[m.choose(7)]
	case 6:
		delete(n.Attrs, name)
	}
}

// constant puts another one where a node reads one: of another type, shape, or with numbers that are none.
func (m *mutator) constant(n *graph.Node) {
	var at []int
	for i, v := range n.Inputs {
		if v.IsConst() {
			at = append(at, i)
		}
	}
	if len(at) == 0 {
		return
	}
	i := at[m.choose(len(at))]
	c := n.Inputs[i].Const
	switch m.choose(4) {
	case 0:
		list := m.integers()
		c = tensor.From(list, len(list))
	case 1:
		shape := slices.Clone(c.Shape())
		if len(shape) > 0 {
			shape[m.choose(len(shape))] = m.choose(5)
		}
		c = tensor.New([]tensor.DType{tensor.Float32, tensor.Float16, tensor.Int64, tensor.Int8, tensor.Float64, tensor.String}[m.choose(6)], shape...)
	case 2:
		c = tensor.Scalar([]float32{0, 1, -1, 1e-38, 1e38, float32(math.Inf(1)), float32(math.NaN())}[m.choose(7)])
	case 3:
		if c.DType() == tensor.Float32 && c.Len() > 0 {
			c = tensor.From(slices.Clone(c.F32()), c.Shape()...)
			c.F32()[m.choose(c.Len())] = []float32{0, 1e30, float32(math.Inf(-1)), float32(math.NaN()), 1e-40}[m.choose(5)]
		}
	}
	n.Inputs[i] = graph.NewConst(n.Inputs[i].Name+"'", c)
}

// declare says something else of an input or an output.
func (m *mutator) declare() {
	all := slices.Concat(m.Inputs, m.Outputs)
	v := all[m.choose(len(all))]
	if v == nil {
		return
	}
	shape := slices.Clone(v.Type.Shape)
	if len(shape) > 0 {
		shape[m.choose(len(shape))] = int(m.integer())
	}
	v.Type = op.Type{DType: []tensor.DType{tensor.Float32, tensor.Undefined, tensor.Int64, tensor.Float16, tensor.Uint8}[m.choose(5)], Shape: shape, Known: m.choose(8) != 7}
}

// TestMutatedNetworks goes through changes that are drawn as the fuzzer's are, without its bookkeeping, which takes longer
// than the networks: NARROW_MUTATED_NETWORKS says how many, NARROW_MUTATED_FIRST where to begin.
func TestMutatedNetworks(t *testing.T) {
	count, data := uint64(400), images(t, 3, 4, 6, 6)
	if testing.Short() {
		count = 60
	}
	if n, err := strconv.ParseUint(os.Getenv("NARROW_MUTATED_NETWORKS"), 10, 64); err == nil {
		count = n
	}
	from, _ := strconv.ParseUint(os.Getenv("NARROW_MUTATED_FIRST"), 10, 64)
	for i := from; i < from+count; i++ {
		r := rand.New(rand.NewPCG(i, 11))
		changes := make([]byte, 3+r.IntN(20))
		for i := range changes {
			changes[i] = byte(r.Uint32())
		}
		m := &mutator{Graph: newRandomNet(r.Uint64N(4096), 1+r.IntN(6)), bytes: changes}
		for n := 0; len(m.bytes) > 0 && n < 6; n++ {
			m.change()
		}
		options := fuzzOptions[r.IntN(len(fuzzOptions))]
		if !t.Run("", func(t *testing.T) { survives(t, m.Graph, data, options...) }) {
			t.Errorf("network %d", i)
		}
	}
}
