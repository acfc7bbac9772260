package engine_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// qdq builds quantized graphs by hand.
type qdq struct {
	*graph.Graph
	random *rand.Rand
	scale  func() float32 // of the next tensor
	signed bool
	names  int
}

func newQDQ(seed uint64, signed bool, input ...int) (*qdq, *graph.Value) {
	q := &qdq{Graph: &graph.Graph{Opset: map[string]int{"": 13}}, random: rand.New(rand.NewPCG(seed, 1)), signed: signed}
	q.scale = func() float32 { return 0.01 + 0.02*q.random.Float32() }
	x := &graph.Value{Name: "x", Type: op.Type{DType: tensor.Float32, Shape: append([]int{op.Unknown}, input...), Known: true}}
	q.Inputs = []*graph.Value{x}
	return q, q.quantized(x)
}

func (q *qdq) name(prefix string) string {
	q.names++
	return fmt.Sprintf("%s%d", prefix, q.names)
}

func (q *qdq) node(operator string, attrs op.Attrs, in ...*graph.Value) *graph.Value {
	return q.New(q.name(operator), operator, attrs, in...)
}

func (q *qdq) constant(t *tensor.Tensor) *graph.Value { return graph.NewConst(q.name("const"), t) }

func (q *qdq) ints(list ...int64) *graph.Value { return q.constant(tensor.From(list, len(list))) }

// quantized puts QuantizeLinear and DequantizeLinear behind v.
func (q *qdq) quantized(v *graph.Value) *graph.Value {
	scale := q.constant(tensor.Scalar(q.scale()))
	zero := q.constant(tensor.Scalar(uint8(120)))
	if q.signed {
		zero = q.constant(tensor.Scalar(int8(0)))
	}
	return q.node("DequantizeLinear", nil, q.node("QuantizeLinear", nil, v, scale, zero), scale, zero)
}

// weights are random bytes with a scale for each channel along axis.
func (q *qdq) weights(axis int64, shape ...int) *graph.Value {
	w := tensor.New(tensor.Int8, shape...)
	for i := range tensor.Data[int8](w) {
		tensor.Data[int8](w)[i] = int8(q.random.IntN(255) - 127)
	}
	scales := make([]float32, shape[axis])
	for i := range scales {
		scales[i] = q.scale() / 4
	}
	return q.node("DequantizeLinear", op.Attrs{"axis": axis}, q.constant(w), q.constant(tensor.From(scales, len(scales))))
}

func (q *qdq) conv(x *graph.Value, out, in, kernel int, attrs op.Attrs) *graph.Value {
	bias := make([]float32, out)
	for i := range bias {
		bias[i] = q.random.Float32() - 0.5
	}
	if attrs == nil {
		attrs = op.Attrs{}
	}
	if !attrs.Has("pads") && kernel == 3 {
		attrs["pads"] = []int64{1, 1, 1, 1}
	}
	return q.node("Conv", attrs, x, q.weights(0, out, in, kernel, kernel), q.constant(tensor.From(bias, out)))
}

// done makes v the output.
func (q *qdq) done(v *graph.Value) *graph.Graph {
	q.Outputs = []*graph.Value{v}
	return q.Graph
}

func randomInput(seed uint64, shape ...int) *tensor.Tensor {
	r := rand.New(rand.NewPCG(seed, 2))
	x := tensor.New(tensor.Float32, shape...)
	for i := range x.F32() {
		x.F32()[i] = float32(r.IntN(256)-128) / 48
	}
	return x
}

