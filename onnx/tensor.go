package onnx

import (
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"slices"
	"unsafe"

	"github.com/narrow-ml/narrow/internal/regular"
	"github.com/narrow-ml/narrow/onnx/internal/onnxpb"
	"github.com/narrow-ml/narrow/tensor"
)

// dtypes maps the format's element types to ours.
var dtypes = map[onnxpb.Tensor_DataType]tensor.DType{
	onnxpb.Tensor_FLOAT:    tensor.Float32,
	onnxpb.Tensor_DOUBLE:   tensor.Float64,
	onnxpb.Tensor_FLOAT16:  tensor.Float16,
	onnxpb.Tensor_BFLOAT16: tensor.BFloat16,
	onnxpb.Tensor_INT8:     tensor.Int8,
	onnxpb.Tensor_UINT8:    tensor.Uint8,
	onnxpb.Tensor_INT16:    tensor.Int16,
	onnxpb.Tensor_UINT16:   tensor.Uint16,
	onnxpb.Tensor_INT32:    tensor.Int32,
	onnxpb.Tensor_UINT32:   tensor.Uint32,
	onnxpb.Tensor_INT64:    tensor.Int64,
	onnxpb.Tensor_UINT64:   tensor.Uint64,
	onnxpb.Tensor_BOOL:     tensor.Bool,
	onnxpb.Tensor_STRING:   tensor.String,
	onnxpb.Tensor_INT4:     tensor.Int4,
	onnxpb.Tensor_UINT4:    tensor.Uint4,
	17:                     tensor.Float8E4M3FN,
	18:                     tensor.Float8E4M3FNUZ,
	19:                     tensor.Float8E5M2,
	20:                     tensor.Float8E5M2FNUZ,
	23:                     tensor.Float4E2M1,
	24:                     tensor.Float8E8M0,
	25:                     tensor.Uint2,
	26:                     tensor.Int2,
}

var dataTypes = func() map[tensor.DType]onnxpb.Tensor_DataType {
	m := make(map[tensor.DType]onnxpb.Tensor_DataType)
	for k, v := range dtypes {
		m[v] = k
	}
	return m
}()

// DataType returns the number that the ONNX format has for an element type,
// as in the attribute "to" of Cast; 0 for [tensor.Undefined].
func DataType(d tensor.DType) int64 { return int64(dataTypes[d]) }

// ReadTensorFile reads a file that holds one tensor, as the conformance data
// of ONNX has them, and returns the tensor and its name.
func ReadTensorFile(path string) (*tensor.Tensor, string, error) {
	b, err := regular.ReadFile(path)
	if err != nil {
		return nil, "", fmt.Errorf("onnx: %w", err)
	}
	p, all, err := unmarshalTensor(b)
	if err != nil {
		return nil, "", fmt.Errorf("onnx: %s: %w: %w", path, ErrFormat, err)
	}
	t, err := (&reader{blobs: all}).tensor(p)
	if err != nil {
		return nil, "", fmt.Errorf("onnx: %s: %w", path, err)
	}
	return t, p.Name, nil
}

// tensor decodes a tensor, as a view of the file's bytes if it can be one.
func (r *reader) tensor(p *onnxpb.Tensor) (*tensor.Tensor, error) {
	dtype, ok := dtypes[p.DataType]
	if !ok {
		return nil, fmt.Errorf("tensor %q: element type %s is %w", p.Name, dataTypeName(p.DataType), ErrUnsupported)
	}
	shape, n, err := volume(p.Dims)
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", p.Name, err)
	}
	raw, hasRaw := r.blobs.of(p)
	if p.DataLocation == onnxpb.Tensor_EXTERNAL {
		if raw, err = r.external(p, storedSize(dtype, n)); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", p.Name, err)
		}
		hasRaw = true
	}
	var t *tensor.Tensor
	if hasRaw {
		t, err = fromRaw(dtype, shape, n, raw)
	} else {
		t, err = fromTyped(p, dtype, shape, n)
	}
	if err != nil {
		return nil, fmt.Errorf("tensor %q of type %s and shape %v: %w", p.Name, dtype, shape, err)
	}
	return t, nil
}

