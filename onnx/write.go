package onnx

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/internal/atomicfile"
	"github.com/narrow-ml/narrow/onnx/internal/onnxpb"
	"github.com/narrow-ml/narrow/tensor"
)

// maxMessage is the largest file that protocol buffer readers take; of a
// larger model the weights go into a file beside it.
const maxMessage = 2<<30 - 1<<20

// WriteFile writes g to path. Nothing appears at path until the whole file is
// on disk. The weights of a model over 2 GB go into path with ".data" behind it.
func WriteFile(path string, g *graph.Graph) error {
	if err := writeFile(path, g, maxMessage); err != nil {
		return fmt.Errorf("onnx: %s: %w", path, err)
	}
	return nil
}

func writeFile(path string, g *graph.Graph, limit int) error {
	m, err := encode(g)
	if err != nil {
		return err
	}
	if proto.Size(m) > limit {
		dataPath := path + ".data"
		err := atomicfile.Write(dataPath, func(w io.Writer) error { return moveData(m, w, filepath.Base(dataPath)) })
		if err != nil {
			return err
		}
	}
	return atomicfile.Write(path, func(w io.Writer) error { return writeModel(w, m) })
}

// Write writes g, weights included, which must be under 2 GB.
func Write(w io.Writer, g *graph.Graph) error {
	m, err := encode(g)
	if err != nil {
		return fmt.Errorf("onnx: %w", err)
	}
	if proto.Size(m) > maxMessage {
		return errors.New("onnx: the model is over 2 GB: write it to a file, its weights go beside it")
	}
	if err := writeModel(w, m); err != nil {
		return fmt.Errorf("onnx: %w", err)
	}
	return nil
}

// writeModel writes m one initializer at a time, so that the weights are never
// in memory a second time.
func writeModel(w io.Writer, m *onnxpb.Model) error {
	const graphField, initializerField = 7, 5
	deterministic := proto.MarshalOptions{Deterministic: true}
	g := m.Graph
	initializers := g.Initializer
	m.Graph, g.Initializer = nil, nil
	defer func() { m.Graph, g.Initializer = g, initializers }()

	head, err := deterministic.Marshal(m)
	if err != nil {
		return err
	}
	rest, err := deterministic.Marshal(g)
	if err != nil {
		return err
	}
	size := len(rest)
	for _, t := range initializers {
		size += protowire.SizeTag(initializerField) + protowire.SizeBytes(proto.Size(t))
	}
	head = protowire.AppendTag(head, graphField, protowire.BytesType)
	head = protowire.AppendVarint(head, uint64(size))
	if _, err := w.Write(append(head, rest...)); err != nil {
		return err
	}
	var buf []byte
	for _, t := range initializers {
		buf = protowire.AppendTag(buf[:0], initializerField, protowire.BytesType)
		buf = protowire.AppendVarint(buf, uint64(proto.Size(t)))
		raw := t.RawData
		t.RawData = nil
		buf, err = deterministic.MarshalAppend(buf, t)
		t.RawData = raw
		if err != nil {
			return err
		}
		if len(raw) > 0 { // as proto.Size counts it
			buf = protowire.AppendTag(buf, rawDataField, protowire.BytesType)
			buf = protowire.AppendVarint(buf, uint64(len(raw)))
		}
		if _, err := w.Write(buf); err != nil {
			return err
		}
		if _, err := w.Write(raw); err != nil {
			return err
		}
	}
	return nil
}

// irVersion returns the lowest version of the file format that has the
// operator set. Below 4 initializers would have to be inputs too.
func irVersion(opset int) int64 {
	for _, v := range []struct {
		opset int
		ir    int64
	}{{21, 10}, {19, 9}, {15, 8}, {12, 7}, {11, 6}, {10, 5}} {
		if opset >= v.opset {
			return v.ir
		}
	}
	return 4
}

// encode turns g into messages, whose raw data is that of the tensors.
// The operator set is upgraded, in the file only, if the quantization needs it.
func encode(g *graph.Graph) (*onnxpb.Model, error) {
	if need := max(neededOpset(g), g.Opset[""]); need > g.Opset[""] || holdsParts(g) {
		g = g.Clone()
		takeApart(g, need)
		if err := Upgrade(g, need); err != nil {
			return nil, err
		}
	}
	m := &onnxpb.Model{ProducerName: "narrow", IrVersion: irVersion(g.Opset[""])}
	for _, d := range slices.Sorted(maps.Keys(g.Opset)) {
		m.OpsetImport = append(m.OpsetImport, &onnxpb.OperatorSet{Domain: d, Version: int64(g.Opset[d])})
	}
	for _, k := range slices.Sorted(maps.Keys(g.Meta)) {
		m.MetadataProps = append(m.MetadataProps, &onnxpb.StringEntry{Key: k, Value: g.Meta[k]})
	}
	w := &writer{names: make(map[string]*graph.Value)}
	var err error
	m.Graph, err = w.graph(g)
	return m, err
}

// writer turns one graph, and its subgraphs, into messages.
type writer struct {
	names map[string]*graph.Value // who has a name: in a file names are all there is
	outer *writer                 // of the graph around, whose names a subgraph sees
}

