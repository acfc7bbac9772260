package onnx

import (
	"io"
	"slices"
	"strconv"

	"github.com/narrow-ml/narrow/onnx/internal/onnxpb"
	"github.com/narrow-ml/narrow/tensor"
)

// encodeTensor turns a tensor into a message that shares its data.
func encodeTensor(t *tensor.Tensor) *onnxpb.Tensor {
	p := &onnxpb.Tensor{DataType: dataTypes[t.DType()]}
	for _, d := range t.Shape() {
		p.Dims = append(p.Dims, int64(d))
	}
	switch t.DType() {
	case tensor.String:
		p.StringData = convert(tensor.Data[string](t), func(s string) []byte { return []byte(s) })
	case tensor.Int4:
		p.RawData = packNibbles(tensor.Data[tensor.Nibble](t))
	case tensor.Uint4:
		p.RawData = packNibbles(tensor.Data[tensor.UNibble](t))
	default:
		p.RawData = littleEndianBytes(t)
	}
	return p
}

func packNibbles[T tensor.Nibble | tensor.UNibble](v []T) []byte {
	out := make([]byte, (len(v)+1)/2)
	for i, x := range v {
		out[i/2] |= byte(x) & 15 << (i % 2 * 4)
	}
	return out
}

func littleEndianBytes(t *tensor.Tensor) []byte {
	b := t.Bytes()
	if littleEndian {
		return b
	}
	b = slices.Clone(b)
	size := t.DType().Size()
	for i := 0; i < len(b); i += size {
		slices.Reverse(b[i : i+size])
	}
	return b
}

// dataAlignment is where tensors begin in a data file: on pages, so that
// whoever maps the file finds every element aligned.
const dataAlignment = 4096

// inlineLimit is the size up to which a tensor stays in the model itself.
const inlineLimit = 1024

// moveData writes the raw data of the large initializers to w, which becomes
// the file named location, and makes m refer to it.
func moveData(m *onnxpb.Model, w io.Writer, location string) error {
	offset := 0
	for _, t := range m.Graph.Initializer {
		if len(t.RawData) <= inlineLimit {
			continue
		}
		pad := -offset & (dataAlignment - 1)
		if _, err := w.Write(make([]byte, pad)); err != nil {
			return err
		}
		if _, err := w.Write(t.RawData); err != nil {
			return err
		}
		t.DataLocation = onnxpb.Tensor_EXTERNAL
		t.ExternalData = []*onnxpb.StringEntry{
			{Key: "location", Value: location},
			{Key: "offset", Value: strconv.Itoa(offset + pad)},
			{Key: "length", Value: strconv.Itoa(len(t.RawData))},
		}
		offset += pad + len(t.RawData)
		t.RawData = nil
	}
	return nil
}
