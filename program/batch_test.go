package program_test

import (
	"errors"
	"math"
	"testing"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/internal/qdq"
	"github.com/narrow-ml/narrow/program"
	"github.com/narrow-ml/narrow/tensor"
)

// TestBatchIsProved: what leaves samples on axis 0, turns them away and back, or mixes them.
func TestBatchIsProved(t *testing.T) {
	perm := func(list ...int64) op.Attrs { return op.Attrs{"perm": list} }
	for name, c := range map[string]struct {
		build        func(q *qdq.Builder, x *graph.Value) *graph.Value
		pieces, safe bool // whether a run may be cut, whether samples do not mix
	}{
		"nothing":     {func(q *qdq.Builder, x *graph.Value) *graph.Value { return q.Node("Relu", nil, x) }, true, true},
		"reshaped":    {func(q *qdq.Builder, x *graph.Value) *graph.Value { return q.Node("Reshape", nil, x, q.Ints(0, -1)) }, true, true},
		"fixed shape": {func(q *qdq.Builder, x *graph.Value) *graph.Value { return q.Node("Reshape", nil, x, q.Ints(1, -1)) }, false, false},
		"turned and back": {func(q *qdq.Builder, x *graph.Value) *graph.Value {
			return q.Node("Transpose", perm(2, 1, 0, 3), q.Node("Relu", nil, q.Node("Transpose", perm(2, 1, 0, 3), x)))
		}, false, true},
		"turned, with a constant": {func(q *qdq.Builder, x *graph.Value) *graph.Value {
			return q.Node("Transpose", perm(2, 1, 0, 3), q.Node("Mul", nil, q.Node("Transpose", perm(2, 1, 0, 3), x), q.Constant(tensor.New(tensor.Float32, 9, 1, 1, 7))))
		}, false, true},
		"sum of samples": {func(q *qdq.Builder, x *graph.Value) *graph.Value {
			return q.Node("ReduceMean", op.Attrs{"axes": []int64{0}}, x)
		}, false, false},
		"turned, then added to what is not": {func(q *qdq.Builder, x *graph.Value) *graph.Value {
			return q.Node("Add", nil, q.Node("Transpose", perm(1, 0, 2, 3), x), x)
		}, false, false},
		"softmax over samples": {func(q *qdq.Builder, x *graph.Value) *graph.Value {
			return q.Node("Softmax", op.Attrs{"axis": int64(0)}, x)
		}, false, false},
	} {
		q, x := qdq.New(1, false, 8, 9, 7)
		g := q.Done(c.build(q, x))
		types := []op.Type{g.Inputs[0].Type}
		if got := program.Batchable(g, types); got != c.pieces {
			t.Errorf("%s: cut in pieces %v", name, got)
		}
		if why := program.MixesBatch(g, types); (why == "") != c.safe {
			t.Errorf("%s: samples mix: %q", name, why)
		}
	}
}

// TestMeansByShifts: a mean of nine whose scale, divided by nine, is a power of two but for rounding is a shift; one whose is not is refused.
func TestMeansByShifts(t *testing.T) {
	lower := func(factor float32) (*program.Program, error) {
		q, _ := qdq.New(1, false, 8, 9, 9)
		q.Nodes = nil
		scales := []float32{math.Nextafter32(9.0/128, 1) * factor, 1.0 / 16}
		i := 0
		q.Scale = func() float32 { i++; return scales[(i-1)%2] }
		x := q.Quantized(q.Inputs[0])
		y := q.Quantized(q.Node("AveragePool", op.Attrs{"kernel_shape": []int64{3, 3}}, x))
		return program.Lower(q.Done(y), []op.Type{{DType: tensor.Float32, Shape: []int{2, 8, 9, 9}, Known: true}}, program.Options{Requant: program.ModeShift})
	}
	p, err := lower(1)
	if err != nil {
		t.Fatal(err)
	}
	x := qdq.RandomInput(1, 2, 8, 9, 9)
	if _, err := p.Interpret([]*tensor.Tensor{x}, nil); err != nil {
		t.Error(err)
	}
	var notShift *program.ErrShift
	if _, err := lower(1.01); !errors.As(err, &notShift) {
		t.Errorf("error %v", err)
	}
}

// TestInterpretRefuses: inputs that are not the program's, and steps that are not on integers.
func TestInterpretRefuses(t *testing.T) {
	p := lower(t, qdq.ShiftNetwork(), program.Options{}, 1, 3, 16, 16)
	for _, in := range [][]*tensor.Tensor{nil, {tensor.New(tensor.Float32, 1, 3, 16, 15)}, {tensor.New(tensor.Uint8, 1, 3, 16, 16)}} {
		if _, err := p.Interpret(in, nil); err == nil {
			t.Errorf("%v is taken", in)
		}
	}
	q, x := qdq.New(1, false, 8, 9, 7)
	f := lower(t, q.Done(qdq.FloatCases["LayerNormalization"](q, x)), program.Options{}, 1, 8, 9, 7)
	if _, err := f.Interpret([]*tensor.Tensor{qdq.RandomInput(1, 1, 8, 9, 7)}, nil); !errors.Is(err, program.ErrInterpret) {
		t.Errorf("error %v", err)
	}
	if _, err := program.Lower(&graph.Graph{Outputs: []*graph.Value{{Name: "nowhere"}}}, nil, program.Options{}); !errors.Is(err, graph.ErrGraph) {
		t.Errorf("error %v", err)
	}
}
