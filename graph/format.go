package graph

import (
	"cmp"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/internal/mapped"
	"github.com/narrow-ml/narrow/tensor"
)

// Format returns g as text, one line for each value and node, for golden files
// and messages. Small constants are written out, large ones as a checksum, so
// graphs with the same text are the same.
func Format(g *Graph) string {
	f := &formatter{named: make(map[*Value]bool)}
	for _, d := range slices.Sorted(maps.Keys(g.Opset)) {
		f.line("opset %s %d", cmp.Or(d, "ai.onnx"), g.Opset[d])
	}
	for _, k := range slices.Sorted(maps.Keys(g.Meta)) {
		f.line("meta %s %q", k, g.Meta[k])
	}
	f.graph(g)
	return f.b.String()
}

type formatter struct {
	b      strings.Builder
	indent string
	named  map[*Value]bool // constants written already
}

func (f *formatter) line(format string, args ...any) {
	f.b.WriteString(f.indent)
	fmt.Fprintf(&f.b, format, args...)
	f.b.WriteByte('\n')
}

func (f *formatter) graph(g *Graph) {
	for _, v := range g.Inputs {
		f.line("input %s %s", v.Name, formatType(v))
	}
	for _, n := range g.Nodes {
		f.constants(n.Inputs)
		f.node(n)
	}
	f.constants(g.Outputs)
	for _, v := range g.Outputs {
		f.line("output %s %s", v.Name, formatType(v))
	}
}

func (f *formatter) constants(vs []*Value) {
	for _, v := range vs {
		if v.IsConst() && !f.named[v] {
			f.named[v] = true
			f.line("const %s %s %s", v.Name, formatType(v), formatTensor(v.Const))
		}
	}
}

func (f *formatter) node(n *Node) {
	name := n.Op
	if n.Domain != "" {
		name = n.Domain + "." + name
	}
	attrs := make([]string, 0, len(n.Attrs))
	var subs []string
	for _, k := range slices.Sorted(maps.Keys(n.Attrs)) {
		if _, ok := n.Attrs[k].(*Graph); ok {
			subs = append(subs, k)
			continue
		}
		attrs = append(attrs, k+"="+formatAttr(n.Attrs[k]))
	}
	line := fmt.Sprintf("%s = %s(%s)", formatNames(n.Outputs), name, formatNames(n.Inputs))
	if len(attrs) > 0 {
		line += " {" + strings.Join(attrs, ", ") + "}"
	}
	if n.Name != "" && (len(n.Outputs) == 0 || n.Outputs[0] == nil || n.Name != n.Outputs[0].Name) {
		line += " # " + n.Name
	}
	f.line("%s", line)
	for _, k := range subs {
		f.line("  %s:", k)
		f.indent += "    "
		f.graph(n.Attrs[k].(*Graph))
		f.indent = f.indent[4:]
	}
}

func formatNames(vs []*Value) string {
	names := make([]string, len(vs))
	for i, v := range vs {
		names[i] = "_"
		if v != nil {
			names[i] = v.Name
		}
	}
	return strings.Join(names, ", ")
}

// formatType writes float32[N,3,32,32]; a dimension that is not known and has
// no name is ?, a shape that is not known is absent.
func formatType(v *Value) string {
	if !v.Type.Known {
		return v.Type.DType.String()
	}
	dims := make([]string, len(v.Type.Shape))
	for i, d := range v.Type.Shape {
		switch {
		case d != op.Unknown:
			dims[i] = strconv.Itoa(d)
		case i < len(v.Dims) && v.Dims[i] != "":
			dims[i] = v.Dims[i]
		default:
			dims[i] = "?"
		}
	}
	return fmt.Sprintf("%s[%s]", v.Type.DType, strings.Join(dims, ","))
}

func formatAttr(a any) string {
	switch v := a.(type) {
	case string:
		return strconv.Quote(v)
	case []string:
		return fmt.Sprintf("%q", v)
	case *tensor.Tensor:
		return fmt.Sprintf("%s%v %s", v.DType(), v.Shape(), formatTensor(v))
	}
	return fmt.Sprint(a)
}

// writtenOut is how many elements a constant may have to be written out.
const writtenOut = 16

func formatTensor(t *tensor.Tensor) string {
	switch {
	case t.DType() == tensor.String:
		return fmt.Sprintf("%q", tensor.Data[string](t))
	case t.Len() > writtenOut:
		sum := crc32.ChecksumIEEE(t.Bytes())
		mapped.Release(t.Bytes())
		return fmt.Sprintf("crc32:%08x", sum)
	case t.DType() == tensor.Int64: // float64 would lose digits
		return fmt.Sprint(t.I64())
	case t.DType() == tensor.Uint64:
		return fmt.Sprint(tensor.Data[uint64](t))
	case t.DType() == tensor.Float32:
		return fmt.Sprint(t.F32())
	}
	return fmt.Sprint(t.Float64s())
}
