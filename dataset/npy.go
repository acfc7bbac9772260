package dataset

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/narrow-ml/narrow/internal/regular"
	"github.com/narrow-ml/narrow/tensor"
)

const npyMagic = "\x93NUMPY"

// npyHeader is what stands before the elements of a .npy stream.
type npyHeader struct {
	dtype tensor.DType
	shape []int
	size  int64 // bytes the header takes, magic number included
}

var npyTypes = map[string]tensor.DType{
	"f4": tensor.Float32, "f8": tensor.Float64, "f2": tensor.Float16,
	"u1": tensor.Uint8, "i1": tensor.Int8, "b1": tensor.Bool,
	"u2": tensor.Uint16, "i2": tensor.Int16, "u4": tensor.Uint32, "i4": tensor.Int32,
	"u8": tensor.Uint64, "i8": tensor.Int64,
}

var (
	npyDescr   = regexp.MustCompile(`'descr'\s*:\s*'([<>|=]?)([a-zA-Z]\d+)'`)
	npyFortran = regexp.MustCompile(`'fortran_order'\s*:\s*True`)
	npyShape   = regexp.MustCompile(`'shape'\s*:\s*\(([\d\s,]*)\)`)
)

// openNPYHeader opens a .npy file and reads its header; the elements follow.
func openNPYHeader(path string) (f *os.File, h npyHeader, err error) {
	if f, err = regular.Open(path); err != nil {
		return nil, h, err
	}
	info, err := f.Stat()
	if err == nil {
		h, err = readNPYHeader(f, info.Size())
	}
	if err != nil {
		f.Close()
		return nil, h, err
	}
	return f, h, nil
}

// readNPYHeader reads a header (format versions 1 to 3) of a stream that is
// total bytes long, and checks that the elements can be there.
func readNPYHeader(r io.Reader, total int64) (npyHeader, error) {
	text, size, err := npyHeaderText(r)
	if err != nil {
		return npyHeader{}, err
	}
	h := npyHeader{size: size}
	descr := npyDescr.FindStringSubmatch(text)
	if descr == nil {
		return h, fmt.Errorf("%w: elements are not plain numbers; save one array of numbers", ErrFormat)
	}
	var known bool
	if h.dtype, known = npyTypes[descr[2]]; !known {
		return h, fmt.Errorf("%w: elements of type %q; convert them with x.astype('float32')", ErrFormat, descr[2])
	}
	if descr[1] == ">" && h.dtype.Size() > 1 {
		return h, fmt.Errorf("%w: big-endian elements; convert them with x.astype('<%s')", ErrFormat, descr[2])
	}
	if h.shape, err = npyDims(text); err != nil {
		return h, err
	}
	if npyFortran.MatchString(text) && len(h.shape) > 1 {
		return h, fmt.Errorf("%w: Fortran order; save numpy.ascontiguousarray(x)", ErrFormat)
	}
	volume, ok := tensor.CheckedVolume(h.shape)
	if !ok || int64(volume) > (math.MaxInt64-size)/8 {
		return h, fmt.Errorf("%w: shape %v is beyond any file", ErrFormat, h.shape)
	}
	if need := int64(volume)*int64(h.dtype.Size()) + size; need > total {
		return h, fmt.Errorf("%w: truncated: %s %v needs %d bytes, %d are there", ErrFormat, h.dtype, h.shape, need, total)
	}
	return h, nil
}

// npyHeaderText returns the description in a header and the header's size.
func npyHeaderText(r io.Reader) (string, int64, error) {
	var start [12]byte
	if _, err := io.ReadFull(r, start[:10]); err != nil || string(start[:6]) != npyMagic {
		return "", 0, fmt.Errorf("%w: not a .npy array", ErrFormat)
	}
	size, length := int64(10), int64(binary.LittleEndian.Uint16(start[8:]))
	switch start[6] {
	case 1:
	case 2, 3:
		if _, err := io.ReadFull(r, start[10:]); err != nil {
			return "", 0, fmt.Errorf("%w: the .npy header is truncated", ErrFormat)
		}
		size, length = 12, int64(binary.LittleEndian.Uint32(start[8:]))
	default:
		return "", 0, fmt.Errorf("%w: .npy version %d; versions 1 to 3 are read", ErrFormat, start[6])
	}
	// LimitReader: memory follows what is there, not what the length claims.
	text, err := io.ReadAll(io.LimitReader(r, length))
	if err != nil || int64(len(text)) != length {
		return "", 0, fmt.Errorf("%w: the .npy header is truncated", ErrFormat)
	}
	return string(text), size + length, nil
}

