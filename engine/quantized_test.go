package engine_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"runtime"
	"sync"
	"testing"

	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/internal/qdq"
	"github.com/narrow-ml/narrow/tensor"
)

// TestIntegerSteps checks that each operator between DequantizeLinear and
// QuantizeLinear runs on integers and gives what the file means.
func TestIntegerSteps(t *testing.T) {
	for name, build := range qdq.Cases {
		for _, signed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/signed=%v", name, signed), func(t *testing.T) {
				q, x := qdq.New(7, signed, 8, 9, 7)
				v := build(q, x)
				q.Scale = func() float32 { return 0.05 }
				g := q.Done(q.Quantized(v))
				input := qdq.RandomInput(3, 3, 8, 9, 7)
				net := compile(t, g, engine.WithRequant(engine.RequantFloat))
				got, want := run(t, net, input), run(t, compile(t, g, engine.WithFloat()), input)
				sameWithin(t, got, want, 0.0501, 0.002)
				onlyIntegers(t, net)
			})
		}
	}
}

// TestPaddingOfDifferentZeros: six equal padded convolutions, each of whose inputs has another code for 0. What one of them
// rounds otherwise goes through the next, but a wrong border would be off by far more.
func TestPaddingOfDifferentZeros(t *testing.T) {
	q, x := qdq.New(7, false, 8, 9, 7)
	g := q.Done(q.Six(x))
	input := qdq.RandomInput(3, 3, 8, 9, 7)
	net := compile(t, g, engine.WithRequant(engine.RequantFloat))
	got, want := run(t, net, input), run(t, compile(t, g, engine.WithFloat()), input)
	sameWithin(t, got, want, 0.3, 0.1)
	onlyIntegers(t, net)
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

// TestShiftNetwork walks the plan of a network of shifts, which must not have a
// float in it, and pins its integers: they are the same on every processor.
func TestShiftNetwork(t *testing.T) {
	g, x := qdq.ShiftNetwork(), qdq.RandomInput(9, 8, 3, 16, 16)
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
	q, x := qdq.New(1, false, 8, 4, 4)
	net := compile(t, q.Done(q.Quantized(q.Conv(x, 8, 8, 3, nil))), engine.WithRequant(engine.RequantShift))
	if _, err := net.Run(context.Background(), qdq.RandomInput(1, 1, 8, 4, 4)); err == nil {
		t.Error("scales that are no powers of two were shifted")
	}
}

func TestMultiplierCloseToFloat(t *testing.T) {
	for _, name := range []string{"Conv+Relu", "Add", "Mul", "AveragePool", "Gemm"} {
		q, x := qdq.New(11, false, 8, 9, 7)
		g := q.Done(q.Quantized(qdq.Cases[name](q, x)))
		input := qdq.RandomInput(4, 2, 8, 9, 7)
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
	g, x := qdq.ShiftNetwork(), qdq.RandomInput(9, 1, 3, 16, 16)
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
	net := compile(t, qdq.ShiftNetwork(), engine.WithThreads(2))
	inputs, want := make([]*tensor.Tensor, 10), make([]*tensor.Tensor, 10)
	for i := range inputs {
		inputs[i] = qdq.RandomInput(uint64(i), 1+i%3, 3, 16, 16)
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
		if _, err := compile(t, qdq.ShiftNetwork()).Run(ctx, qdq.RandomInput(1, n, 3, 16, 16)); err == nil {
			t.Errorf("batch %d: a cancelled run gave no error", n)
		}
	}
}

// TestMemory checks that a network of bytes takes at most a third of what the
// same network of floats does, its file's constants not counted, or half where
// the processor multiplies 16-bit weights only.
func TestMemory(t *testing.T) {
	q, x := qdq.New(1, false, 256, 6, 6)
	integers := q.Done(q.Quantized(q.Conv(q.Quantized(q.Conv(x, 256, 256, 3, nil)), 256, 256, 3, nil)))
	f, _ := qdq.New(1, false, 256, 6, 6)
	v := f.Inputs[0]
	f.Nodes = nil
	for range 2 {
		v = f.Node("Conv", op.Attrs{"pads": []int64{1, 1, 1, 1}}, v, f.Constant(qdq.RandomInput(1, 256, 256, 3, 3)))
	}
	bytes, floats := memoryOf(t, integers), memoryOf(t, f.Done(v))
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
	x := qdq.RandomInput(1, 1, 256, 6, 6)
	runtime.GC()
	runtime.ReadMemStats(&before)
	net := compile(t, g, engine.WithThreads(1))
	run(t, net, x)
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(net)
	return int64(after.HeapAlloc) - int64(before.HeapAlloc)
}
