package graph

import (
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

// builder makes graphs for tests.
type builder struct {
	*Graph
	seed uint32
}

func build() *builder {
	return &builder{Graph: &Graph{Opset: map[string]int{"": 13}}, seed: 1}
}

func (b *builder) input(name string, shape ...int) *Value {
	v := &Value{Name: name, Type: op.Type{DType: tensor.Float32, Shape: shape, Known: true}}
	for _, d := range shape {
		if d == op.Unknown && v.Dims == nil {
			v.Dims = make([]string, len(shape))
			v.Dims[0] = "N"
		}
	}
	b.Inputs = append(b.Inputs, v)
	return v
}

// random returns a constant with numbers in [-1, 1).
func (b *builder) random(name string, shape ...int) *Value {
	return NewConst(name, b.numbers(shape...))
}

func (b *builder) numbers(shape ...int) *tensor.Tensor {
	t := tensor.New(tensor.Float32, shape...)
	for i := range t.F32() {
		b.seed = b.seed*1664525 + 1013904223
		t.F32()[i] = float32(int32(b.seed)) / (1 << 31)
	}
	return t
}

func floats(name string, v ...float32) *Value { return NewConst(name, tensor.From(v, len(v))) }
func ints(name string, v ...int64) *Value     { return NewConst(name, tensor.From(v, len(v))) }

func (b *builder) output(vs ...*Value) *Graph {
	b.Outputs = append(b.Outputs, vs...)
	return b.Graph
}

// compute runs g by the reference operators.
func compute(t *testing.T, g *Graph, inputs ...*tensor.Tensor) []*tensor.Tensor {
	t.Helper()
	if err := g.Sort(); err != nil {
		t.Fatal(err)
	}
	values := make(map[*Value]*tensor.Tensor)
	for i, v := range g.Inputs {
		values[v] = inputs[i]
	}
	get := func(v *Value) *tensor.Tensor {
		if v.IsConst() {
			return v.Const
		}
		return values[v]
	}
	for _, n := range g.Nodes {
		o, err := op.Lookup(n.Domain, n.Op)
		if err != nil {
			t.Fatal(err)
		}
		c := &op.Call{Attrs: n.Attrs, Version: g.Opset[n.Domain], In: make([]*tensor.Tensor, len(n.Inputs)), Out: make([]*tensor.Tensor, len(n.Outputs))}
		for i, v := range n.Inputs {
			if v != nil {
				c.In[i] = get(v)
			}
		}
		if err := o.Run(c); err != nil {
			t.Fatalf("%s: %v", n, err)
		}
		for i, v := range n.Outputs {
			if v != nil {
				values[v] = c.Out[i]
			}
		}
	}
	var outs []*tensor.Tensor
	for _, v := range g.Outputs {
		outs = append(outs, get(v))
	}
	return outs
}

// sameFunction checks that two graphs give the same for random inputs of the
// shapes, within a float32 sum's rounding.
func sameFunction(t *testing.T, before, after *Graph, shapes ...[]int) {
	t.Helper()
	b := build()
	var inputs []*tensor.Tensor
	for _, s := range shapes {
		inputs = append(inputs, b.numbers(s...))
	}
	want, got := compute(t, before, inputs...), compute(t, after, inputs...)
	if len(want) != len(got) {
		t.Fatalf("%d outputs, not %d", len(got), len(want))
	}
	for i := range want {
		if before.Outputs[i].Name != after.Outputs[i].Name {
			t.Errorf("output %d is named %q, not %q", i, after.Outputs[i].Name, before.Outputs[i].Name)
		}
		if !slices.Equal(want[i].Shape(), got[i].Shape()) {
			t.Fatalf("output %d has shape %v, not %v", i, got[i].Shape(), want[i].Shape())
		}
		w, g := want[i].Float64s(), got[i].Float64s()
		for j := range w {
			if d := math.Abs(w[j] - g[j]); !(d <= 1e-5*(1+math.Abs(w[j]))) {
				t.Fatalf("output %d[%d] is %v, not %v", i, j, g[j], w[j])
			}
		}
	}
}

func ops(g *Graph) []string {
	var names []string
	for _, n := range g.Nodes {
		names = append(names, n.Op)
	}
	return names
}

// checkPass runs a pass on a graph: it must leave these operators, and the
// function as it was.
func checkPass(t *testing.T, g *Graph, run func(*Graph) (int, error), want []string, shapes ...[]int) *Graph {
	t.Helper()
	before := g.Clone()
	if err := Infer(g); err != nil {
		t.Fatal(err)
	}
	n, err := run(g)
	if err != nil {
		t.Fatal(err)
	}
	if got := ops(g); !slices.Equal(got, want) {
		t.Fatalf("operators are %v, not %v\n%s", got, want, Format(g))
	}
	if changed := !slices.Equal(ops(before), want); changed != (n > 0) {
		t.Errorf("%d changes reported", n)
	}
	sameFunction(t, before, g, shapes...)
	return g
}

func checkGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: the graph is now\n%s\nit was\n%s", path, got, want)
	}
}

func TestSort(t *testing.T) {
	b := build()
	x := b.input("x", 2)
	c := b.New("c", "Relu", nil, nil)
	a := b.New("a", "Relu", nil, x)
	b.New("dead", "Neg", nil, a)
	c.Node.Inputs[0] = a
	g := b.output(c)
	if err := g.Sort(); err != nil {
		t.Fatal(err)
	}
	if g.Nodes[0].Name != "a" || len(g.Nodes) != 2 {
		t.Errorf("order is %s", Format(g))
	}
	a.Node.Inputs[0] = c
	if err := g.Sort(); !errors.Is(err, ErrCycle) {
		t.Errorf("a cycle gives %v", err)
	}
}

