package graph

import (
	"fmt"
	"slices"
	"testing"

	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

func TestFoldConstants(t *testing.T) {
	b := build()
	x := b.input("x", 2, 3)
	sum := b.New("sum", "Add", nil, floats("p", 1, 2, 3), floats("q", 4, 5, 6))
	y := b.New("y", "Mul", nil, x, sum)
	g := checkPass(t, b.output(y), FoldConstants, []string{"Mul"}, []int{2, 3})
	if got := g.Nodes[0].Inputs[1]; !got.IsConst() || !slices.Equal(got.Const.F32(), []float32{5, 7, 9}) {
		t.Errorf("folded to %v", got.Const)
	}
}

func TestFoldConstantsLeavesQuantizersAndGiants(t *testing.T) {
	b := build()
	b.Opset[""] = 13
	x := b.input("x", 2)
	w := b.New("w", "DequantizeLinear", nil, NewConst("wq", tensor.From([]int8{1, 2}, 2)), NewConst("s", tensor.Scalar[float32](0.5)))
	giant := b.New("giant", "ConstantOfShape", nil, ints("n", 1<<24))
	y := b.New("y", "Add", nil, x, w)
	g := b.output(y, giant)
	if err := Infer(g); err != nil {
		t.Fatal(err)
	}
	if n, err := FoldConstants(g); n != 0 || err != nil {
		t.Errorf("%d folded, %v", n, err)
	}
}

func TestRemoveIdentities(t *testing.T) {
	b := build()
	x := b.input("x", 2, 3)
	first := b.New("first", "Identity", nil, x)
	relu := b.New("relu", "Relu", nil, first)
	drop := b.New("drop", "Dropout", nil, relu, NewConst("ratio", tensor.Scalar[float32](0.5)))
	same := b.New("same", "Cast", op.Attrs{"to": int64(1)}, drop)
	pad := b.New("pad", "Pad", nil, same, ints("none", 0, 0, 0, 0))
	y := b.New("y", "Concat", op.Attrs{"axis": int64(0)}, pad)
	checkPass(t, b.output(y), RemoveIdentities, []string{"Relu"}, []int{2, 3})
}

// Names of inputs and outputs are the network's interface.
func TestRemoveIdentitiesKeepsInterface(t *testing.T) {
	b := build()
	x := b.input("x", 2)
	g := b.output(b.New("y", "Identity", nil, x))
	checkPass(t, g, RemoveIdentities, []string{"Identity"}, []int{2})

	b = build()
	a := b.New("a", "Relu", nil, b.input("x", 2))
	g = b.output(a, b.New("y", "Identity", nil, a))
	checkPass(t, g, RemoveIdentities, []string{"Relu", "Identity"}, []int{2})
}

func TestFuseGemm(t *testing.T) {
	b := build()
	x := b.input("x", op.Unknown, 4)
	v := b.New("mm", "MatMul", nil, x, b.random("w", 4, 5))
	v = b.New("add", "Add", nil, b.random("bias", 5), v)
	g := checkPass(t, b.output(v), FuseGemm, []string{"Gemm"}, []int{3, 4})
	if g.Nodes[0].Name != "mm" {
		t.Errorf("the Gemm is named %q", g.Nodes[0].Name)
	}
}

func TestFuseGemmNot(t *testing.T) {
	b := build()
	x := b.input("x", 2, 3, 4) // not a matrix
	v := b.New("mm", "MatMul", nil, x, b.random("w", 4, 5))
	v = b.New("add", "Add", nil, v, b.random("bias", 5))
	checkPass(t, b.output(v), FuseGemm, []string{"MatMul", "Add"}, []int{2, 3, 4})

	b = build()
	x = b.input("x", 1, 4)
	v = b.New("mm", "MatMul", nil, x, b.random("w", 4, 5))
	v = b.New("add", "Add", nil, v, b.random("grows", 3, 5)) // makes it larger
	checkPass(t, b.output(v), FuseGemm, []string{"MatMul", "Add"}, []int{1, 4})

	b = build()
	x = b.input("x", 2, 4)
	mm := b.New("mm", "MatMul", nil, x, b.random("w", 4, 5))
	v = b.New("add", "Add", nil, mm, b.random("bias", 5)) // read twice
	checkPass(t, b.output(v, mm), FuseGemm, []string{"MatMul", "Add"}, []int{2, 4})
}

// batchNorm adds a BatchNormalization with the variances given, or random ones.
func (b *builder) batchNorm(name string, x *Value, c int, variance ...float32) *Value {
	if variance == nil {
		for _, v := range b.numbers(c).F32() {
			variance = append(variance, v+1.1)
		}
	}
	return b.New(name, "BatchNormalization", nil, x, b.random(name+"_s", c), b.random(name+"_b", c), b.random(name+"_m", c), floats(name+"_v", variance...))
}

func TestFoldBatchNorm(t *testing.T) {
	picture, matrix := []int{2, 4, 6, 6}, []int{3, 4}
	for _, c := range []struct {
		name  string
		op    string
		attrs op.Attrs
		w     []int
		bias  int
		shape []int
		out   int
	}{
		{"conv", "Conv", nil, []int{6, 4, 3, 3}, 6, picture, 6},
		{"conv without bias", "Conv", nil, []int{6, 4, 3, 3}, 0, picture, 6},
		{"depthwise", "Conv", op.Attrs{"group": int64(4)}, []int{4, 1, 3, 3}, 4, picture, 4},
		{"transposed", "ConvTranspose", op.Attrs{"strides": []int64{2, 2}}, []int{4, 6, 2, 2}, 6, picture, 6},
		{"transposed, groups", "ConvTranspose", op.Attrs{"group": int64(2)}, []int{4, 3, 2, 2}, 0, picture, 6},
		{"gemm", "Gemm", op.Attrs{"alpha": float32(0.5), "beta": float32(2)}, []int{4, 5}, 5, matrix, 5},
		{"gemm, transposed", "Gemm", op.Attrs{"transB": int64(1)}, []int{5, 4}, 5, matrix, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := build()
			in := []*Value{b.input("x", c.shape...), b.random("w", c.w...)}
			if c.bias > 0 {
				in = append(in, b.random("bias", c.bias))
			}
			v := b.New("affine", c.op, c.attrs, in...)
			v = b.batchNorm("bn", v, c.out)
			checkPass(t, b.output(v), FoldBatchNorm, []string{c.op}, c.shape)
		})
	}
}