// integerCases are networks of one operator that must run on integers.
var integerCases = map[string]func(q *qdq, x *graph.Value) *graph.Value{
	"Conv":      func(q *qdq, x *graph.Value) *graph.Value { return q.conv(x, 16, 8, 3, nil) },
	"Conv+Relu": func(q *qdq, x *graph.Value) *graph.Value { return q.node("Relu", nil, q.conv(x, 5, 8, 1, nil)) },
	"Conv strided": func(q *qdq, x *graph.Value) *graph.Value {
		return q.conv(x, 16, 8, 3, op.Attrs{"strides": []int64{2, 2}})
	},
	"Conv depthwise": func(q *qdq, x *graph.Value) *graph.Value { return q.conv(x, 8, 1, 3, op.Attrs{"group": int64(8)}) },
	"Conv grouped":   func(q *qdq, x *graph.Value) *graph.Value { return q.conv(x, 8, 4, 3, op.Attrs{"group": int64(2)}) },
	"ConvTranspose": func(q *qdq, x *graph.Value) *graph.Value {
		return q.node("ConvTranspose", op.Attrs{"strides": []int64{2, 3}, "pads": []int64{1, 0, 0, 1}}, x, q.weights(1, 8, 5, 3, 4))
	},
	"Conv+Clip": func(q *qdq, x *graph.Value) *graph.Value {
		return q.node("Clip", nil, q.conv(x, 8, 8, 3, nil), q.constant(tensor.Scalar(float32(0))), q.constant(tensor.Scalar(float32(2))))
	},
	"residual": func(q *qdq, x *graph.Value) *graph.Value {
		return q.node("Relu", nil, q.node("Add", nil, q.quantized(q.conv(x, 8, 8, 3, nil)), x))
	},
	"Add": func(q *qdq, x *graph.Value) *graph.Value {
		return q.node("Add", nil, x, q.quantized(q.node("Relu", nil, x)))
	},
	"Sub": func(q *qdq, x *graph.Value) *graph.Value {
		return q.node("Sub", nil, x, q.quantized(q.node("Relu", nil, x)))
	},
	"Mul": func(q *qdq, x *graph.Value) *graph.Value {
		return q.node("Mul", nil, x, q.quantized(q.node("Relu", nil, x)))
	},
	"gate": func(q *qdq, x *graph.Value) *graph.Value {
		return q.node("Mul", nil, q.quantized(q.node("GlobalAveragePool", nil, x)), x)
	},
	"Concat": func(q *qdq, x *graph.Value) *graph.Value {
		return q.node("Concat", op.Attrs{"axis": int64(1)}, q.quantized(q.conv(x, 16, 8, 3, nil)), x)
	},
	"AveragePool": func(q *qdq, x *graph.Value) *graph.Value {
		return q.node("AveragePool", op.Attrs{"kernel_shape": []int64{3, 2}, "strides": []int64{2, 1}}, x)
	},
	"GlobalAveragePool": func(q *qdq, x *graph.Value) *graph.Value { return q.node("GlobalAveragePool", nil, x) },
	"MaxPool": func(q *qdq, x *graph.Value) *graph.Value {
		return q.node("MaxPool", op.Attrs{"kernel_shape": []int64{3, 3}, "pads": []int64{1, 1, 1, 1}}, x)
	},
	"Sigmoid": func(q *qdq, x *graph.Value) *graph.Value { return q.node("Sigmoid", nil, x) },
	"Resize": func(q *qdq, x *graph.Value) *graph.Value {
		return q.node("Resize", op.Attrs{"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
			x, nil, q.constant(tensor.From([]float32{1, 1, 2, 3}, 4)))
	},
	"Transpose": func(q *qdq, x *graph.Value) *graph.Value {
		return q.node("Transpose", op.Attrs{"perm": []int64{0, 3, 1, 2}}, x)
	},
	"Slice": func(q *qdq, x *graph.Value) *graph.Value {
		return q.node("Slice", nil, x, q.ints(1, 0), q.ints(7, 9), q.ints(1, 2), q.ints(1, 2))
	},
	"Pad": func(q *qdq, x *graph.Value) *graph.Value {
		return q.node("Pad", nil, x, q.ints(0, 2, 1, 0, 0, 3, 0, 1))
	},
	"Gemm": func(q *qdq, x *graph.Value) *graph.Value {
		flat := q.node("Flatten", nil, x)
		return q.node("Gemm", op.Attrs{"transB": int64(1)}, flat, q.weights(0, 10, 8*9*7), q.constant(tensor.From(make([]float32, 10), 10)))
	},
	"MatMul": func(q *qdq, x *graph.Value) *graph.Value { return q.node("MatMul", nil, x, q.weights(1, 7, 12)) },
}

// TestIntegerSteps checks that each operator between DequantizeLinear and
// QuantizeLinear runs on integers and gives what the file means.
func TestIntegerSteps(t *testing.T) {
	for name, build := range integerCases {
		for _, signed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/signed=%v", name, signed), func(t *testing.T) {
				q, x := newQDQ(7, signed, 8, 9, 7)
				v := build(q, x)
				q.scale = func() float32 { return 0.05 }
				g := q.done(q.quantized(v))
				input := randomInput(3, 3, 8, 9, 7)
				net := compile(t, g, engine.WithRequant(engine.RequantFloat))
				got, want := run(t, net, input), run(t, compile(t, g, engine.WithFloat()), input)
				sameWithin(t, got, want, 0.0501, 0.002)
				onlyIntegers(t, net)
			})
		}
	}
}

