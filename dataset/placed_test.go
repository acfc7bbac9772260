package dataset

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/narrow-ml/narrow/tensor"
)

func saveAll(t *testing.T, all map[string]*tensor.Tensor) string {
	t.Helper()
	dir := t.TempDir()
	for name, x := range all {
		var b bytes.Buffer
		if err := WriteNPY(&b, x); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func count(shape ...int) *tensor.Tensor {
	x := tensor.New(tensor.Float32, shape...)
	for i := range x.F32() {
		x.F32()[i] = float32(i)
	}
	return x
}

// TestBatchElsewhere reads a signal, a rate that is the same for all, and a state with its layers in front.
func TestBatchElsewhere(t *testing.T) {
	dir := saveAll(t, map[string]*tensor.Tensor{"x.npy": count(5, 3), "rate.npy": tensor.Scalar[int64](16000), "state.npy": count(2, 5, 4)})
	inputs := []Input{{Name: "x", Shape: []int{-1, 3}}, {Name: "rate", DType: tensor.Int64, Shape: []int{}, Axis: NoBatch}, {Name: "state", Shape: []int{2, -1, 4}, Axis: 1}}
	s, err := OpenFor(inputs, []string{"x=" + dir + "/x.npy", "rate=" + dir + "/rate.npy", "state=" + dir + "/state.npy"})
	if err != nil || s.Len() != 5 {
		t.Fatalf("%v, error %v", s, err)
	}
	var sizes []int
	var state []float32
	for batch, err := range s.Batches(2) {
		if err != nil {
			t.Fatal(err)
		}
		if batch[1].Rank() != 0 || batch[1].I64()[0] != 16000 {
			t.Errorf("the rate is %v", batch[1])
		}
		sizes = append(sizes, Count(s, batch))
		n := batch[2].Shape()[1]
		state = append(state, batch[2].F32()[n*4]) // layer 1 of its first input
	}
	if !slices.Equal(sizes, []int{2, 2, 1}) || !slices.Equal(state, []float32{20, 28, 36}) {
		t.Errorf("batches of %v, states %v", sizes, state)
	}
}

// TestNoBatch reads rows for a network that takes one signal at a time, without a batch.
func TestNoBatch(t *testing.T) {
	dir := saveAll(t, map[string]*tensor.Tensor{"x.npy": count(4, 3), "one.npy": count(3)})
	inputs := []Input{{Name: "x", Shape: []int{-1}, Axis: NoBatch}}
	for name, want := range map[string]int{"x.npy": 4, "one.npy": 1} {
		s, err := OpenFor(inputs, []string{filepath.Join(dir, name)})
		if err != nil || s.Len() != want {
			t.Fatalf("%s: %v, error %v", name, s, err)
		}
		n := 0
		for batch, err := range s.Batches(16) {
			if err != nil || !slices.Equal(batch[0].Shape(), []int{3}) || Count(s, batch) != 1 {
				t.Errorf("%s: %v, error %v", name, batch[0], err)
			}
			n++
		}
		if n != want {
			t.Errorf("%s: %d batches", name, n)
		}
	}
}

// TestLengths reads files of different lengths, one of them 0: a batch holds inputs of one length.
func TestLengths(t *testing.T) {
	dir := saveAll(t, map[string]*tensor.Tensor{"a.npy": count(3, 2), "b.npy": count(2, 7), "c.npy": count(2, 0)})
	paths := []string{dir + "/a.npy", dir + "/b.npy", dir + "/c.npy"}
	s, err := OpenFor([]Input{{Name: "x", Shape: []int{-1, -1}}}, paths, First(6))
	if err != nil || s.Len() != 6 || s.Total() != 7 {
		t.Fatalf("%v, error %v", s, err)
	}
	var shapes [][]int
	for batch, err := range s.Batches(2) {
		if err != nil {
			t.Fatal(err)
		}
		shapes = append(shapes, batch[0].Shape())
	}
	if !slices.EqualFunc(shapes, [][]int{{2, 2}, {1, 2}, {2, 7}, {1, 0}}, slices.Equal) {
		t.Errorf("batches %v", shapes)
	}
	if _, err := OpenFor([]Input{{Name: "x", Shape: []int{-1, 2}}}, paths); err == nil {
		t.Error("a length that the network does not take is read")
	}
}

// TestNoInputs: data for a network that takes none is an error.
func TestNoInputs(t *testing.T) {
	if _, err := OpenFor(nil, []string{"x.npy"}); err == nil {
		t.Error("data was opened")
	}
}
