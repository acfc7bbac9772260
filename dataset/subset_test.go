package dataset

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/narrow-ml/narrow/tensor"
)

// TestWriteSubset: what is written is read as the inputs that were chosen, whatever is done to them.
func TestWriteSubset(t *testing.T) {
	dir := t.TempDir()
	x := tensor.New(tensor.Uint8, 6, 2, 3)
	for i := range x.Len() {
		tensor.Data[uint8](x)[i] = uint8(7 * i)
	}
	path := filepath.Join(dir, "x.npy")
	saveBy(t, path, func(b *bytes.Buffer) error { return WriteNPY(b, x) })
	chosen := []int{4, 1, 5, 1}
	half := Normalize(0.5, nil, nil)
	for ext, inputs := range map[string][]Input{".npy": {{Name: "a"}}, ".npz": {{Name: "a"}, {Name: "b"}}} {
		paths := []string{path, path}[:len(inputs)]
		set, err := OpenFor(inputs, paths, half)
		if err != nil {
			t.Fatal(err)
		}
		part := filepath.Join(dir, "part"+ext)
		saveBy(t, part, func(b *bytes.Buffer) error { return set.WriteSubset(b, ext, chosen) })
		again, err := OpenFor(inputs, []string{part}, half)
		if err != nil {
			t.Fatal(err)
		}
		for batch, err := range again.Batches(10) {
			if err != nil {
				t.Fatal(err)
			}
			for _, got := range batch {
				for k, i := range chosen {
					for j := range 6 {
						if want := float32(uint8(7*(6*i+j))) / 2; got.F32()[6*k+j] != want {
							t.Fatalf("%s: element %d of input %d is %g, want %g", ext, j, i, got.F32()[6*k+j], want)
						}
					}
				}
			}
		}
		for _, wrong := range []struct {
			ext    string
			chosen []int
		}{{".txt", chosen}, {".bin", chosen}, {ext, []int{6}}} {
			if err := set.WriteSubset(new(bytes.Buffer), wrong.ext, wrong.chosen); !errors.Is(err, ErrSubset) {
				t.Errorf("%+v: error %v", wrong, err)
			}
		}
	}
}

// TestWriteSubsetOfPictures lists the files.
func TestWriteSubsetOfPictures(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.png", "b.png", "c.png"} {
		img := image.NewGray(image.Rect(0, 0, 4, 4))
		img.SetGray(1, 1, color.Gray{name[0]})
		saveBy(t, filepath.Join(dir, name), func(b *bytes.Buffer) error { return png.Encode(b, img) })
	}
	set, err := OpenFor([]Input{{Name: "x", Shape: []int{-1, 3, 4, 4}}}, []string{dir})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := set.WriteSubset(&b, ".txt", []int{2, 0}); err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "c.png") + "\n" + filepath.Join(dir, "a.png") + "\n"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
	if err := set.WriteSubset(new(bytes.Buffer), ".npy", []int{1}); err != nil {
		t.Error(err)
	}
	if !slices.Equal(set.columns[0].files, []string{filepath.Join(dir, "a.png"), filepath.Join(dir, "b.png"), filepath.Join(dir, "c.png")}) {
		t.Errorf("%v", set.columns[0].files)
	}
}

func saveBy(t *testing.T, path string, write func(*bytes.Buffer) error) {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