// sameWithin checks that no number is off by more than step and few are off at all.
func sameWithin(t *testing.T, got, want *tensor.Tensor, step, share float64) {
	t.Helper()
	if got.Len() != want.Len() {
		t.Fatalf("%v instead of %v", got, want)
	}
	off := 0
	for i, w := range want.F32() {
		d := float64(got.F32()[i] - w)
		if !(max(d, -d) <= step) {
			t.Fatalf("element %d is %v, not %v", i, got.F32()[i], w)
		}
		if d != 0 {
			off++
		}
	}
	if float64(off) > share*float64(want.Len()) {
		t.Errorf("%d of %d elements are off by one", off, want.Len())
	}
}

// onlyIntegers checks that a network has no float step but its first
// QuantizeLinear and its last DequantizeLinear.
func onlyIntegers(t *testing.T, net *engine.Net) {
	t.Helper()
	steps, err := net.Steps()
	if err != nil {
		t.Fatal(err)
	}
	integers, quantize, dequantize := 0, 0, 0
	for _, s := range steps {
		switch {
		case s.Kind == engine.Integer:
			integers++
		case s.Kind == engine.Move:
		case s.Name == "QuantizeLinear":
			quantize++
		case s.Name == "DequantizeLinear":
			dequantize++
		default:
			t.Errorf("%s is %s: %s", s.Name, s.Kind, s.Why)
		}
	}
	if quantize != 1 || dequantize != 1 {
		t.Errorf("%d QuantizeLinear and %d DequantizeLinear steps among %d integer ones", quantize, dequantize, integers)
	}
}

// shiftNetwork is a residual network all of whose scales are powers of two.
func shiftNetwork() *graph.Graph {
	q, _ := newQDQ(5, false, 3, 16, 16)
	q.Nodes, q.names, q.signed = nil, 0, true
	exps := []float32{1. / 16, 1. / 32, 1. / 8}
	i := 0
	q.scale = func() float32 { i++; return exps[i%len(exps)] }
	x := q.quantized(q.Inputs[0])
	x = q.quantized(q.node("Relu", nil, q.conv(x, 16, 3, 3, nil)))
	y := q.quantized(q.node("Relu", nil, q.conv(x, 16, 1, 3, op.Attrs{"group": int64(16)})))
	y = q.quantized(q.conv(y, 16, 16, 1, nil))
	x = q.quantized(q.node("Relu", nil, q.node("Add", nil, y, x)))
	x = q.quantized(q.node("GlobalAveragePool", nil, x))
	x = q.node("Flatten", nil, x)
	return q.done(q.quantized(q.node("Gemm", nil, x, q.weights(1, 16, 10), q.constant(tensor.From(make([]float32, 10), 10)))))
}

// TestShiftNetwork walks the plan of a network of shifts, which must not have a
// float in it, and pins its integers: they are the same on every processor.
func TestShiftNetwork(t *testing.T) {
	g, x := shiftNetwork(), randomInput(9, 8, 3, 16, 16)
	net := compile(t, g, engine.WithRequant(engine.RequantShift))
	got := run(t, net, x)
	onlyIntegers(t, net)
	sum := fnv.New64a()
	sum.Write(got.Bytes())
	const want = 0xe3324d2b7111aad5
	if sum.Sum64() != want {
		t.Errorf("other integers than on other processors: checksum %#x", sum.Sum64())
	}
	if auto := run(t, compile(t, g), x); string(auto.Bytes()) != string(got.Bytes()) {
		t.Error("RequantAuto does not shift")
	}
}

