package ptq

import (
	"slices"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// contribDomain is that of ONNX Runtime's own operators.
const contribDomain = "com.microsoft"

// packedWeights are codes as MatMulNBits and GatherBlockQuantized want them: output by output, in blocks along the sum.
type packedWeights struct {
	outputs, sum  int
	block, blocks int // weights in a block, blocks of an output
	bits          int
	data          *graph.Value // [outputs, blocks, bytes]: the first code in the low bits
	scales        *graph.Value // [outputs, blocks]
	zeros         *graph.Value // [outputs, bytes], likewise packed; nil for the middle code
}

// writeNBits writes the nodes that read the weights as operators on packed integers, and reports whether all
// of them could be: products with a matrix, and embeddings.
func (q *weightQuantizer) writeNBits(w *weightTensor, c *weightCodes) bool {
	if len(c.shape) != 2 || w.value.Const.DType() != tensor.Float32 || slices.ContainsFunc(w.readers, func(n *graph.Node) bool { return !takesNBits(n) }) {
		return false
	}
	p := q.pack(w, c)
	gathers := slices.ContainsFunc(w.readers, isGather)
	if gathers && p.sum != p.block*p.blocks {
		return false // the padding would be gathered too
	}
	for _, n := range w.readers {
		if isGather(n) {
			q.toGatherBlock(n, p)
		} else {
			q.toMatMulNBits(n, p)
		}
	}
	q.lowering.g.Opset[contribDomain] = 1
	return true
}

func isGather(n *graph.Node) bool { return n.Op == "Gather" }

// takesNBits reports whether a node that reads a matrix of weights can be computed on packed ones.
func takesNBits(n *graph.Node) bool {
	switch n.Op {
	case "Gather":
		return true
	case "MatMul":
		return !constantOrTransposed(n.In(0))
	case "Gemm":
		return n.Attrs.Int("transA", 0) == 0 && n.Attrs.Float("alpha", 1) == 1 && n.Attrs.Float("beta", 1) == 1
	}
	return false
}

func constantOrTransposed(v *graph.Value) bool {
	root, _ := constantBehind(v)
	return root != nil
}

// pack brings the codes into the order of the packed operators. A block holds all weights of an output where
// there was no block size.
func (q *weightQuantizer) pack(w *weightTensor, c *weightCodes) *packedWeights {
	p := &packedWeights{outputs: c.shape[w.output], sum: c.shape[w.sum], block: c.groups.block, bits: q.Bits}
	if p.block == 0 { // the largest power of two in the sum, so that nothing is padded
		p.block = max(16, p.sum&-p.sum)
	}
	p.blocks = (p.sum + p.block - 1) / p.block
	stride := []int{c.shape[1], 1}
	step := []int{stride[w.output], stride[w.sum]} // from an output to the next, from a weight of it to the next
	blob := p.block * p.bits / 8
	data := make([]uint8, p.outputs*p.blocks*blob)
	for o := range p.outputs {
		codes := bitString{data[o*p.blocks*blob:], p.bits}
		for k := range p.sum {
			codes.put(k, c.codes[o*step[0]+k*step[1]])
		}
	}
	scales := make([]float32, p.outputs*p.blocks)
	row := (p.blocks*p.bits + 7) / 8
	zeros := make([]uint8, p.outputs*row)
	for o := range p.outputs {
		codes := bitString{zeros[o*row:], p.bits}
		for b := range p.blocks {
			s := c.groups.of(o*step[0] + b*p.block*step[1])
			scales[o*p.blocks+b] = c.scales[s]
			codes.put(b, c.zeros[s])
		}
	}
	l, name := q.lowering, w.value.Name
	p.data = graph.NewConst(l.name(name+"_packed"), tensor.From(data, p.outputs, p.blocks, blob))
	p.scales = graph.NewConst(l.name(name+"_scales"), tensor.From(scales, p.outputs, p.blocks))
	if !q.Symmetric {
		p.zeros = graph.NewConst(l.name(name+"_zero_points"), tensor.From(zeros, p.outputs, row))
	}
	return p
}

// bitString is bytes seen as codes of a few bits, the first in the low bits.
type bitString struct {
	bytes []uint8
	bits  int
}

func (s bitString) put(i int, code uint8) {
	at := i * s.bits
	s.bytes[at/8] |= code << (at % 8)
}

// of returns the group of the weight at a place.
func (g weightGroups) of(at int) int {
	i := at / g.inner % g.n
	if g.block == 0 {
		return i
	}
	return (at/g.inner/g.n*g.rows()+i/g.block)*g.inner + at%g.inner
}

// toMatMulNBits makes MatMulNBits of a MatMul or Gemm.
func (q *weightQuantizer) toMatMulNBits(n *graph.Node, p *packedWeights) {
	bias := n.In(2)
	attrs := op.Attrs{"K": int64(p.sum), "N": int64(p.outputs), "bits": int64(p.bits), "block_size": int64(p.block)}
	if q.Accuracy > 0 {
		attrs["accuracy_level"] = int64(q.Accuracy)
	}
	n.Op, n.Domain, n.Attrs = "MatMulNBits", contribDomain, attrs
	n.Inputs = []*graph.Value{n.Inputs[0], p.data, p.scales}
	if p.zeros != nil {
		n.Inputs = append(n.Inputs, p.zeros)
	}
	if bias == nil {
		return
	}
	l, out := q.lowering, n.Outputs[0]
	product := &graph.Value{Name: l.name(out.Name + "_product"), Type: out.Type, Dims: out.Dims, Node: n}
	n.Outputs[0] = product
	sum := &graph.Node{Name: l.name(n.Name + "_bias"), Op: "Add", Inputs: []*graph.Value{product, bias}, Outputs: []*graph.Value{out}}
	out.Node = sum
	l.g.Nodes = append(l.g.Nodes, sum)
}

// toGatherBlock makes GatherBlockQuantized of a Gather of rows.
func (q *weightQuantizer) toGatherBlock(n *graph.Node, p *packedWeights) {
	l := q.lowering
	shape := graph.NewConst(l.name(n.Name+"_shape"), tensor.From([]int64{int64(p.outputs), int64(p.sum * p.bits / 8)}, 2))
	rows := l.add(n.Name+"_rows", "Reshape", nil, p.data, shape)
	indices := n.Inputs[1]
	n.Op, n.Domain = "GatherBlockQuantized", contribDomain
	n.Attrs = op.Attrs{"gather_axis": int64(0), "quantize_axis": int64(1), "block_size": int64(p.block), "bits": int64(p.bits)}
	n.Inputs = []*graph.Value{rows, indices, p.scales}
	if p.zeros != nil {
		n.Inputs = append(n.Inputs, p.zeros)
	}
}