func TestSortLongChain(t *testing.T) {
	b := build()
	v := b.input("x", 2)
	for range 20_000 {
		v = b.New("n", "Relu", nil, v)
	}
	slices.Reverse(b.Nodes)
	g := b.output(v)
	if err := g.Sort(); err != nil || len(g.Nodes) != 20_000 || g.Nodes[0].Inputs[0] != g.Inputs[0] {
		t.Errorf("long chain: %v", err)
	}
}

// nested is an If whose branches read a value of the graph around them.
func nested() (*Graph, *Value) {
	b := build()
	x := b.input("x", 2)
	outer := b.New("outer", "Relu", nil, x)
	branch := func(name, operator string) *Graph {
		sub := &Graph{Opset: b.Opset}
		sub.Outputs = []*Value{sub.New(name, operator, nil, outer)}
		return sub
	}
	cond := NewConst("cond", tensor.Scalar(true))
	y := b.New("y", "If", op.Attrs{"then_branch": branch("t", "Neg"), "else_branch": branch("e", "Abs")}, cond)
	return b.output(y), outer
}

func TestSubgraphsKeepWhatTheyRead(t *testing.T) {
	g, outer := nested()
	if err := g.Sort(); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(ops(g), []string{"Relu", "If"}) {
		t.Fatalf("operators are %v", ops(g))
	}
	if n := len(g.Uses()[outer]); n != 2 {
		t.Errorf("the captured value has %d uses, not 2", n)
	}
	c := g.Clone()
	if Format(c) != Format(g) {
		t.Errorf("clone differs:\n%s", Format(c))
	}
	then := c.Nodes[1].Attrs["then_branch"].(*Graph)
	if then.Nodes[0].Inputs[0] != c.Nodes[0].Outputs[0] {
		t.Error("the clone's branch reads the original's value")
	}
	g.Replace(outer, g.Inputs[0])
	if err := g.Sort(); err != nil || len(g.Nodes) != 1 {
		t.Errorf("after Replace: %v %v", ops(g), err)
	}
}

func TestReplaceKeepsOutputName(t *testing.T) {
	b := build()
	x := b.input("x", 2)
	a := b.New("a", "Relu", nil, x)
	y := b.New("y", "Identity", nil, a)
	g := b.output(y)
	g.Replace(y, a)
	if g.Outputs[0] != a || a.Name != "y" {
		t.Errorf("output is %q", g.Outputs[0].Name)
	}
}

func TestFormat(t *testing.T) {
	b := build()
	x := b.input("x", op.Unknown, 3, 8, 8)
	y := b.New("conv", "Conv", op.Attrs{"pads": []int64{1, 1, 1, 1}}, x, b.random("w", 4, 3, 3, 3), floats("b", 0.5, -1, 0, 2))
	z := b.New("z", "Clip", nil, y, nil, NewConst("six", tensor.Scalar[float32](6)))
	g := b.output(z)
	if err := Infer(g); err != nil {
		t.Fatal(err)
	}
	checkGolden(t, "format.txt", Format(g))
	g, _ = nested()
	checkGolden(t, "format_nested.txt", Format(g))
}

func TestRecurrentMACs(t *testing.T) {
	b := build()
	x := b.input("x", 20, op.Unknown, 3)
	g := b.output(b.New("lstm", "LSTM", op.Attrs{"hidden_size": int64(5), "direction": "bidirectional"}, x, b.random("w", 2, 20, 3), b.random("r", 2, 20, 5)))
	if err := Infer(g); err != nil {
		t.Fatal(err)
	}
	if got, want := MACs(g.Nodes[0]), int64(20*2*20*(3+5)); got != want {
		t.Errorf("%d multiply-accumulates, not %d", got, want)
	}
	body := &Graph{Nodes: []*Node{{Op: "MatMul"}}}
	for i, n := range []*Node{{Op: "If", Attrs: op.Attrs{"then_branch": body, "else_branch": body}}, {Op: "Conv", Outputs: []*Value{{}}}} {
		if CountsMACs(n) || MACs(n) != 0 {
			t.Errorf("node %d: %d multiply-accumulates, known %v", i, MACs(n), CountsMACs(n))
		}
	}
}

func TestMACs(t *testing.T) {
	b := build()
	x := b.input("x", op.Unknown, 4, 8, 8)
	v := b.New("conv", "Conv", op.Attrs{"group": int64(2), "strides": []int64{2, 2}, "pads": []int64{1, 1, 1, 1}}, x, b.random("w", 6, 2, 3, 3))
	v = b.New("up", "ConvTranspose", op.Attrs{"strides": []int64{2, 2}}, v, b.random("wt", 6, 5, 2, 2))
	v = b.New("flat", "Flatten", nil, v)
	v = b.New("fc", "Gemm", op.Attrs{"transB": int64(1)}, v, b.random("wf", 10, 320), b.random("bf", 10))
	g := b.output(v)
	if err := Infer(g); err != nil {
		t.Fatal(err)
	}
	want := []int64{6 * 4 * 4 * 2 * 9, 6 * 4 * 4 * 5 * 4, 0, 10 * 320}
	params := []int64{6 * 2 * 9, 6 * 5 * 4, 0, 3210}
	for i, n := range g.Nodes {
		if got := MACs(n); got != want[i] {
			t.Errorf("%s: %d multiply-accumulates, not %d", n, got, want[i])
		}
		if got := Parameters(n); got != params[i] {
			t.Errorf("%s: %d parameters, not %d", n, got, params[i])
		}
	}
}