func dataTypeName(d onnxpb.Tensor_DataType) string {
	if name, ok := onnxpb.Tensor_DataType_name[int32(d)]; ok {
		return name
	}
	return fmt.Sprint(int32(d))
}

// volume returns dimensions as a shape and their product.
func volume(dims []int64) (shape []int, n int, err error) {
	shape, n = make([]int, len(dims)), 1
	for i, d := range dims {
		if d < 0 {
			return nil, 0, fmt.Errorf("%w: dimension %d in %v", ErrFormat, d, dims)
		}
		shape[i] = int(d)
		if d > 0 && n > math.MaxInt/16/int(d) {
			return nil, 0, fmt.Errorf("%w: shape %v is too large", ErrFormat, dims)
		}
		n *= int(d)
	}
	return shape, n, nil
}

// storedSize returns how many bytes n elements take in a file.
func storedSize(dtype tensor.DType, n int) int {
	if packed := dtype.Packed(); packed > 1 {
		return (n + packed - 1) / packed
	}
	return n * dtype.Size()
}

// fromRaw makes a tensor of the raw bytes of a file.
func fromRaw(dtype tensor.DType, shape []int, n int, raw []byte) (*tensor.Tensor, error) {
	if dtype == tensor.String {
		return nil, fmt.Errorf("%w: strings in raw data", ErrFormat)
	}
	if want := storedSize(dtype, n); len(raw) != want {
		return nil, fmt.Errorf("%w: %d bytes of data, not %d", ErrFormat, len(raw), want)
	}
	if dtype.Packed() > 1 || dtype.IsMini() {
		return unpack(dtype, shape, raw), nil
	}
	switch dtype {
	case tensor.Bool: // a Go bool must be 0 or 1
		return tensor.From(convert(raw, func(b byte) bool { return b != 0 }), shape...), nil
	case tensor.Float32:
		return tensor.From(view[float32](raw, n), shape...), nil
	case tensor.Float64:
		return tensor.From(view[float64](raw, n), shape...), nil
	case tensor.Float16:
		return tensor.From(view[tensor.Half](raw, n), shape...), nil
	case tensor.BFloat16:
		return tensor.From(view[tensor.BHalf](raw, n), shape...), nil
	case tensor.Int8:
		return tensor.From(view[int8](raw, n), shape...), nil
	case tensor.Uint8:
		return tensor.From(view[uint8](raw, n), shape...), nil
	case tensor.Int16:
		return tensor.From(view[int16](raw, n), shape...), nil
	case tensor.Uint16:
		return tensor.From(view[uint16](raw, n), shape...), nil
	case tensor.Int32:
		return tensor.From(view[int32](raw, n), shape...), nil
	case tensor.Uint32:
		return tensor.From(view[uint32](raw, n), shape...), nil
	case tensor.Int64:
		return tensor.From(view[int64](raw, n), shape...), nil
	case tensor.Uint64:
		return tensor.From(view[uint64](raw, n), shape...), nil
	}
	return nil, fmt.Errorf("element type %s is %w", dtype, ErrUnsupported)
}

// littleEndian is whether this machine stores numbers as the format does.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// looseAlignment is whether this machine loads numbers from any address at
// little cost. Protocol buffers align nothing.
const looseAlignment = runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64"

// view returns raw as n numbers: in place if the machine can read them there,
// else a copy.
func view[T tensor.Elem](raw []byte, n int) []T {
	if n == 0 {
		return []T{}
	}
	size := int(unsafe.Sizeof(*new(T)))
	start := unsafe.Pointer(unsafe.SliceData(raw))
	if littleEndian && (looseAlignment || uintptr(start)%uintptr(size) == 0) {
		return unsafe.Slice((*T)(start), n)
	}
	out := make([]T, n)
	to := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(out))), n*size)
	copy(to, raw)
	if !littleEndian {
		for i := 0; i < len(to); i += size {
			slices.Reverse(to[i : i+size])
		}
	}
	return out
}

