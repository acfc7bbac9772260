package graph

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// written reads a network of one input x from lines "result = Operator operand... attribute=number...". An operand that is a
// number is a constant; gamma and beta are constants with a number for each element of the last axis, columns with one for each of
// axis 1, of three behind it; axes=-1 are attributes or, before ",", the input of operator set 18.
func written(t *testing.T, b *builder, text string, shape ...int) *Graph {
	t.Helper()
	values := map[string]*Value{
		"x": b.input("x", shape...), "gamma": b.random("gamma", shape[len(shape)-1]), "beta": b.random("beta", shape[len(shape)-1]),
		"column": b.random("column", shape[1], 1, 1), "channels": b.random("channels", shape[1]),
	}
	var last *Value
	for line := range strings.Lines(strings.TrimSpace(text)) {
		fields := strings.Fields(line)
		attrs, inputs := op.Attrs{}, []*Value(nil)
		for _, f := range fields[3:] {
			name, value, isAttr := strings.Cut(f, "=")
			switch number, err := strconv.ParseFloat(f, 32); {
			case isAttr && strings.Contains("axes shape", name):
				var list []int64
				for _, s := range strings.Split(value, ",") {
					i, _ := strconv.Atoi(s)
					list = append(list, int64(i))
				}
				if name == "shape" || b.Opset[""] >= 18 || fields[2] == "ReduceSum" || fields[2] == "Unsqueeze" {
					inputs = append(inputs, ints(fmt.Sprint(name, len(values)), list...))
				} else {
					attrs[name] = list
				}
			case isAttr && strings.Contains(value, "."):
				v, _ := strconv.ParseFloat(value, 32)
				attrs[name] = float32(v)
			case isAttr:
				v, _ := strconv.Atoi(value)
				attrs[name] = int64(v)
			case err == nil:
				inputs = append(inputs, scalar(fmt.Sprint("k", len(values), len(inputs)), float32(number)))
			case f == "_":
				inputs = append(inputs, nil)
			default:
				if values[f] == nil {
					t.Fatalf("%q is not made", f)
				}
				inputs = append(inputs, values[f])
			}
		}
		last = b.New(fields[0], fields[2], attrs, inputs...)
		values[fields[0]] = last
	}
	return b.output(last)
}

