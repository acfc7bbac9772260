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
	default:
		if packed := t.DType().Packed(); packed > 1 {
			p.RawData = pack(t.Bytes(), packed)
			break
		}
		p.RawData = littleEndianBytes(t)
	}
	return p
}

// pack puts several elements into each byte, the first in its lowest bits.
func pack(v []byte, packed int) []byte {
	out, bits := make([]byte, (len(v)+packed-1)/packed), 8/packed
	for i, x := range v {
		out[i/packed] |= x & (1<<bits - 1) << (i % packed * bits)
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