// unpack makes a tensor of elements that stand in a byte or less, the first in its
// lowest bits.
func unpack(dtype tensor.DType, shape []int, raw []byte) *tensor.Tensor {
	t := tensor.New(dtype, shape...)
	out, packed := t.Bytes(), dtype.Packed()
	bits := 8 / packed
	signed := dtype == tensor.Int4 || dtype == tensor.Int2
	for i := range out {
		out[i] = raw[i/packed] >> (i % packed * bits) << (8 - bits) >> (8 - bits)
		if signed {
			out[i] = byte(int8(out[i]<<(8-bits)) >> (8 - bits))
		}
	}
	return t
}

func convert[From, To any](in []From, f func(From) To) []To {
	out := make([]To, len(in))
	for i, v := range in {
		out[i] = f(v)
	}
	return out
}

// fromTyped makes a tensor of the field that holds elements of its type.
// Types of up to 32 bits share int32_data, floats of 16 bits as their bits.
func fromTyped(p *onnxpb.Tensor, dtype tensor.DType, shape []int, n int) (*tensor.Tensor, error) {
	i32 := p.Int32Data
	stored, want := len(i32), n
	switch dtype {
	case tensor.Float32:
		stored = len(p.FloatData)
	case tensor.Float64:
		stored = len(p.DoubleData)
	case tensor.Int64:
		stored = len(p.Int64Data)
	case tensor.Uint32, tensor.Uint64:
		stored = len(p.Uint64Data)
	case tensor.String:
		stored = len(p.StringData)
	default:
		if dtype.Packed() > 1 {
			want = storedSize(dtype, n) // a byte in each
		}
	}
	if stored != want {
		return nil, fmt.Errorf("%w: %d elements of data, not %d", ErrFormat, stored, want)
	}
	switch dtype {
	case tensor.Float32:
		return tensor.From(orEmpty(p.FloatData), shape...), nil
	case tensor.Float64:
		return tensor.From(orEmpty(p.DoubleData), shape...), nil
	case tensor.Int64:
		return tensor.From(orEmpty(p.Int64Data), shape...), nil
	case tensor.Uint64:
		return tensor.From(orEmpty(p.Uint64Data), shape...), nil
	case tensor.Int32:
		return tensor.From(orEmpty(i32), shape...), nil
	case tensor.Uint32:
		return tensor.From(convert(p.Uint64Data, func(v uint64) uint32 { return uint32(v) }), shape...), nil
	case tensor.String:
		return tensor.From(convert(p.StringData, func(v []byte) string { return string(v) }), shape...), nil
	case tensor.Float16:
		return tensor.From(convert(i32, func(v int32) tensor.Half { return tensor.Half(v) }), shape...), nil
	case tensor.BFloat16:
		return tensor.From(convert(i32, func(v int32) tensor.BHalf { return tensor.BHalf(v) }), shape...), nil
	case tensor.Int8:
		return tensor.From(convert(i32, func(v int32) int8 { return int8(v) }), shape...), nil
	case tensor.Uint8:
		return tensor.From(convert(i32, func(v int32) uint8 { return uint8(v) }), shape...), nil
	case tensor.Int16:
		return tensor.From(convert(i32, func(v int32) int16 { return int16(v) }), shape...), nil
	case tensor.Uint16:
		return tensor.From(convert(i32, func(v int32) uint16 { return uint16(v) }), shape...), nil
	case tensor.Bool:
		return tensor.From(convert(i32, func(v int32) bool { return v != 0 }), shape...), nil
	}
	if dtype.Packed() > 1 || dtype.IsMini() {
		return unpack(dtype, shape, convert(i32, func(v int32) byte { return byte(v) })), nil
	}
	return nil, fmt.Errorf("element type %s is %w", dtype, ErrUnsupported)
}

func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