func TestShiftRefused(t *testing.T) {
	q, x := newQDQ(1, false, 8, 4, 4)
	net := compile(t, q.done(q.quantized(q.conv(x, 8, 8, 3, nil))), engine.WithRequant(engine.RequantShift))
	if _, err := net.Run(context.Background(), randomInput(1, 1, 8, 4, 4)); err == nil {
		t.Error("scales that are no powers of two were shifted")
	}
}

func TestMultiplierCloseToFloat(t *testing.T) {
	for _, name := range []string{"Conv+Relu", "Add", "Mul", "AveragePool", "Gemm"} {
		q, x := newQDQ(11, false, 8, 9, 7)
		g := q.done(q.quantized(integerCases[name](q, x)))
		input := randomInput(4, 2, 8, 9, 7)
		got := run(t, compile(t, g, engine.WithRequant(engine.RequantMultiplier)), input)
		want := run(t, compile(t, g, engine.WithRequant(engine.RequantFloat)), input)
		sameWithin(t, got, want, 0.0301, 0.01)
	}
}

// TestNoAllocation checks that running allocates nothing once it has run.
func TestNoAllocation(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector pools forget")
	}
	g, x := shiftNetwork(), randomInput(9, 1, 3, 16, 16)
	net := compile(t, g, engine.WithThreads(1))
	ins, outs := []*tensor.Tensor{x}, []*tensor.Tensor{run(t, net, x)}
	allocations := testing.AllocsPerRun(100, func() {
		if err := net.RunInto(context.Background(), outs, ins); err != nil {
			t.Fatal(err)
		}
	})
	if allocations >= 1 { // the collector may empty a pool in between
		t.Errorf("%v allocations a run", allocations)
	}
}

// TestConcurrentRuns runs one network from a hundred goroutines.
func TestConcurrentRuns(t *testing.T) {
	net := compile(t, shiftNetwork(), engine.WithThreads(2))
	inputs, want := make([]*tensor.Tensor, 10), make([]*tensor.Tensor, 10)
	for i := range inputs {
		inputs[i] = randomInput(uint64(i), 1+i%3, 3, 16, 16)
		want[i] = run(t, net, inputs[i])
	}
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			for k := range 3 {
				j := (i + k) % len(inputs)
				out, err := net.Run(context.Background(), inputs[j])
				if err != nil || string(out[0].Bytes()) != string(want[j].Bytes()) {
					t.Errorf("goroutine %d: %v, or other numbers", i, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, n := range []int{1, 4} {
		if _, err := compile(t, shiftNetwork()).Run(ctx, randomInput(1, n, 3, 16, 16)); err == nil {
			t.Errorf("batch %d: a cancelled run gave no error", n)
		}
	}
}

// TestMemory checks that a network of bytes takes at most a third of what the
// same network of floats does, its file's constants not counted, or half where
// the processor multiplies 16-bit weights only.
func TestMemory(t *testing.T) {
	q, x := newQDQ(1, false, 256, 6, 6)
	integers := q.done(q.quantized(q.conv(q.quantized(q.conv(x, 256, 256, 3, nil)), 256, 256, 3, nil)))
	f, _ := newQDQ(1, false, 256, 6, 6)
	v := f.Inputs[0]
	f.Nodes = nil
	for range 2 {
		v = f.node("Conv", op.Attrs{"pads": []int64{1, 1, 1, 1}}, v, f.constant(randomInput(1, 256, 256, 3, 3)))
	}
	bytes, floats := memoryOf(t, integers), memoryOf(t, f.done(v))
	share := int64(3)
	if asm.Active() == asm.AVX2 || asm.Active() == asm.NEON {
		share = 2
	}
	if share*bytes > floats {
		t.Errorf("%d bytes on integers, %d in float: more than 1/%d", bytes, floats, share)
	}
}

// memoryOf returns what compiling and running a network once leaves allocated.
func memoryOf(t *testing.T, g *graph.Graph) int64 {
	var before, after runtime.MemStats
	x := randomInput(1, 1, 256, 6, 6)
	runtime.GC()
	runtime.ReadMemStats(&before)
	net := compile(t, g, engine.WithThreads(1))
	run(t, net, x)
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(net)
	return int64(after.HeapAlloc) - int64(before.HeapAlloc)
}
