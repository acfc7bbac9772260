package ptq

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/tensor"
)

// feed hands all of data to q in batches of different sizes.
func feed(t testing.TB, q *Quantizer, data dataset.Source) {
	t.Helper()
	for all, err := range data.Batches(math.MaxInt / 2) {
		if err != nil {
			t.Fatal(err)
		}
		x := all[0]
		for at, n := 0, 1; at < x.Shape()[0]; at, n = at+n, n*2%101 {
			if err := q.Feed(x.Rows(at, min(at+n, x.Shape()[0]))); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func modelBytes(t testing.TB, g *graph.Graph) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := onnx.Write(&b, g); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestQuantizerGivesTheSameBytes(t *testing.T) {
	for _, count := range []int{1, 63, 256, 600} {
		for name, options := range map[string][]Option{
			"default": nil, "auto": {WithClip(Auto)}, "plain": {WithEqualize(false), WithCompensation(false), WithBatch(100)}, "shift": {WithShift(true), WithPerChannel(false)},
		} {
			data := images(t, count, 3, 8, 8)
			want := modelBytes(t, mustQuantize(t, residualNet(), data, options...).Graph)
			q := NewQuantizer(context.Background(), residualNet(), options...)
			feed(t, q, data)
			for range 2 {
				result, err := q.Finish()
				if err != nil {
					t.Fatalf("%s, %d inputs: %v", name, count, err)
				}
				if !bytes.Equal(modelBytes(t, result.Graph), want) {
					t.Errorf("%s, %d inputs: other bytes than Quantize gives", name, count)
				}
			}
			if len(q.inputs.kept) > fedKept {
				t.Errorf("%s: %d of %d inputs are kept", name, len(q.inputs.kept), count)
			}
			if err := q.Feed(tensor.New(tensor.Float32, 1, 3, 8, 8)); err != ErrFinished {
				t.Errorf("%s: input is taken after the end", name)
			}
			q.Close()
		}
	}
}

// inBatches is a source whose batches have one size.
type inBatches struct {
	dataset.Source
	size int
}

func (s inBatches) Batches(int) iter.Seq2[[]*tensor.Tensor, error] { return s.Source.Batches(s.size) }

// TestQuantizerFixedBatch: a network for batches of 48, of which 256 inputs are no whole number.
func TestQuantizerFixedBatch(t *testing.T) {
	fixed := residualNet()
	fixed.Inputs[0].Type.Shape[0] = 48
	data := images(t, 12*48, 3, 8, 8)
	want := modelBytes(t, mustQuantize(t, fixed, inBatches{data, 48}).Graph)
	q := NewQuantizer(context.Background(), fixed)
	defer q.Close()
	feed(t, q, data)
	result, err := q.Finish()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(modelBytes(t, result.Graph), want) {
		t.Error("other bytes than Quantize gives")
	}
	if n := len(q.inputs.kept); n != 288 {
		t.Errorf("%d inputs are kept", n)
	}
	q = NewQuantizer(context.Background(), fixed)
	defer q.Close()
	feed(t, q, images(t, 50, 3, 8, 8))
	if _, err := q.Finish(); !errors.Is(err, dataset.ErrShape) {
		t.Errorf("50 inputs in batches of 48: %v", err)
	}
}

func TestQuantizerFailures(t *testing.T) {
	bad := tensor.New(tensor.Float32, 20, 3, 8, 8)
	bad.F32()[1000] = float32(math.NaN())
	for _, c := range []struct {
		name    string
		options []Option
		inputs  []*tensor.Tensor
		want    error
		says    string
	}{
		{"nothing", nil, nil, dataset.ErrEmpty, "none was fed"},
		{"NaN", nil, []*tensor.Tensor{bad}, ErrNotFinite, ""},
		{"two tensors", nil, []*tensor.Tensor{bad, bad}, dataset.ErrShape, "2 tensors for 1"},
		{"an option", []Option{WithExclude("nothing")}, nil, nil, `"nothing"`},
		{"a number", nil, []*tensor.Tensor{tensor.Scalar(float32(1))}, dataset.ErrShape, ""},
		{"another shape", nil, []*tensor.Tensor{tensor.New(tensor.Float32, 2, 4, 8, 8)}, nil, "input"},
	} {
		q := NewQuantizer(context.Background(), residualNet(), c.options...)
		var err error
		if c.inputs != nil {
			err = q.Feed(c.inputs...)
		}
		if err == nil {
			_, err = q.Finish()
		}
		if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
		q.Close()
	}
}

// TestQuantizerStops: a failure is seen while inputs are fed, however many there would be, and shapes may not change.
func TestQuantizerStops(t *testing.T) {
	q := NewQuantizer(context.Background(), residualNet())
	defer q.Close()
	x := tensor.New(tensor.Float32, 16, 3, 8, 8)
	if err := q.Feed(x); err != nil {
		t.Fatal(err)
	}
	if err := q.Feed(tensor.New(tensor.Float32, 16, 3, 8, 9)); !errors.Is(err, dataset.ErrShape) {
		t.Errorf("another shape: %v", err)
	}
	x.F32()[7] = float32(math.Inf(1))
	for {
		if err := q.Feed(x); err != nil {
			if !errors.Is(err, ErrNotFinite) {
				t.Error(err)
			}
			break
		}
	}
}

// TestQuantizerExcludes: leaving nodes in float needs no second look at the inputs.
func TestQuantizerExcludes(t *testing.T) {
	q := NewQuantizer(context.Background(), residualNet(), WithAutoExclude(60))
	defer q.Close()
	feed(t, q, images(t, 300, 3, 8, 8))
	r, err := q.Finish()
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Float) < 5 {
		t.Errorf("in float: %v", r.Float)
	}
}

func TestQuantizerIsAbandoned(t *testing.T) {
	before := runtime.NumGoroutine()
	for count := range 20 {
		ctx, cancel := context.WithCancel(context.Background())
		q := NewQuantizer(ctx, residualNet(), WithThreads(1)) // the engine keeps helpers for other threads
		if count > 0 {
			feed(t, q, images(t, count*10, 3, 8, 8))
		}
		if count%2 == 0 {
			cancel()
			if _, err := q.Finish(); !errors.Is(err, context.Canceled) {
				t.Errorf("canceled: %v", err)
			}
		}
		q.Close()
		cancel()
	}
	for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, before it were %d", runtime.NumGoroutine(), before)
		}
	}
}