func TestFoldBatchNormArithmetic(t *testing.T) {
	b := build()
	x := b.input("x", 2, 4, 6, 6)
	v := b.New("conv", "Conv", nil, x, b.random("w", 3, 4, 1, 1))
	v = b.New("mul", "Mul", nil, b.random("k", 1, 3, 1, 1), v)
	v = b.New("add", "Add", nil, v, b.random("a", 3, 1, 1))
	v = b.New("sub", "Sub", nil, v, NewConst("one", tensor.Scalar[float32](1)))
	v = b.New("div", "Div", nil, v, floats("two", 2))
	checkPass(t, b.output(v), FoldBatchNorm, []string{"Conv"}, []int{2, 4, 6, 6})
}

func TestFoldBatchNormNot(t *testing.T) {
	shape := []int{1, 4, 6, 6}
	b := build()
	x := b.input("x", shape...)
	checkPass(t, b.output(b.batchNorm("bn", x, 4)), FoldBatchNorm, []string{"BatchNormalization"}, shape)

	b = build()
	x = b.input("x", shape...)
	conv := b.New("conv", "Conv", nil, x, b.random("w", 4, 4, 1, 1))
	bn := b.batchNorm("bn", conv, 4)
	checkPass(t, b.output(bn, conv), FoldBatchNorm, []string{"Conv", "BatchNormalization"}, shape)

	b = build()
	x = b.input("x", shape...)
	conv = b.New("conv", "Conv", nil, x, b.random("w", 1, 4, 1, 1))
	wide := b.New("wide", "Add", nil, conv, b.random("k", 4, 1, 1)) // makes more channels
	checkPass(t, b.output(wide), FoldBatchNorm, []string{"Conv", "Add"}, shape)

	b = build()
	x = b.input("x", shape...)
	conv = b.New("conv", "Conv", nil, x, b.random("w", 4, 4, 1, 1))
	cols := b.New("cols", "Mul", nil, conv, b.random("k", 1, 6)) // along the width
	checkPass(t, b.output(cols), FoldBatchNorm, []string{"Conv", "Mul"}, shape)
}

