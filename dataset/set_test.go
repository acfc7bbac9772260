package dataset

import (
	"archive/zip"
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/narrow-ml/narrow/tensor"
)

// npz returns an archive of arrays, in the order of their names.
func npz(arrays map[string]*tensor.Tensor) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(arrays)) {
		w, err := z.Create(name + ".npy")
		if err == nil {
			err = WriteNPY(w, arrays[name])
		}
		if err != nil {
			panic(err)
		}
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// all reads a source twice by different batches, checks that both give the
// same, and returns the inputs joined.
func all(t *testing.T, s Source) [][]float64 {
	t.Helper()
	one, three := collect(t, s, 1), collect(t, s, 3)
	for i := range one {
		if !slices.Equal(one[i], three[i]) {
			t.Fatalf("input %d depends on the batch: %v, %v", i, one[i], three[i])
		}
	}
	return one
}

func collect(t *testing.T, s Source, n int) (joined [][]float64) {
	t.Helper()
	rows := 0
	for batch, err := range s.Batches(n) {
		if err != nil {
			t.Fatal(err)
		}
		if joined == nil {
			joined = make([][]float64, len(batch))
		}
		rows += batch[0].Shape()[0]
		for i, x := range batch {
			joined[i] = append(joined[i], x.Float64s()...)
		}
	}
	if rows != s.Len() {
		t.Fatalf("%d rows of %d", rows, s.Len())
	}
	return joined
}

func TestElementTypes(t *testing.T) {
	for _, x := range []*tensor.Tensor{
		tensor.From([]float32{1, 2, 3, 4, 5, 6, 7, 100}, 4, 2),
		tensor.From([]float64{1, 2, 3, 4, 5, 6, 7, 100}, 4, 2),
		tensor.From([]uint8{1, 2, 3, 4, 5, 6, 7, 100}, 4, 2),
		tensor.From([]int8{1, 2, 3, 4, 5, 6, 7, 100}, 4, 2),
		tensor.From([]int16{1, 2, 3, 4, 5, 6, 7, 100}, 4, 2),
		tensor.From([]uint16{1, 2, 3, 4, 5, 6, 7, 100}, 4, 2),
		tensor.From([]int32{1, 2, 3, 4, 5, 6, 7, 100}, 4, 2),
		tensor.From([]uint32{1, 2, 3, 4, 5, 6, 7, 100}, 4, 2),
		tensor.From([]int64{1, 2, 3, 4, 5, 6, 7, 100}, 4, 2),
		tensor.From([]uint64{1, 2, 3, 4, 5, 6, 7, 100}, 4, 2),
		tensor.From([]tensor.Half{0x3c00, 0x4000, 0x4200, 0x4400, 0x4500, 0x4600, 0x4700, 0x5640}, 4, 2),
	} {
		s, err := Open(saveNPY(t, "x.npy", x))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := all(t, s)[0], []float64{1, 2, 3, 4, 5, 6, 7, 100}; !slices.Equal(got, want) {
			t.Errorf("%s: %v", x.DType(), got)
		}
	}
}

func TestNormalize(t *testing.T) {
	path := saveNPY(t, "x.npy", tensor.From([]uint8{0, 255, 51, 102}, 1, 2, 1, 2))
	s, err := Open(path, Normalize(1.0/255, []float32{0.5, 0.25}, []float32{0.5, 2}))
	if err != nil {
		t.Fatal(err)
	}
	got := all(t, s)[0]
	for i, want := range []float64{-1, 1, (0.2 - 0.25) / 2, (0.4 - 0.25) / 2} {
		if math.Abs(got[i]-want) > 1e-6 {
			t.Errorf("element %d: %v, want %v", i, got[i], want)
		}
	}
	if _, err := Open(path, Normalize(1, []float32{1, 2, 3}, nil)); !errors.Is(err, ErrShape) {
		t.Errorf("three means for two channels: error %v", err)
	}
	if _, err := Open(path, Normalize(1, nil, []float32{0})); err == nil {
		t.Error("a std of 0 was taken")
	}
}

func TestFirst(t *testing.T) {
	path := saveNPY(t, "x.npy", tensor.From([]float32{1, 2, 3, 4, float32(math.NaN())}, 5, 1))
	s, err := Open(path, First(3))
	if err != nil {
		t.Fatal(err)
	}
	if got := all(t, s)[0]; !slices.Equal(got, []float64{1, 2, 3}) {
		t.Errorf("%v", got)
	}
}

func TestBadData(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	x := func(shape ...int) *tensor.Tensor { return tensor.New(tensor.Float32, shape...) }
	image3 := []Input{{Name: "x", Shape: []int{-1, 3, 8, 4}}}
	for _, c := range []struct {
		name   string
		inputs []Input
		data   *tensor.Tensor
		err    error
		says   string
	}{
		{"NaN", []Input{{}}, tensor.From([]float32{1, 2, nan, 4}, 2, 2), ErrValue, "x.npy: input 1"},
		{"infinity", []Input{{}}, tensor.From([]float32{1, 2, 3, inf}, 4, 1), ErrValue, "x.npy: input 3"},
		{"empty", []Input{{}}, x(0, 3, 8, 4), ErrEmpty, "x.npy"},
		{"a number", []Input{{}}, x(), ErrShape, "x.npy"},
		{"other size", image3, x(5, 3, 8, 5), ErrShape, "[N 3 8 4]"},
		{"other rank", image3, x(5, 96), ErrShape, "[N 3 8 4]"},
		{"no batch", image3, x(3, 8, 4), ErrShape, "x[None]"},
		{"channels last", image3, x(5, 8, 4, 3), ErrShape, "transpose(0, 3, 1, 2)"},
		{"fixed batch", []Input{{Name: "x", Shape: []int{2, 1}}}, x(5, 1), ErrShape, "first 4"},
		{"floats for whole numbers", []Input{{Name: "ids", DType: tensor.Int64}}, x(5, 1), ErrShape, "int64"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := OpenFor(c.inputs, []string{saveNPY(t, "x.npy", c.data)})
			if err == nil {
				for _, err = range s.Batches(3) {
				}
			}
			if !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want %v with %q", err, c.err, c.says)
			}
		})
	}
}

