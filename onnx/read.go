package onnx

import (
	"bytes"
	"fmt"
	"path/filepath"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/internal/regular"
	"github.com/narrow-ml/narrow/onnx/internal/onnxpb"
	"github.com/narrow-ml/narrow/tensor"
)

// ReadFile reads a model and the data files it names. Weights may be views of
// the mapped file: they must not be changed in place.
func ReadFile(path string) (*graph.Graph, error) {
	f, err := regular.Open(path)
	if err != nil {
		return nil, fmt.Errorf("onnx: %w", err)
	}
	defer f.Close()
	b, err := contents(f)
	if err != nil {
		return nil, fmt.Errorf("onnx: %w", err)
	}
	g, err := read(b, filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("onnx: %s: %w", path, err)
	}
	return g, nil
}

// Read reads a model from memory, which the graph's weights then share. The
// model must not name data files.
func Read(b []byte) (*graph.Graph, error) {
	g, err := read(b, "")
	if err != nil {
		return nil, fmt.Errorf("onnx: %w", err)
	}
	return g, nil
}

// reader turns the messages of one file into a graph.
type reader struct {
	blobs blobs
	dir   string            // folder of the model, "" if it has none
	files map[string][]byte // data files by location
	opset map[string]int
}

func read(b []byte, dir string) (*graph.Graph, error) {
	if err := sniff(b); err != nil {
		return nil, err
	}
	m, all, err := unmarshalModel(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if m.Graph == nil || m.IrVersion <= 0 {
		return nil, fmt.Errorf("%w: it holds no graph", ErrFormat)
	}
	r := &reader{blobs: all, dir: dir, files: make(map[string][]byte), opset: make(map[string]int)}
	for _, o := range m.OpsetImport {
		if o.Version < 1 || o.Version > 1<<30 {
			return nil, fmt.Errorf("%w: version %d of operator set %q", ErrFormat, o.Version, o.Domain)
		}
		r.opset[domain(o.Domain)] = int(o.Version)
	}
	if len(r.opset) == 0 {
		r.opset[""] = 1 // files of the first IR versions do not say
	}
	if err := newInliner(m, r.opset).graph(m.Graph, 0); err != nil {
		return nil, err
	}
	g, err := r.graph(m.Graph, nil)
	if err != nil {
		return nil, err
	}
	if err := expandContrib(g); err != nil {
		return nil, err
	}
	if err := checkNodes(g, r.opset); err != nil {
		return nil, err
	}
	for location, data := range r.files {
		if g.External == nil {
			g.External = make(map[string]int64)
		}
		g.External[location] = int64(len(data))
	}
	for _, e := range m.MetadataProps {
		if g.Meta == nil {
			g.Meta = make(map[string]string)
		}
		g.Meta[e.Key] = e.Value
	}
	return g, nil
}

// checkNodes compares every node with what its operator set says of its operator.
func checkNodes(g *graph.Graph, opset map[string]int) error {
	for _, n := range g.Nodes {
		if err := op.CheckNode(n.Domain, n.Op, opset[n.Domain], n.Attrs); err != nil {
			return fmt.Errorf("%s: %w", n, err)
		}
		for _, sub := range n.Subgraphs() {
			if err := checkNodes(sub, opset); err != nil {
				return err
			}
		}
	}
	return nil
}

// domain gives the two names of the default domain as one.
func domain(name string) string {
	if name == "ai.onnx" {
		return ""
	}
	return name
}

// sniff recognises what people give instead of a model.
func sniff(b []byte) error {
	if len(b) == 0 {
		return fmt.Errorf("%w: the file is empty", ErrFormat)
	}
	for _, k := range []struct{ magic, what string }{
		{"\x89PNG", "a PNG picture"},
		{"\xff\xd8\xff", "a JPEG picture"},
		{"PK\x03\x04", "a zip archive, as PyTorch saves; export the network with torch.onnx.export"},
		{"\x93NUMPY", "a NumPy array"},
		{"\x89HDF", "an HDF5 file, as Keras saves; convert the network with tf2onnx"},
		{"version https://git-lfs", "a Git LFS pointer; fetch the file with git lfs pull"},
		{"<", "a text file"},
		{"{", "a text file"},
	} {
		if bytes.HasPrefix(b, []byte(k.magic)) {
			return fmt.Errorf("%w: it is %s", ErrFormat, k.what)
		}
	}
	if len(b) > 8 && string(b[4:8]) == "TFL3" {
		return fmt.Errorf("%w: it is a TensorFlow Lite model; convert it with tf2onnx", ErrFormat)
	}
	return nil
}

// scope finds values by name, in a graph and in those around it.
type scope struct {
	values map[string]*graph.Value
	outer  *scope
}

func (s *scope) find(name string) *graph.Value {
	for ; s != nil; s = s.outer {
		if v := s.values[name]; v != nil {
			return v
		}
	}
	return nil
}

// define gives a value its name, which must be new.
func (s *scope) define(v *graph.Value) error {
	if s.values[v.Name] != nil {
		return fmt.Errorf("%w: two values have the name %q", ErrFormat, v.Name)
	}
	s.values[v.Name] = v
	return nil
}

// graph decodes a graph whose nodes may read the values of outer.
func (r *reader) graph(p *onnxpb.Graph, outer *scope) (*graph.Graph, error) {
	g := &graph.Graph{Name: p.Name, Opset: r.opset}
	s := &scope{values: make(map[string]*graph.Value), outer: outer}
	if err := r.constants(p, s); err != nil {
		return nil, err
	}
	for _, in := range p.Input {
		if s.values[in.Name].IsConst() {
			continue // before IR version 4 every initializer is listed as an input
		}
		v := &graph.Value{Name: in.Name}
		if err := setType(v, in.Type); err != nil {
			return nil, fmt.Errorf("input %q: %w", in.Name, err)
		}
		if err := s.define(v); err != nil {
			return nil, err
		}
		g.Inputs = append(g.Inputs, v)
	}
	nodes, err := r.nodes(p.Node, s)
	if err != nil {
		return nil, err
	}
	g.Nodes = nodes
	for _, info := range p.ValueInfo {
		if v := s.values[info.Name]; v != nil && v.Node != nil {
			if err := setType(v, info.Type); err != nil {
				return nil, fmt.Errorf("value %q: %w", info.Name, err)
			}
		}
	}
	for _, out := range p.Output {
		v := s.find(out.Name)
		if v == nil {
			return nil, fmt.Errorf("%w: output %q is made by no node", ErrFormat, out.Name)
		}
		if v.Node != nil {
			if err := setType(v, out.Type); err != nil {
				return nil, fmt.Errorf("output %q: %w", out.Name, err)
			}
		}
		g.Outputs = append(g.Outputs, v)
	}
	if outer == nil && len(g.Outputs) == 0 {
		return nil, fmt.Errorf("%w: the graph has no output", ErrFormat)
	}
	if err := g.Sort(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return g, nil
}

// constants defines the initializers of a graph.
func (r *reader) constants(p *onnxpb.Graph, s *scope) error {
	for _, init := range p.Initializer {
		t, err := r.tensor(init)
		if err != nil {
			return err
		}
		if err := s.define(graph.NewConst(init.Name, t)); err != nil {
			return err
		}
	}
	for _, init := range p.SparseInitializer {
		t, err := r.sparse(init)
		if err != nil {
			return err
		}
		if err := s.define(graph.NewConst(init.Values.Name, t)); err != nil {
			return err
		}
	}
	return nil
}

// setType sets what the file says about a value. Sequences and optionals are
// left as not known.
func setType(v *graph.Value, p *onnxpb.TypeInfo) error {
	t := p.GetTensorType()
	if t == nil {
		return nil
	}
	if t.ElemType != 0 {
		dtype, ok := dtypes[onnxpb.Tensor_DataType(t.ElemType)]
		if !ok {
			return fmt.Errorf("element type %s is %w", dataTypeName(onnxpb.Tensor_DataType(t.ElemType)), ErrUnsupported)
		}
		v.Type.DType = dtype
	}
	if t.Shape == nil {
		return nil
	}
	v.Type.Known = true
	v.Type.Shape = make([]int, len(t.Shape.Dim))
	for i, d := range t.Shape.Dim {
		v.Type.Shape[i] = op.Unknown
		if n, ok := d.Value.(*onnxpb.Shape_Dimension_DimValue); ok && n.DimValue > 0 {
			if n.DimValue > 1<<40 {
				return fmt.Errorf("%w: dimension %d", ErrFormat, n.DimValue)
			}
			v.Type.Shape[i] = int(n.DimValue)
		} else if ok && n.DimValue == 0 {
			v.Type.Shape[i] = 0
		}
		if name := d.GetDimParam(); name != "" {
			if v.Dims == nil {
				v.Dims = make([]string, len(t.Shape.Dim))
			}
			v.Dims[i] = name
		}
	}
	return nil
}

// attr decodes an attribute; s is what a subgraph sees around it.
func (r *reader) attr(a *onnxpb.Attribute, s *scope) (any, error) {
	switch attrType(a) {
	case onnxpb.Attribute_FLOAT:
		return a.GetF(), nil
	case onnxpb.Attribute_INT:
		return a.GetI(), nil
	case onnxpb.Attribute_STRING:
		return string(a.S), nil
	case onnxpb.Attribute_FLOATS:
		return orEmpty(a.Floats), nil
	case onnxpb.Attribute_INTS:
		return orEmpty(a.Ints), nil
	case onnxpb.Attribute_STRINGS:
		return convert(a.Strings, func(b []byte) string { return string(b) }), nil
	case onnxpb.Attribute_TENSOR:
		if a.T == nil {
			return nil, fmt.Errorf("%w: it is empty", ErrFormat)
		}
		return r.tensor(a.T)
	case onnxpb.Attribute_SPARSE_TENSOR:
		return r.sparse(a.SparseTensor)
	case onnxpb.Attribute_GRAPH:
		if a.G == nil {
			return nil, fmt.Errorf("%w: it is empty", ErrFormat)
		}
		return r.graph(a.G, s)
	}
	return nil, fmt.Errorf("attribute type %s is %w", a.Type, ErrUnsupported)
}

// attrType returns the type of an attribute; the oldest files leave it out.
func attrType(a *onnxpb.Attribute) onnxpb.Attribute_Type {
	switch {
	case a.Type != onnxpb.Attribute_UNDEFINED:
		return a.Type
	case a.F != nil:
		return onnxpb.Attribute_FLOAT
	case a.I != nil:
		return onnxpb.Attribute_INT
	case a.S != nil:
		return onnxpb.Attribute_STRING
	case a.T != nil:
		return onnxpb.Attribute_TENSOR
	case a.G != nil:
		return onnxpb.Attribute_GRAPH
	case a.Floats != nil:
		return onnxpb.Attribute_FLOATS
	case a.Ints != nil:
		return onnxpb.Attribute_INTS
	case a.Strings != nil:
		return onnxpb.Attribute_STRINGS
	}
	return a.Type
}

// sparseLimit bounds how many zeros a sparse tensor may stand for, for each
// element that it stores: a small file must not claim much memory.
const sparseLimit = 1024

// sparse decodes a sparse tensor, as a dense one.
func (r *reader) sparse(p *onnxpb.SparseTensor) (*tensor.Tensor, error) {
	if p == nil || p.Values == nil || p.Indices == nil {
		return nil, fmt.Errorf("%w: sparse tensor without values or indices", ErrFormat)
	}
	values, err := r.tensor(p.Values)
	if err != nil {
		return nil, err
	}
	indices, err := r.tensor(p.Indices)
	if err != nil {
		return nil, err
	}
	shape, n, err := volume(p.Dims)
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", p.Values.Name, err)
	}
	count, rank := values.Len(), len(shape)
	flat := indices.Rank() == 1 && indices.Len() == count
	if indices.DType() != tensor.Int64 || values.DType() == tensor.String || values.Rank() != 1 ||
		!flat && (indices.Rank() != 2 || indices.Shape()[0] != count || indices.Shape()[1] != rank) {
		return nil, fmt.Errorf("%w: sparse tensor %q: %s %v indices for %d values", ErrFormat, p.Values.Name, indices.DType(), indices.Shape(), count)
	}
	if n > sparseLimit*(count+1) {
		return nil, fmt.Errorf("sparse tensor %q: %d values in shape %v: so few are %w", p.Values.Name, count, shape, ErrUnsupported)
	}
	out := tensor.New(values.DType(), shape...)
	from, to, size := values.Bytes(), out.Bytes(), values.DType().Size()
	for i := range count {
		at := 0
		if flat {
			at = int(indices.I64()[i])
		} else {
			for d, x := range indices.I64()[i*rank : (i+1)*rank] {
				if x < 0 || int(x) >= shape[d] {
					at = -1
					break
				}
				at = at*shape[d] + int(x)
			}
		}
		if at < 0 || at >= n {
			return nil, fmt.Errorf("%w: sparse tensor %q: index %d is out of range", ErrFormat, p.Values.Name, i)
		}
		copy(to[at*size:(at+1)*size], from[i*size:])
	}
	return out, nil
}