// functions are what exporters write for a function: PyTorch's old one and dynamo's, tf2onnx, jax2onnx, Paddle's and MNN's.
var functions = []struct {
	want, exporter, text string
	shape                []int
	opset                int
}{
	{"LayerNormalization", "pytorch", `
		mean = ReduceMean x axes=-1
		d = Sub x mean
		square = Pow d 2
		variance = ReduceMean square axes=-1
		sum = Add variance 1e-5
		root = Sqrt sum
		whole = Div d root
		scaled = Mul whole gamma
		y = Add scaled beta`, []int{2, 5, 8}, 13},
	{"LayerNormalization", "dynamo, decomposed", `
		mean = ReduceMean x axes=-1 keepdims=1
		d = Sub x mean
		square = Mul d d
		variance = ReduceMean square axes=-1 keepdims=1
		sum = Add variance 1e-5
		root = Sqrt sum
		inverse = Reciprocal root
		whole = Mul d inverse
		scaled = Mul gamma whole
		y = Add beta scaled`, []int{2, 5, 8}, 18},
	{"LayerNormalization", "tensorflow", `
		mean = ReduceMean x axes=2
		d = Sub x mean
		square = Mul d d
		variance = ReduceMean square axes=2
		sum = Add variance 0.001
		root = Sqrt sum
		inverse = Reciprocal root
		factor = Mul inverse gamma
		left = Mul x factor
		moved = Mul mean factor
		right = Sub beta moved
		y = Add left right`, []int{2, 5, 8}, 13},
	{"LayerNormalization", "jax", `
		sum = ReduceSum x axes=2 keepdims=0
		mean0 = Div sum 8
		mean = Reshape mean0 shape=2,5,1
		squares = Mul x x
		sum2 = ReduceSum squares axes=2 keepdims=0
		mean2 = Div sum2 8
		e2 = Reshape mean2 shape=2,5,1
		m2 = Mul mean mean
		v0 = Sub e2 m2
		variance = Max 0 v0
		d = Sub x mean
		ve = Add variance 1e-6
		inverse = Pow ve -0.5
		factor = Mul inverse gamma
		scaled = Mul d factor
		y = Add scaled beta`, []int{2, 5, 8}, 17},
	{"LayerNormalization", "paddle", `
		mean = ReduceMean x axes=-1 keepdims=1
		d = Sub x mean
		square = Pow d 2
		variance = ReduceMean square axes=-1 keepdims=1
		sum = Add variance 1e-5
		root = Pow sum 0.5
		whole = Div d root
		scaled = Mul whole gamma
		y = Add scaled beta`, []int{2, 5, 8}, 11},
	{"LayerNormalization", "mnn", `
		mean = ReduceMean x axes=-1
		d = Sub x mean
		d2 = Sub x mean
		square = Mul d2 d2
		variance = ReduceMean square axes=-1
		sum = Add 1e-6 variance
		inverse = Pow sum -0.5
		wide = Cast inverse to=1
		whole = Mul wide d
		scaled = Mul whole gamma
		y = Add scaled beta`, []int{2, 5, 8}, 13},
	{"LayerNormalization", "over two axes", `
		mean = ReduceMean x axes=-2,-1
		d = Sub x mean
		square = Mul d d
		variance = ReduceMean square axes=-2,-1
		sum = Add variance 1e-5
		root = Sqrt sum
		y = Div d root`, []int{2, 5, 8}, 13},
	{"InstanceNormalization", "pytorch", `
		mean = ReduceMean x axes=2,3
		d = Sub x mean
		square = Mul d d
		variance = ReduceMean square axes=2,3
		sum = Add variance 1e-5
		root = Sqrt sum
		whole = Div d root
		scaled = Mul whole column
		y = Add scaled column`, []int{2, 4, 3, 5}, 13},
	{"InstanceNormalization", "tensorflow", `
		mean = GlobalAveragePool x
		d = Sub x mean
		square = Mul d d
		variance = GlobalAveragePool square
		sum = Add variance 1e-5
		root = Sqrt sum
		inverse = Reciprocal root
		factor = Mul inverse column
		left = Mul x factor
		moved = Mul mean factor
		right = Sub column moved
		y = Add left right`, []int{2, 4, 3, 5}, 13},

	{"RMSNormalization", "pytorch", `
		square = Pow x 2
		mean = ReduceMean square axes=-1
		sum = Add mean 1e-6
		root = Sqrt sum
		inverse = Div 1 root
		whole = Mul x inverse
		y = Mul gamma whole`, []int{2, 5, 8}, 13},
	{"RMSNormalization", "dynamo", `
		square = Pow x 2
		mean = ReduceMean square axes=-1 keepdims=1
		sum = Add mean 1e-6
		root = Sqrt sum
		inverse = Reciprocal root
		whole = Mul x inverse
		y = Mul whole gamma`, []int{2, 5, 8}, 18},
	{"RMSNormalization", "tensorflow, 1+scale", `
		square = Mul x x
		mean = ReduceMean square axes=-1
		sum = Add mean 1e-6
		root = Sqrt sum
		inverse = Reciprocal root
		whole = Mul x inverse
		more = Add gamma 1
		y = Mul whole more`, []int{2, 5, 8}, 13},
	{"RMSNormalization", "jax", `
		square = Mul x x
		total = ReduceSum square axes=2 keepdims=0
		mean0 = Div total 8
		mean = Unsqueeze mean0 axes=2
		sum = Add mean 1e-6
		inverse = Pow sum -0.5
		factor = Mul inverse gamma
		y = Mul x factor`, []int{2, 5, 8}, 17},
	{"RMSNormalization", "mnn", `
		square = ReduceSumSquare x axes=-1
		mean = Mul square 0.125
		sum = Add mean 1e-6
		root = Sqrt sum
		whole = Div x root
		y = Mul whole gamma`, []int{2, 5, 8}, 13},
	{"RMSNormalization", "length 1", `
		length = ReduceL2 x axes=-1
		y = Div x length`, []int{2, 5, 8}, 13},

	{"Gelu", "pytorch", `
		a = Div x 1.4142135
		erf = Erf a
		more = Add erf 1
		m = Mul x more
		y = Mul m 0.5`, []int{2, 9}, 13},
	{"Gelu", "dynamo", `
		a = Mul x 0.70710677
		erf = Erf a
		more = Add 1 erf
		half = Mul 0.5 x
		y = Mul half more`, []int{2, 9}, 18},
	{"Gelu", "tensorflow", `
		a = Mul 0.70710677 x
		erf = Erf a
		more = Add erf 1
		h = Mul more 0.5
		y = Mul x h`, []int{2, 9}, 13},
	{"Gelu", "paddle", `
		a = Div x 1.4142135
		erf = Erf a
		h = Mul 0.5 erf
		more = Add h 0.5
		y = Mul more x`, []int{2, 9}, 11},
	{"Gelu approximate=tanh", "pytorch", `
		cube = Pow x 3
		c = Mul cube 0.044715
		s = Add x c
		u = Mul s 0.7978846
		t = Tanh u
		more = Add t 1
		half = Mul x 0.5
		y = Mul half more`, []int{2, 9}, 13},
	{"Gelu approximate=tanh", "jax", `
		x2 = Mul x x
		x3 = Mul x2 x
		c = Mul 0.044715 x3
		s = Add c x
		u = Mul 0.7978846 s
		t = Tanh u
		more = Add 1 t
		h = Mul 0.5 more
		y = Mul x h`, []int{2, 9}, 17},
	{"Gelu approximate=tanh", "mnn", `
		x2 = Mul x x
		c = Mul x2 0.035677408
		d = Add c 0.7978846
		u = Mul x d
		t = Tanh u
		half = Mul x 0.5
		m = Mul half t
		y = Add m half`, []int{2, 9}, 13},

	{"Swish", "pytorch", `
		gate = Sigmoid x
		y = Mul x gate`, []int{2, 9}, 13},
	{"Swish", "jax", `
		n = Neg x
		e = Exp n
		more = Add e 1
		gate = Div 1 more
		y = Mul gate x`, []int{2, 9}, 17},
	{"Swish", "mnn", `
		n = Mul x -1
		e = Exp n
		more = Add 1 e
		y = Div x more`, []int{2, 9}, 13},
	{"HardSwish", "pytorch", `
		three = Add x 3
		six = Clip three 0 6
		m = Mul x six
		y = Div m 6`, []int{2, 9}, 13},
	{"HardSwish", "tensorflow", `
		three = Add 3 x
		low = Relu three
		six = Min low 6
		sixth = Mul six 0.16666667
		y = Mul sixth x`, []int{2, 9}, 13},
	{"HardSwish", "paddle", `
		gate = HardSigmoid x alpha=0.16666667 beta=0.5
		y = Mul x gate`, []int{2, 9}, 11},
	{"HardSigmoid alpha=0.16666667 beta=0.5", "pytorch", `
		three = Add x 3
		six = Clip three 0 6
		y = Div six 6`, []int{2, 9}, 13},
	{"Mish", "pytorch", `
		s = Softplus x
		t = Tanh s
		y = Mul x t`, []int{2, 9}, 13},
	{"Mish", "tensorflow", `
		e = Exp x
		more = Add e 1
		s = Log more
		t = Tanh s
		y = Mul t x`, []int{2, 9}, 13},
	{"Softmax axis=-1", "jax", `
		m = ReduceMax x axes=-1
		d = Sub x m
		e = Exp d
		s = ReduceSum e axes=-1
		y = Div e s`, []int{2, 5, 8}, 17},
	{"Softmax axis=-1", "tensorflow", `
		e = Exp x
		s = ReduceSum e axes=2
		r = Reciprocal s
		y = Mul e r`, []int{2, 5, 8}, 13},
	{"Softmax axis=-2", "another axis", `
		m = ReduceMax x axes=1 keepdims=0
		k = Unsqueeze m axes=1
		d = Sub x k
		e = Exp d
		s = ReduceSum e axes=1
		y = Div e s`, []int{2, 5, 8}, 13},
}