// A channel whose variance vanishes is the constant that its mean makes it,
// and its weights stay finite.
func TestFoldBatchNormVanishingVariance(t *testing.T) {
	b := build()
	x := b.input("x", 1, 2, 3, 3)
	v := b.New("conv", "Conv", nil, x, b.random("w", 2, 2, 1, 1))
	v = b.batchNorm("bn", v, 2, 0, 1)
	v.Node.Attrs = op.Attrs{"epsilon": float32(0)}
	shift := v.Node.Inputs[2].Const.F32()[0]
	g := b.output(v)
	if err := Infer(g); err != nil {
		t.Fatal(err)
	}
	if n, err := FoldBatchNorm(g); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	y := compute(t, g, b.numbers(1, 2, 3, 3))[0].F32()
	for i := range 9 {
		if y[i] != shift {
			t.Errorf("element %d of the vanishing channel is %v, not %v", i, y[i], shift)
		}
	}
}

// Two nodes share one weight: folding into one must not change the other.
func TestFoldBatchNormSharedWeights(t *testing.T) {
	b := build()
	x := b.input("x", 1, 4, 5, 5)
	w := b.random("w", 4, 4, 1, 1)
	v := b.batchNorm("bn1", b.New("conv1", "Conv", nil, x, w), 4)
	v = b.batchNorm("bn2", b.New("conv2", "Conv", nil, v, w), 4)
	checkPass(t, b.output(v), FoldBatchNorm, []string{"Conv", "Conv"}, []int{1, 4, 5, 5})
}

func TestFusePad(t *testing.T) {
	shape := []int{1, 2, 7, 7}
	pads := ints("pads", 0, 0, 1, 2, 0, 0, 1, 0)
	for _, c := range []struct {
		name string
		op   string
		with op.Attrs
		relu bool
		want []string
	}{
		{"conv", "Conv", nil, false, []string{"Conv"}},
		{"conv with pads", "Conv", op.Attrs{"pads": []int64{1, 1, 1, 1}}, false, []string{"Conv"}},
		{"conv, same", "Conv", op.Attrs{"auto_pad": "SAME_UPPER"}, false, []string{"Pad", "Conv"}},
		{"max pool", "MaxPool", op.Attrs{"kernel_shape": []int64{3, 3}}, true, []string{"Relu", "MaxPool"}},
		{"max pool of negatives", "MaxPool", op.Attrs{"kernel_shape": []int64{3, 3}}, false, []string{"Pad", "MaxPool"}},
		{"average pool", "AveragePool", op.Attrs{"kernel_shape": []int64{3, 3}}, false, []string{"AveragePool"}},
		{"average pool, narrow", "AveragePool", op.Attrs{"kernel_shape": []int64{2, 2}}, false, []string{"Pad", "AveragePool"}},
		{"average pool with pads", "AveragePool", op.Attrs{"kernel_shape": []int64{3, 3}, "pads": []int64{1, 1, 1, 1}}, false, []string{"Pad", "AveragePool"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := build()
			v := b.input("x", shape...)
			if c.relu {
				v = b.New("relu", "Relu", nil, v)
			}
			v = b.New("pad", "Pad", nil, v, pads)
			in := []*Value{v}
			if c.op == "Conv" {
				in = append(in, b.random("w", 3, 2, 3, 3))
			}
			checkPass(t, b.output(b.New("y", c.op, c.with, in...)), FusePad, c.want, shape)
		})
	}
}

