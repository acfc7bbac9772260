// Package mutation breaks real files in small ways and puts them through the
// library: reader, plan, engine, quantizer, writer. Whatever a file holds, each
// must end in time, in bounded memory, with a result or an error.
package mutation

import (
	"math"
	"math/rand/v2"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// Mutate returns a file with one to four changes. Most of a file are weights; the changes are made to what is
// around them, by the structure of the messages, and a few anywhere.
func Mutate(r *rand.Rand, file []byte) []byte {
	b := slices.Clone(file)
	for range 1 + r.IntN(4) {
		if r.IntN(8) == 0 {
			b = anywhere(r, b)
			continue
		}
		b = message(r, b, 0)
	}
	return b
}

// anywhere changes, drops or repeats some bytes, or cuts the file.
func anywhere(r *rand.Rand, b []byte) []byte {
	if len(b) == 0 {
		return b
	}
	at := r.IntN(len(b))
	n := min(1+r.IntN(16), len(b)-at)
	switch r.IntN(5) {
	case 0:
		b[at] ^= 1 << r.IntN(8)
	case 1:
		b[at] = byte(r.Uint32())
	case 2:
		return slices.Delete(b, at, at+n)
	case 3:
		return slices.Insert(b, at, slices.Clone(b[at:at+n])...)
	case 4:
		return b[:at]
	}
	return b
}

// field is one field of a message.
type field struct {
	num  protowire.Number
	typ  protowire.Type
	body []byte // with its length, for bytes without
}

// fields takes a message apart; false for what is none.
func fields(b []byte) ([]field, bool) {
	var all []field
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil, false
		}
		size := protowire.ConsumeFieldValue(num, typ, b[n:])
		if size < 0 {
			return nil, false
		}
		body := b[n : n+size]
		if typ == protowire.BytesType {
			body, _ = protowire.ConsumeBytes(body)
		}
		all = append(all, field{num, typ, body})
		b = b[n+size:]
	}
	return all, true
}

func join(all []field) []byte {
	var b []byte
	for _, f := range all {
		b = protowire.AppendTag(b, f.num, f.typ)
		if f.typ == protowire.BytesType {
			b = protowire.AppendBytes(b, f.body)
		} else {
			b = append(b, f.body...)
		}
	}
	return b
}

// message changes one field of a message, or of one within it.
func message(r *rand.Rand, b []byte, depth int) []byte {
	all, ok := fields(b)
	if !ok || len(all) == 0 {
		return anywhere(r, slices.Clone(b))
	}
	i := r.IntN(len(all))
	f := &all[i]
	switch r.IntN(10) {
	case 0:
		return join(slices.Delete(all, i, i+1))
	case 1:
		return join(slices.Insert(all, i, all[r.IntN(len(all))]))
	case 2:
		k := r.IntN(len(all))
		all[i], all[k] = all[k], all[i]
		return join(all)
	}
	switch f.typ {
	case protowire.VarintType:
		f.body = protowire.AppendVarint(nil, number(r, f.body))
	case protowire.Fixed32Type:
		f.body = protowire.AppendFixed32(nil, math.Float32bits(float(r)))
	case protowire.BytesType:
		f.body = bytesOf(r, f.body, all, depth)
	}
	return join(all)
}

// bytesOf changes a text, a list of numbers or a message.
func bytesOf(r *rand.Rand, body []byte, others []field, depth int) []byte {
	if len(body) > 1<<12 && depth > 1 {
		return body // weights
	}
	if inner, ok := fields(body); ok && len(inner) > 0 && depth < 12 && r.IntN(8) > 0 {
		return message(r, body, depth+1)
	}
	switch r.IntN(4) {
	case 0:
		return []byte(words[r.IntN(len(words))])
	case 1: // a value that another field has: another node's input, another attribute's name
		if o := others[r.IntN(len(others))]; o.typ == protowire.BytesType && len(o.body) < 1<<12 {
			return o.body
		}
	case 2:
		var list []byte
		for range r.IntN(6) {
			list = protowire.AppendVarint(list, number(r, nil))
		}
		return list
	}
	return anywhere(r, slices.Clone(body))
}

// number returns one of those that break arithmetic, or one near the old.
func number(r *rand.Rand, old []byte) uint64 {
	extremes := []uint64{0, 1, 2, 3, 7, 64, 1 << 16, 1<<31 - 1, 1 << 31, 1 << 40, math.MaxInt64, 1 << 63, math.MaxUint64, math.MaxUint64 - 1, math.MaxUint64 - 3}
	if v, n := protowire.ConsumeVarint(old); n > 0 && r.IntN(2) == 0 {
		return v + uint64(r.IntN(5)) - 2
	}
	return extremes[r.IntN(len(extremes))]
}

func float(r *rand.Rand) float32 {
	list := []float32{0, -1, 1e-38, 1e38, float32(math.Inf(1)), float32(math.NaN()), float32(r.NormFloat64())}
	return list[r.IntN(len(list))]
}

// words are operators, attributes and element types' names that may stand where others do.
var words = []string{"Conv", "Gemm", "MatMul", "Add", "Mul", "Div", "Relu", "Reshape", "Concat", "Slice", "Pad", "Resize", "Transpose", "Softmax", "LSTM", "Loop", "If", "Scan",
	"Gather", "Expand", "Tile", "Range", "ConstantOfShape", "TopK", "NonZero", "Einsum", "QuantizeLinear", "DequantizeLinear", "ReduceMean", "Squeeze", "Unsqueeze", "Cast", "Split",
	"axis", "axes", "pads", "strides", "dilations", "kernel_shape", "group", "to", "perm", "com.microsoft", "ai.onnx", "", "a,b->ab", "\x00\n\x1b"}