func TestBadFiles(t *testing.T) {
	whole := npz(map[string]*tensor.Tensor{"x": tensor.New(tensor.Float32, 3, 2)})
	for _, c := range []struct {
		name, file string
		data       []byte
		err        error
	}{
		{"unknown kind", "x.bin", []byte("x"), ErrFormat},
		{"no archive", "x.npz", []byte("PK\x03\x04 nothing"), ErrFormat},
		{"archive cut", "x.npz", whole[:len(whole)-30], ErrFormat},
		{"archive without arrays", "x.npz", npz(nil), ErrEmpty},
		{"picture that is none", "x.png", []byte("GIF89a"), ErrShape}, // no size is known either
		{"list of others", "x.txt", []byte("a.doc\n"), ErrFormat},
		{"empty list", "x.txt", []byte("\n\n"), ErrEmpty},
	} {
		if _, err := Open(save(t, c.file, c.data)); !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.file) {
			t.Errorf("%s: error %v", c.name, err)
		}
	}
	for _, path := range []string{"none.npy", "none.npz", "none", "none.png", "none.txt"} {
		if _, err := Open(filepath.Join(t.TempDir(), path)); !os.IsNotExist(err) {
			t.Errorf("%s: error %v", path, err)
		}
	}
}

// TestFileShrinks cuts a file after it was opened.
func TestFileShrinks(t *testing.T) {
	path := saveNPY(t, "x.npy", tensor.New(tensor.Float32, 10, 2))
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, info.Size()-20); err != nil {
		t.Fatal(err)
	}
	for _, err = range s.Batches(4) {
	}
	if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "input 7") {
		t.Errorf("error %v", err)
	}
}

