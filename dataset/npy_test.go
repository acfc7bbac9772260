package dataset

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/narrow-ml/narrow/tensor"
)

// npy returns a .npy stream with the given description and elements.
func npy(version byte, text string, data ...byte) []byte {
	b := append([]byte(npyMagic), version, 0)
	if version == 1 {
		b = binary.LittleEndian.AppendUint16(b, uint16(len(text)))
	} else {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(text)))
	}
	return slices.Concat(b, []byte(text), data)
}

func TestNPYHeader(t *testing.T) {
	for _, c := range []struct {
		name  string
		file  []byte
		dtype tensor.DType
		shape []int
		err   string // part of the message, "" for none
	}{
		{"float32", npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }", make([]byte, 8)...), tensor.Float32, []int{1, 2}, ""},
		{"uint8, version 2", npy(2, "{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }", 1, 2, 3), tensor.Uint8, []int{3}, ""},
		{"other order of keys", npy(3, "{'shape': (1,2,), 'descr':'<i8','fortran_order':False}", make([]byte, 16)...), tensor.Int64, []int{1, 2}, ""},
		{"scalar", npy(1, "{'descr': '<f8', 'fortran_order': False, 'shape': (), }", make([]byte, 8)...), tensor.Float64, []int{}, ""},
		{"empty file", nil, 0, nil, "not a .npy"},
		{"PNG", []byte("\x89PNG\r\n\x1a\n0000000000"), 0, nil, "not a .npy"},
		{"version 9", npy(9, "{}"), 0, nil, "version 9"},
		{"header cut", npy(1, "{'descr': '<f4'")[:14], 0, nil, "truncated"},
		{"data cut", npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (9,)}", 0), 0, nil, "truncated"},
		{"header claims 4 GB", append([]byte(npyMagic), 2, 0, 0xff, 0xff, 0xff, 0xff), 0, nil, "truncated"},
		{"big-endian", npy(1, "{'descr': '>f4', 'fortran_order': False, 'shape': (1,)}", 0, 0, 0, 0), 0, nil, "big-endian"},
		{"structured", npy(1, "{'descr': [('a','<f4')], 'fortran_order': False, 'shape': (1,)}"), 0, nil, "plain numbers"},
		{"complex", npy(1, "{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}"), 0, nil, "astype"},
		{"Fortran order", npy(1, "{'descr': '<f4', 'fortran_order': True, 'shape': (1,1)}", 0, 0, 0, 0), 0, nil, "ascontiguousarray"},
		{"no shape", npy(1, "{'descr': '<f4', 'fortran_order': False}"), 0, nil, "no shape"},
		{"overflowing shape", npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2147483647, 2147483647, 4)}"), 0, nil, "beyond any file"},
		{"overflowing number", npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}"), 0, nil, "dimension"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, err := readNPYHeader(bytes.NewReader(c.file), int64(len(c.file)))
			if c.err != "" {
				if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want one with %q", err, c.err)
				}
				return
			}
			if err != nil || h.dtype != c.dtype || !slices.Equal(h.shape, c.shape) {
				t.Fatalf("%v %v, error %v; want %v %v", h.dtype, h.shape, err, c.dtype, c.shape)
			}
		})
	}
}

func TestWriteNPYIsRead(t *testing.T) {
	for _, want := range []*tensor.Tensor{
		tensor.From([]float32{1, -2.5, 3, 4, 5, 6}, 2, 3),
		tensor.From([]int64{-1, 7}, 2),
		tensor.From([]uint8{9}, 1, 1, 1),
		tensor.From([]bool{true, false}, 2, 1),
	} {
		var b bytes.Buffer
		if err := WriteNPY(&b, want); err != nil {
			t.Fatal(err)
		}
		total := int64(b.Len())
		h, err := readNPYHeader(&b, total)
		if err != nil || h.dtype != want.DType() || !slices.Equal(h.shape, want.Shape()) {
			t.Fatalf("%v %v, error %v", h.dtype, h.shape, err)
		}
		if h.size%64 != 0 {
			t.Errorf("elements start at byte %d, not at a multiple of 64", h.size)
		}
		if !bytes.Equal(b.Bytes(), littleEndian(want.Bytes(), want.DType().Size())) {
			t.Error("other elements")
		}
	}
	if WriteNPY(&bytes.Buffer{}, tensor.From([]string{"a"}, 1)) == nil {
		t.Error("strings were written")
	}
}

func TestReadLabels(t *testing.T) {
	for _, c := range []struct {
		t    *tensor.Tensor
		want []int
		err  bool
	}{
		{tensor.From([]int64{3, 1, 2}, 3), []int{3, 1, 2}, false},
		{tensor.From([]uint8{3, 250}, 2, 1), []int{3, 250}, false},
		{tensor.From([]int32{-1}, 1), []int{-1}, false},
		{tensor.From([]float32{1}, 1), nil, true},
		{tensor.From([]int64{3, 1, 2, 4}, 2, 2), nil, true},
	} {
		path := saveNPY(t, "y.npy", c.t)
		got, err := ReadLabels(path)
		if (err != nil) != c.err || !slices.Equal(got, c.want) {
			t.Errorf("%s %v: %v, error %v", c.t.DType(), c.t.Shape(), got, err)
		}
		if err != nil && !strings.Contains(err.Error(), path) {
			t.Errorf("the error does not name the file: %v", err)
		}
	}
	if _, err := ReadLabels(filepath.Join(t.TempDir(), "none.npy")); !os.IsNotExist(err) {
		t.Errorf("error %v", err)
	}
}

// saveNPY writes a tensor to a new file.
func saveNPY(t *testing.T, name string, x *tensor.Tensor) string {
	t.Helper()
	var b bytes.Buffer
	if err := WriteNPY(&b, x); err != nil {
		t.Fatal(err)
	}
	return save(t, name, b.Bytes())
}

func save(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// FuzzNPY reads any bytes as a file of inputs and of labels: no panic, and no
// more rows than the bytes can hold.
func FuzzNPY(f *testing.F) {
	f.Add(npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }", 0, 0, 128, 63, 0, 0, 192, 127))
	f.Add(npy(2, "{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }", 1, 2, 3))
	f.Add(npy(1, "{'descr': '<i8', 'fortran_order': False, 'shape': (1, 1), }", make([]byte, 8)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := save(t, "x.npy", data)
		ReadLabels(path)
		s, err := Open(path)
		if err != nil {
			return
		}
		if s.Len() > len(data) {
			t.Fatalf("%d inputs in %d bytes", s.Len(), len(data))
		}
		for _, err := range s.Batches(7) {
			if err != nil && !errors.Is(err, ErrValue) {
				t.Fatalf("the header was taken, the data not: %v", err)
			}
		}
	})
}

// FuzzNPZ does the same with an archive.
func FuzzNPZ(f *testing.F) {
	f.Add(npz(map[string]*tensor.Tensor{"a": tensor.From([]float32{1, 2}, 2, 1)}))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Open(save(t, "x.npz", data))
		if err != nil {
			return
		}
		if s.Len() > maxDeflateRatio*len(data) {
			t.Fatalf("%d inputs in %d bytes", s.Len(), len(data))
		}
		for range s.Batches(7) {
		}
	})
}