func TestFuseFunctions(t *testing.T) {
	var golden strings.Builder
	for _, f := range functions {
		t.Run(f.want+"/"+f.exporter, func(t *testing.T) {
			b := build()
			b.Opset[""] = f.opset
			g := written(t, b, f.text, f.shape...)
			operator, _, _ := strings.Cut(f.want, " ")
			// More than one round: parts may be functions themselves.
			before := g.Clone()
			if err := Simplify(g); err != nil {
				t.Fatal(err)
			}
			if got := ops(g); !slices.Equal(got, []string{operator}) {
				t.Fatalf("became %v, not %s", got, f.want)
			}
			sameFunction(t, before, g, f.shape)
			fmt.Fprintf(&golden, "# %s, %s\n%s\n", f.want, f.exporter, Format(g))
		})
	}
	if !t.Failed() {
		checkGolden(t, "functions.txt", golden.String())
	}
}

// What only looks like a function stays, as does a function of what is read as a whole elsewhere.
func TestFuseFunctionsNot(t *testing.T) {
	for name, text := range map[string]string{
		"another gate":      "a = Add x 3\nb = Clip a 0 6\nc = Mul x b\ny = Div c 5",
		"another constant":  "a = Mul x 0.8\nb = Erf a\nc = Add b 1\nd = Mul x c\ny = Mul d 0.5",
		"another value":     "n = Abs x\na = Sigmoid n\ny = Mul x a",
		"cubed, not square": "n = Abs x\na = Pow n 3\nb = ReduceMean a axes=-1\nc = Sqrt b\ny = Div n c",
		"variance of another": `
			m = ReduceMean x axes=-1
			d = Sub x m
			a = Abs x
			q = Mul a a
			b = Mul q a
			v = ReduceMean b axes=-1
			s = Sqrt v
			y = Div d s`,
		"another axis": `
			m = ReduceMean x axes=1
			d = Sub x m
			q = Mul d d
			v = ReduceMean q axes=1
			s = Sqrt v
			y = Div d s`,
		"sums over two axes": "e = Exp x\ns = ReduceSum e axes=1,2\ny = Div e s",
		"negative":           "a = Mul x x\nr = Sqrt a\ny = Div a r", // |x|, not x
	} {
		t.Run(name, func(t *testing.T) {
			b := build()
			g := written(t, b, text, 2, 5, 8)
			checkPass(t, g, FuseFunctions, ops(g), []int{2, 5, 8})
		})
	}
}

// Constants of the parts are folded into the scale and the bias, however many there are.
func TestFuseFunctionsConstants(t *testing.T) {
	b := build()
	g := written(t, b, `
		q = Mul x x
		m = ReduceMean q axes=-1
		e = Add m 0
		s = Sqrt e
		w = Div x s
		a = Mul w gamma
		b = Mul a beta
		y = Div b 4`, 2, 5, 8)
	g = checkPass(t, g, FuseFunctions, []string{"RMSNormalization"}, []int{2, 5, 8})
	if scale := g.Nodes[0].Inputs[1]; !scale.IsConst() || scale.Const.DType() != tensor.Float32 || scale.Const.Len() != 8 {
		t.Errorf("the scale is %v", scale.Const)
	}
}