func TestSeveralFiles(t *testing.T) {
	a := saveNPY(t, "a.npy", tensor.From([]float32{1, 2}, 2, 1))
	b := save(t, "b.npz", npz(map[string]*tensor.Tensor{"any": tensor.From([]float32{3, 4, 5}, 3, 1)}))
	s, err := OpenFor([]Input{{Name: "x"}}, []string{a, b, a})
	if err != nil {
		t.Fatal(err)
	}
	if got := all(t, s)[0]; !slices.Equal(got, []float64{1, 2, 3, 4, 5, 1, 2}) {
		t.Errorf("%v", got)
	}
	nan := saveNPY(t, "n.npy", tensor.From([]float32{1, float32(math.NaN())}, 2, 1))
	if s, err = OpenFor([]Input{{Name: "x"}}, []string{a, nan, b}); err != nil {
		t.Fatal(err)
	}
	for _, err = range s.Batches(100) {
	}
	if err == nil || !strings.Contains(err.Error(), "n.npy: input 1") {
		t.Errorf("error %v", err)
	}
	other := saveNPY(t, "o.npy", tensor.From([]uint8{1}, 1, 1))
	if _, err := OpenFor([]Input{{Name: "x"}}, []string{a, other}); !errors.Is(err, ErrShape) {
		t.Errorf("mixed types: error %v", err)
	}
}

func TestSeveralInputs(t *testing.T) {
	ids, mask := tensor.From([]int64{7, 8}, 2, 1), tensor.From([]float32{0.5, 1.5}, 2, 1)
	inputs := []Input{{Name: "ids", DType: tensor.Int64, Shape: []int{-1, 1}}, {Name: "mask", Shape: []int{-1, -1}}}
	idsPath, maskPath := saveNPY(t, "i.npy", ids), saveNPY(t, "m.npy", mask)
	archive := save(t, "both.npz", npz(map[string]*tensor.Tensor{"mask": mask, "ids": ids, "other": mask}))
	for _, paths := range [][]string{
		{idsPath, maskPath},
		{"mask=" + maskPath, "ids=" + idsPath},
		{archive},
	} {
		s, err := OpenFor(inputs, paths)
		if err != nil {
			t.Fatal(err)
		}
		got := all(t, s)
		if !slices.Equal(got[0], []float64{7, 8}) || !slices.Equal(got[1], []float64{0.5, 1.5}) {
			t.Errorf("%v: %v", paths, got)
		}
		for batch := range s.Batches(2) {
			if batch[0].DType() != tensor.Int64 || batch[1].DType() != tensor.Float32 {
				t.Errorf("%v: %s and %s", paths, batch[0].DType(), batch[1].DType())
			}
		}
	}
	short := saveNPY(t, "s.npy", tensor.From([]float32{0.5}, 1, 1))
	for _, paths := range [][]string{{idsPath}, {"ids=" + idsPath}, {idsPath, maskPath, maskPath}, {idsPath, short}, {}} {
		if _, err := OpenFor(inputs, paths); err == nil {
			t.Errorf("%v was taken", paths)
		}
	}
}

// redPictures returns a red square between white bars as PNG and JPEG: the middle of it is all red, also where a JPEG's colours bleed.
func redPictures(t *testing.T) (b, j bytes.Buffer) {
	t.Helper()
	red, white := color.RGBA{200, 0, 0, 255}, color.RGBA{255, 255, 255, 255}
	wide := image.NewRGBA(image.Rect(0, 0, 16, 8))
	for y := range 8 {
		for x := range 16 {
			wide.Set(x, y, white)
			if x >= 2 && x < 14 {
				wide.Set(x, y, red)
			}
		}
	}
	if err := png.Encode(&b, wide); err != nil {
		t.Fatal(err)
	}
	if err := jpeg.Encode(&j, wide, &jpeg.Options{Quality: 100}); err != nil {
		t.Fatal(err)
	}
	return b, j
}