func TestFusePadNot(t *testing.T) {
	shape := []int{1, 2, 7, 7}
	for name, pad := range map[string][]*Value{
		"channels": {ints("pads", 0, 1, 0, 0, 0, 0, 0, 0)},
		"crop":     {ints("pads", 0, 0, -1, 0, 0, 0, 0, 0)},
		"ones":     {ints("pads", 0, 0, 1, 1, 0, 0, 1, 1), NewConst("one", tensor.Scalar[float32](1))},
	} {
		b := build()
		channels := 2
		if name == "channels" {
			channels = 3
		}
		v := b.New("pad", "Pad", nil, append([]*Value{b.input("x", shape...)}, pad...)...)
		v = b.New("y", "Conv", nil, v, b.random("w", 3, channels, 3, 3))
		t.Run(name, func(t *testing.T) { checkPass(t, b.output(v), FusePad, []string{"Pad", "Conv"}, shape) })
	}
}

// shapeArithmetic is x.view(x.size(0), -1) as exporters write it.
func (b *builder) flattenByShape(x *Value) *Value {
	shape := b.New("shape", "Shape", nil, x)
	n := b.New("n", "Gather", op.Attrs{"axis": int64(0)}, shape, NewConst("zero", tensor.Scalar[int64](0)))
	n = b.New("n1", "Unsqueeze", nil, n, ints("axes", 0))
	target := b.New("target", "Concat", op.Attrs{"axis": int64(0)}, n, ints("rest", -1))
	return b.New("y", "Reshape", nil, x, target)
}

func TestFoldShapes(t *testing.T) {
	b := build()
	x := b.input("x", op.Unknown, 3, 4)
	conv := b.New("relu", "Relu", nil, x)
	g := checkPass(t, b.output(b.flattenByShape(conv)), FoldShapes, []string{"Relu", "Reshape"}, []int{5, 3, 4})
	if got := g.Nodes[1].Inputs[1].Const.I64(); !slices.Equal(got, []int64{0, -1}) {
		t.Errorf("target is %v, not [0 -1]", got)
	}
}

// Sizes that depend on two symbols cannot be written as a constant target.
func TestFoldShapesKeepsWhatItMust(t *testing.T) {
	b := build()
	x := b.input("x", op.Unknown, op.Unknown, op.Unknown)
	x.Dims = []string{"N", "H", "W"}
	shape := b.New("shape", "Shape", nil, x)
	swapped := b.New("swapped", "Gather", nil, shape, ints("order", 2, 1, 0))
	y := b.New("y", "Reshape", nil, x, swapped)
	checkPass(t, b.output(y), FoldShapes, []string{"Shape", "Gather", "Reshape"}, []int{2, 3, 4})
}

func TestInferSymbols(t *testing.T) {
	b := build()
	x := b.input("x", op.Unknown, 3, op.Unknown, op.Unknown)
	x.Dims = []string{"N", "", "H", "W"}
	conv := b.New("conv", "Conv", op.Attrs{"pads": []int64{1, 1, 1, 1}}, x, b.random("w", 8, 3, 3, 3))
	half := b.New("half", "Conv", op.Attrs{"strides": []int64{2, 2}, "pads": []int64{1, 1, 1, 1}}, conv, b.random("w2", 8, 8, 3, 3))
	pool := b.New("pool", "GlobalAveragePool", nil, half)
	flat := b.flattenByShape(pool)
	g := b.output(flat)
	if err := Infer(g); err != nil {
		t.Fatal(err)
	}
	for v, want := range map[*Value]string{
		conv: "float32[N,8,H,W]",
		half: "float32[N,8,?,?]",
		pool: "float32[N,8,1,1]",
		flat: "float32[N,8]",
	} {
		if got := formatType(v); got != want {
			t.Errorf("%s is %s, not %s", v.Name, got, want)
		}
	}
}

