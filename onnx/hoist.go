package onnx

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/narrow-ml/narrow/onnx/internal/onnxpb"
)

// maxDepth bounds how deep messages of a model may be nested (subgraphs in
// subgraphs); real models stay under 40.
const maxDepth = 200

// message says which fields of a message lead to tensors, by field number.
type message struct {
	name     string
	children map[protowire.Number]*message
}

const rawDataField protowire.Number = 9

var tensorMessage = &message{name: "tensor"}

var modelMessage = func() *message {
	sparse := &message{"sparse tensor", map[protowire.Number]*message{1: tensorMessage, 2: tensorMessage}}
	attr := &message{name: "attribute"}
	node := &message{"node", map[protowire.Number]*message{5: attr}}
	graph := &message{"graph", map[protowire.Number]*message{1: node, 5: tensorMessage, 15: sparse}}
	attr.children = map[protowire.Number]*message{5: tensorMessage, 6: graph, 10: tensorMessage, 11: graph, 22: sparse}
	function := &message{"function", map[protowire.Number]*message{7: node, 11: attr}}
	return &message{"model", map[protowire.Number]*message{7: graph, 25: function}}
}()

// blobs are the raw_data fields of a file, as views of its bytes.
type blobs [][]byte

// unmarshalModel decodes a model. The raw_data of every tensor, nearly all of
// a file, is left where it is: the field holds its number in blobs instead,
// which [blobs.of] looks up. Decoding then costs memory for the structure only.
func unmarshalModel(file []byte) (*onnxpb.Model, blobs, error) {
	var all blobs
	skeleton, err := all.hoist(nil, file, modelMessage, 0)
	if err != nil {
		return nil, nil, err
	}
	m := new(onnxpb.Model)
	if err := proto.Unmarshal(skeleton, m); err != nil {
		return nil, nil, err
	}
	return m, all, nil
}

// unmarshalTensor decodes a file that holds one tensor.
func unmarshalTensor(file []byte) (*onnxpb.Tensor, blobs, error) {
	var all blobs
	skeleton, err := all.hoist(nil, file, tensorMessage, 0)
	if err != nil {
		return nil, nil, err
	}
	t := new(onnxpb.Tensor)
	if err := proto.Unmarshal(skeleton, t); err != nil {
		return nil, nil, err
	}
	return t, all, nil
}

// hoist appends message b to dst with every raw_data in it replaced by its
// number in all, to which the data is added.
func (all *blobs) hoist(dst, b []byte, m *message, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, errors.New("messages are nested too deep")
	}
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil, fmt.Errorf("broken %s: %w", m.name, protowire.ParseError(n))
		}
		size := protowire.ConsumeFieldValue(num, typ, b[n:])
		if size < 0 {
			return nil, fmt.Errorf("broken %s: %w", m.name, protowire.ParseError(size))
		}
		child := m.children[num]
		switch {
		case typ == protowire.BytesType && child != nil:
			body, _ := protowire.ConsumeBytes(b[n:])
			if len(body) == 0 && child.children == nil {
				return nil, fmt.Errorf("empty %s", child.name)
			}
			// Written behind room for the longest length, then moved up.
			dst = protowire.AppendTag(dst, num, typ)
			start := len(dst)
			dst = append(dst, make([]byte, lengthRoom)...)
			var err error
			if dst, err = all.hoist(dst, body, child, depth+1); err != nil {
				return nil, err
			}
			inner := len(dst) - start - lengthRoom
			head := protowire.AppendVarint(dst[:start], uint64(inner))
			dst = dst[:len(head)+copy(dst[len(head):], dst[start+lengthRoom:])]
		case typ == protowire.BytesType && m == tensorMessage && num == rawDataField:
			data, _ := protowire.ConsumeBytes(b[n:])
			dst = protowire.AppendTag(dst, num, typ)
			dst = protowire.AppendBytes(dst, protowire.AppendVarint(nil, uint64(len(*all))))
			*all = append(*all, data)
		default:
			dst = append(dst, b[:n+size]...)
		}
		b = b[n+size:]
	}
	return dst, nil
}

// lengthRoom is the room for a length in hoist: a varint of up to 35 bits.
const lengthRoom = 5

// of returns the raw_data of a tensor; ok is false if it has none.
func (all blobs) of(t *onnxpb.Tensor) (data []byte, ok bool) {
	if len(t.RawData) == 0 {
		return nil, false
	}
	i, _ := protowire.ConsumeVarint(t.RawData)
	return all[i], true
}