func TestPictures(t *testing.T) {
	dir := t.TempDir()
	b, j := redPictures(t)
	os.WriteFile(filepath.Join(dir, "a.png"), b.Bytes(), 0o644)
	os.Mkdir(filepath.Join(dir, "sub"), 0o755)
	os.WriteFile(filepath.Join(dir, "sub", "b.JPG"), j.Bytes(), 0o644)
	os.WriteFile(filepath.Join(dir, "notes.md"), []byte("no picture"), 0o644)
	list := filepath.Join(dir, "list.txt")
	os.WriteFile(list, []byte("sub/b.JPG\n\n"+filepath.Join(dir, "a.png")+"\n"), 0o644)

	for _, c := range []struct {
		path string
		in   Input
		opts []Option
		want []float64 // of the channels, for each picture
		n    int
	}{
		{dir, Input{Shape: []int{-1, 3, 4, 4}}, nil, []float64{200, 0, 0}, 2},
		{list, Input{Shape: []int{-1, 3, 4, 4}}, nil, []float64{200, 0, 0}, 2},
		{dir, Input{Shape: []int{-1, 1, 2, 2}}, nil, []float64{59.8}, 2},
		{filepath.Join(dir, "a.png"), Input{Shape: []int{-1, 3, -1, -1}}, []Option{PictureSize(4, 4)}, []float64{200, 0, 0}, 1},
	} {
		s, err := OpenFor([]Input{c.in}, []string{c.path}, c.opts...)
		if err != nil {
			t.Fatal(err)
		}
		got := all(t, s)[0]
		per := len(got) / c.n / len(c.want)
		for i, v := range got {
			want := c.want[i/per%len(c.want)]
			if tolerance := 12.0; math.Abs(v-want) > tolerance { // JPEG and the square's border
				t.Fatalf("%s: element %d is %v, want %v", c.path, i, v, want)
			}
		}
		if s.Len() != c.n {
			t.Errorf("%s: %d pictures", c.path, s.Len())
		}
	}
	if _, err := Open(dir); !errors.Is(err, ErrShape) || !strings.Contains(err.Error(), "--size") {
		t.Errorf("no size: error %v", err)
	}
	os.WriteFile(filepath.Join(dir, "b.png"), b.Bytes()[:60], 0o644)
	s, err := Open(dir, PictureSize(4, 4))
	if err != nil {
		t.Fatal(err)
	}
	for _, err = range s.Batches(5) {
	}
	if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "b.png") {
		t.Errorf("damaged picture: error %v", err)
	}
	if _, err := Open(t.TempDir(), PictureSize(4, 4)); !errors.Is(err, ErrEmpty) {
		t.Errorf("empty folder: error %v", err)
	}
}

func TestBatchesStopEarly(t *testing.T) {
	s, err := Open(saveNPY(t, "x.npy", tensor.New(tensor.Float32, 10, 2)))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for range s.Batches(2) {
		if n++; n == 2 {
			break
		}
	}
	if n != 2 {
		t.Errorf("%d batches", n)
	}
}

func TestFromTensors(t *testing.T) {
	s, err := FromTensors(tensor.From([]float32{1, 2, 3, 4, 5}, 5, 1), tensor.From([]int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 5, 2))
	if err != nil {
		t.Fatal(err)
	}
	got := all(t, s)
	if !slices.Equal(got[0], []float64{1, 2, 3, 4, 5}) || !slices.Equal(got[1], []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}) {
		t.Errorf("%v", got)
	}
	for _, bad := range [][]*tensor.Tensor{{}, {tensor.New(tensor.Float32)}, {tensor.New(tensor.Float32, 0, 2)},
		{tensor.New(tensor.Float32, 2), tensor.New(tensor.Float32, 3)}} {
		if _, err := FromTensors(bad...); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
}
