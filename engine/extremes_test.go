package engine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// extremeShapes are scalars, empty tensors and tensors of one element of every rank that a kernel treats apart.
var extremeShapes = [][]int{{}, {0}, {1}, {3}, {0, 3}, {3, 0}, {1, 1}, {1, 1, 1}, {2, 0, 3}, {1, 1, 1, 1}, {0, 2, 3, 3}, {2, 0, 3, 3}, {2, 2, 0, 3}}

// extremeAttrs are attributes that operators of some kind need, or that change the shape of what they give.
var extremeAttrs = []op.Attrs{nil, {"axis": int64(0)}, {"axis": int64(-1)}, {"keepdims": int64(0)}, {"to": int64(1)}, {"kernel_shape": []int64{1}},
	{"kernel_shape": []int64{1, 1}}, {"equation": "...->..."}, {"equation": "...,...->..."}, {"blocksize": int64(1)}, {"num_groups": int64(1)}}

// TestExtremeShapes runs every operator on scalars, empty tensors and tensors of one element: what its shape rule
// takes must give what its reference kernel does, and nothing panics.
func TestExtremeShapes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 14))
	for _, name := range op.Names() {
		domain, operator := splitName(name)
		ran := 0
		for _, shape := range extremeShapes {
			for _, in := range extremeInputs(r, shape) {
				for _, attrs := range extremeAttrs {
					if extremeCall(t, domain, operator, attrs, in) {
						ran++
					}
				}
			}
		}
		t.Logf("%-28s %d", name, ran)
	}
}

// splitName cuts "com.microsoft.QGemm" at its last point.
func splitName(name string) (domain, operator string) {
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		return name[:i], name[i+1:]
	}
	return "", name
}

// extremeInputs makes lists of inputs of a shape: one to three of every type that matters, and with a list behind, as
// of axes or of a shape.
func extremeInputs(r *rand.Rand, shape []int) [][]*tensor.Tensor {
	var all [][]*tensor.Tensor
	types := []tensor.DType{tensor.Float32, tensor.Float16, tensor.Int64, tensor.Uint8, tensor.Bool}
	if testing.Short() {
		types = types[:1]
	}
	for _, d := range types {
		x := func() *tensor.Tensor { return extreme(r, d, shape) }
		all = append(all, []*tensor.Tensor{x()}, []*tensor.Tensor{x(), x()}, []*tensor.Tensor{x(), x(), x()})
		for _, list := range [][]int64{{}, {0}, {-1}, {1}, {1, 1}} {
			all = append(all, []*tensor.Tensor{x(), tensor.From(list, len(list))})
		}
		all = append(all, []*tensor.Tensor{x(), tensor.Scalar[int64](0)}, []*tensor.Tensor{x(), extreme(r, d, nil)})
	}
	zero, scale := tensor.Scalar[uint8](3), tensor.Scalar[float32](0.5)
	q := extreme(r, tensor.Uint8, shape)
	return append(all,
		[]*tensor.Tensor{q, scale, zero}, []*tensor.Tensor{extreme(r, tensor.Float32, shape), scale, zero},
		[]*tensor.Tensor{q, scale, zero, scale, zero}, []*tensor.Tensor{q, scale, zero, q, scale, zero, scale, zero},
		[]*tensor.Tensor{scale, zero, q, scale, zero, q, scale, zero})
}

func extreme(r *rand.Rand, d tensor.DType, shape []int) *tensor.Tensor {
	t := tensor.New(d, shape...)
	for i := range t.Len() {
		v := r.IntN(3)
		switch d {
		case tensor.Float32:
			t.F32()[i] = float32(v) + 0.5
		case tensor.Float16:
			tensor.Data[tensor.Half](t)[i] = tensor.Half(0x3c00 + v)
		case tensor.Int64:
			t.I64()[i] = int64(v)
		case tensor.Uint8:
			tensor.Data[uint8](t)[i] = uint8(v)
		case tensor.Bool:
			tensor.Data[bool](t)[i] = v > 0
		}
	}
	return t
}

// extremeCall runs one operator by its kernel and by the engine, and reports whether the kernel takes the inputs.
func extremeCall(t *testing.T, domain, operator string, attrs op.Attrs, in []*tensor.Tensor) bool {
	t.Helper()
	o, err := op.Lookup(domain, operator)
	if err != nil {
		t.Fatal(err)
	}
	c := &op.Call{Attrs: attrs, In: in, Out: make([]*tensor.Tensor, 1), Version: 21}
	if domain != "" {
		c.Version = 1
	}
	if err := o.Run(c); err != nil {
		if strings.Contains(err.Error(), "broke on it") {
			t.Errorf("%s %v of %v: %v", operator, attrs, in, err)
		}
		return false
	}
	for constants := range 2 { // what is behind the first input is given, then constant
		if err := extremeRun(domain, operator, attrs, in, c.Out[0], constants == 1); err != nil {
			t.Errorf("%s %v of %v (constants: %v): %v", operator, attrs, in, constants == 1, err)
		}
	}
	return true
}

func extremeRun(domain, operator string, attrs op.Attrs, in []*tensor.Tensor, want *tensor.Tensor, constants bool) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	g := &graph.Graph{Opset: map[string]int{"": 21, "com.microsoft": 1}}
	var given []*tensor.Tensor
	reads := make([]*graph.Value, len(in))
	for i, x := range in {
		if i > 0 && constants {
			reads[i] = graph.NewConst(fmt.Sprint("c", i), x)
			continue
		}
		reads[i] = &graph.Value{Name: fmt.Sprint("x", i), Type: op.TypeOf(x)}
		g.Inputs, given = append(g.Inputs, reads[i]), append(given, x)
		if x.DType() == tensor.Float32 { // which changes nothing, and puts the values into the engine's own memory
			reads[i] = g.New(fmt.Sprint("r", i), "Relu", nil, reads[i])
		}
	}
	y := g.New("y", operator, attrs, reads...)
	y.Node.Domain = domain
	g.Outputs = []*graph.Value{y}
	net, err := engine.Compile(g, engine.WithThreads(1))
	if err != nil {
		return err
	}
	out, err := net.Run(context.Background(), given...)
	if err != nil {
		return err
	}
	return compareTensors(out[0], want, false)
}