// named returns the value that has a name, nil if none has.
func (w *writer) named(name string) *graph.Value {
	for ; w != nil; w = w.outer {
		if v := w.names[name]; v != nil {
			return v
		}
	}
	return nil
}

func (w *writer) graph(g *graph.Graph) (*onnxpb.Graph, error) {
	p := &onnxpb.Graph{Name: g.Name}
	if p.Name == "" {
		p.Name = "graph" // the format asks for one
	}
	for _, v := range g.Inputs {
		if err := w.claim(v); err != nil {
			return nil, err
		}
		p.Input = append(p.Input, valueInfo(v))
	}
	constant := func(v *graph.Value) error {
		if !v.IsConst() || w.named(v.Name) == v {
			return nil
		}
		if err := w.claim(v); err != nil {
			return err
		}
		t := encodeTensor(v.Const)
		t.Name = v.Name
		p.Initializer = append(p.Initializer, t)
		return nil
	}
	for _, n := range g.Nodes {
		for _, v := range n.Inputs {
			if err := constant(v); err != nil {
				return nil, fmt.Errorf("%s: %w", n, err)
			}
		}
		node, err := w.node(n)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n, err)
		}
		p.Node = append(p.Node, node)
	}
	for _, v := range g.Outputs {
		if err := constant(v); err != nil {
			return nil, err
		}
		p.Output = append(p.Output, valueInfo(v))
	}
	return p, nil
}

// claim gives v its name in the file.
func (w *writer) claim(v *graph.Value) error {
	if other := w.named(v.Name); other != nil && other != v {
		return fmt.Errorf("two values have the name %q", v.Name)
	}
	if v.Name == "" {
		return errors.New("a value has no name")
	}
	w.names[v.Name] = v
	return nil
}

func (w *writer) node(n *graph.Node) (*onnxpb.Node, error) {
	p := &onnxpb.Node{Name: n.Name, OpType: n.Op, Domain: n.Domain}
	for _, v := range n.Inputs {
		if v == nil {
			p.Input = append(p.Input, "")
			continue
		}
		if w.named(v.Name) != v {
			return nil, fmt.Errorf("input %q is made by no node before it", v.Name)
		}
		p.Input = append(p.Input, v.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(n.Attrs)) {
		a, err := w.attr(n.Attrs[name])
		if err != nil {
			return nil, fmt.Errorf("attribute %q: %w", name, err)
		}
		a.Name = name
		p.Attribute = append(p.Attribute, a)
	}
	for _, v := range n.Outputs {
		if v == nil {
			p.Output = append(p.Output, "")
			continue
		}
		if err := w.claim(v); err != nil {
			return nil, err
		}
		p.Output = append(p.Output, v.Name)
	}
	return p, nil
}

func (w *writer) attr(value any) (*onnxpb.Attribute, error) {
	a := new(onnxpb.Attribute)
	switch v := value.(type) {
	case float32:
		a.Type, a.F = onnxpb.Attribute_FLOAT, &v
	case int64:
		a.Type, a.I = onnxpb.Attribute_INT, &v
	case string:
		a.Type, a.S = onnxpb.Attribute_STRING, append([]byte{}, v...)
	case []float32:
		a.Type, a.Floats = onnxpb.Attribute_FLOATS, v
	case []int64:
		a.Type, a.Ints = onnxpb.Attribute_INTS, v
	case []string:
		a.Type, a.Strings = onnxpb.Attribute_STRINGS, convert(v, func(s string) []byte { return []byte(s) })
	case *tensor.Tensor:
		a.Type, a.T = onnxpb.Attribute_TENSOR, encodeTensor(v)
	case *graph.Graph:
		sub := &writer{names: make(map[string]*graph.Value), outer: w}
		g, err := sub.graph(v)
		if err != nil {
			return nil, err
		}
		a.Type, a.G = onnxpb.Attribute_GRAPH, g
	default:
		return nil, fmt.Errorf("a value of type %T cannot be written", value)
	}
	return a, nil
}

func valueInfo(v *graph.Value) *onnxpb.ValueInfo {
	p := &onnxpb.ValueInfo{Name: v.Name}
	if v.Type.DType == 0 {
		return p
	}
	t := &onnxpb.TypeInfo_TensorType{ElemType: int32(dataTypes[v.Type.DType])}
	if v.Type.Known {
		t.Shape = new(onnxpb.Shape)
		for i, d := range v.Type.Shape {
			dim := new(onnxpb.Shape_Dimension)
			if d != op.Unknown {
				dim.Value = &onnxpb.Shape_Dimension_DimValue{DimValue: int64(d)}
			} else if i < len(v.Dims) && v.Dims[i] != "" {
				dim.Value = &onnxpb.Shape_Dimension_DimParam{DimParam: v.Dims[i]}
			}
			t.Shape.Dim = append(t.Shape.Dim, dim)
		}
	}
	p.Type = &onnxpb.TypeInfo{Value: &onnxpb.TypeInfo_TensorType_{TensorType: t}}
	return p
}