func npyDims(text string) ([]int, error) {
	m := npyShape.FindStringSubmatch(text)
	if m == nil {
		return nil, fmt.Errorf("%w: the .npy header gives no shape", ErrFormat)
	}
	shape := []int{}
	for field := range strings.SplitSeq(m[1], ",") {
		if field = strings.TrimSpace(field); field == "" {
			continue
		}
		d, err := strconv.Atoi(field)
		if err != nil {
			return nil, fmt.Errorf("%w: dimension %q in the .npy header", ErrFormat, field)
		}
		shape = append(shape, d)
	}
	return shape, nil
}

// WriteNPY writes t as a .npy array (format version 1).
func WriteNPY(w io.Writer, t *tensor.Tensor) error {
	if err := WriteNPYHeader(w, t.DType(), t.Shape()...); err != nil {
		return err
	}
	return WriteNPYData(w, t)
}

// WriteNPYHeader begins a .npy array of the given shape; its elements follow,
// in any number of pieces, by [WriteNPYData].
func WriteNPYHeader(w io.Writer, dtype tensor.DType, shape ...int) error {
	var descr string
	for code, d := range npyTypes {
		if d == dtype {
			descr = code
		}
	}
	if descr == "" {
		return fmt.Errorf("dataset: .npy has no element type %s", dtype)
	}
	dims := strings.Trim(strings.Join(strings.Fields(fmt.Sprint(shape)), ", "), "[]")
	if len(shape) == 1 {
		dims += ","
	}
	order := "<"
	if dtype.Size() == 1 {
		order = "|"
	}
	text := fmt.Sprintf("{'descr': '%s%s', 'fortran_order': False, 'shape': (%s), }", order, descr, dims)
	const align = 64
	pad := align - (10+len(text)+1)%align
	text += strings.Repeat(" ", pad%align) + "\n"
	head := append([]byte(npyMagic), 1, 0)
	head = binary.LittleEndian.AppendUint16(head, uint16(len(text)))
	_, err := w.Write(append(head, text...))
	return err
}

// WriteNPYData writes the elements of t, the next of a .npy array.
func WriteNPYData(w io.Writer, t *tensor.Tensor) error {
	_, err := w.Write(littleEndian(t.Bytes(), t.DType().Size()))
	return err
}

// ReadLabels reads the class of each input: an integer .npy array [N] or [N,1].
func ReadLabels(path string) ([]int, error) {
	labels, err := readLabels(path)
	if err != nil {
		return nil, wrap(path, err)
	}
	return labels, nil
}

func readLabels(path string) ([]int, error) {
	f, h, err := openNPYHeader(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if !h.dtype.IsInteger() || len(h.shape) == 0 || len(h.shape) > 2 || (len(h.shape) == 2 && h.shape[1] != 1) {
		return nil, fmt.Errorf("%w: labels are one whole number for each input, not %s %v", ErrShape, h.dtype, h.shape)
	}
	raw, err := io.ReadAll(io.LimitReader(f, int64(h.shape[0]*h.dtype.Size())))
	if err != nil {
		return nil, err
	}
	t := tensor.New(h.dtype, h.shape[0])
	copy(t.Bytes(), littleEndian(raw, h.dtype.Size()))
	return t.Ints(), nil
}

var bigEndianMachine = binary.NativeEndian.Uint16([]byte{1, 0}) != 1

// littleEndian converts elements of the given size between the machine's order
// of bytes and that of files. Where these are one it returns b itself.
func littleEndian(b []byte, size int) []byte {
	if !bigEndianMachine || size == 1 {
		return b
	}
	b = bytes.Clone(b)
	for e := b; len(e) >= size; e = e[size:] {
		for i, j := 0, size-1; i < j; i, j = i+1, j-1 {
			e[i], e[j] = e[j], e[i]
		}
	}
	return b
}

// wrap puts the file's name before an error that does not name it already.
func wrap(path string, err error) error {
	var pathErr *os.PathError
	if err == nil || errors.As(err, &pathErr) {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}