// An end beyond the length is no length of its own.
func TestInferSliceOfSymbol(t *testing.T) {
	b := build()
	x := b.input("x", op.Unknown, 3)
	y := b.New("y", "Slice", nil, x, ints("starts", 0), ints("ends", 32), ints("axes", 0))
	g := b.output(y)
	if err := Infer(g); err != nil {
		t.Fatal(err)
	}
	if got := y.Type.Shape[0]; got != op.Unknown {
		t.Errorf("the first 32 of N are %d", got)
	}
}

func TestInferErrorNamesNode(t *testing.T) {
	b := build()
	x := b.input("x", 1, 3, 8, 8)
	g := b.output(b.New("bad", "Conv", nil, x, b.random("w", 4, 5, 3, 3)))
	err := Infer(g)
	if err == nil || err.Error()[:len(`node "bad" (Conv): `)] != `node "bad" (Conv): ` {
		t.Errorf("error is %v", err)
	}
}

func TestInferKeepsHintsOfUnknownOperators(t *testing.T) {
	b := build()
	x := b.input("x", 1, 3)
	y := b.New("y", "Mystery", nil, x)
	y.Node.Domain = "example"
	y.Type = op.Type{DType: tensor.Float32, Shape: []int{1, 7}, Known: true}
	z := b.New("z", "Relu", nil, y)
	if err := Infer(b.output(z)); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(z.Type.Shape); got != "[1 7]" {
		t.Errorf("shape is %s", got)
	}
}

func TestSimplify(t *testing.T) {
	b := build()
	shape := []int{2, 3, 8, 8}
	x := b.input("x", op.Unknown, 3, 8, 8)
	v := b.New("pad", "Pad", nil, x, ints("pads", 0, 0, 1, 1, 0, 0, 1, 1))
	v = b.New("conv", "Conv", nil, v, b.New("scaled", "Mul", nil, b.random("w", 4, 3, 3, 3), floats("k", 0.5)))
	v = b.batchNorm("bn", v, 4)
	v = b.New("relu", "Relu", nil, v)
	v = b.New("drop", "Dropout", nil, v)
	v = b.New("pool", "GlobalAveragePool", nil, v)
	v = b.flattenByShape(v)
	v = b.New("mm", "MatMul", nil, v, b.random("fc", 4, 10))
	v = b.New("logits", "Add", nil, v, b.random("fcb", 10))
	g := b.output(v)
	before := g.Clone()
	if err := Simplify(g); err != nil {
		t.Fatal(err)
	}
	sameFunction(t, before, g, shape)
	checkGolden(t, "simplify.txt", Format(g))
}

// scalar returns a constant number.
func scalar(name string, v float32) *Value { return NewConst(name, tensor.Scalar(v)) }

// A part that something else reads too stays for it.
func TestFuseFunctionsKeepsParts(t *testing.T) {
	b := build()
	x := b.input("x", 2, 9)
	gate := b.New("gate", "HardSigmoid", op.Attrs{"alpha": float32(1.0 / 6)}, x)
	y := b.New("y", "Mul", nil, x, gate)
	checkPass(t, b.output(y, gate), FuseFunctions, []string{"HardSigmoid", "HardSwish"}, []int{2, 9})
}

// What a normalization without scale and bias is read by is not scaled.
func TestFuseFunctionsReadInBetween(t *testing.T) {
	b := build()
	g := written(t, b, `
		mean = ReduceMean x axes=-1
		d = Sub x mean
		square = Mul d d
		variance = ReduceMean square axes=-1
		root = Sqrt variance
		whole = Div d root
		y = Mul whole gamma
		z = Neg whole`, 2, 5, 8)
	b.output(b.Nodes[6].Outputs[0])
	checkPass(t, g, FuseFunctions, []string{"LayerNormalization", "Mul", "Neg"}, []int{2, 5, 8})
}
