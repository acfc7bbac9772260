package program

import (
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// blockCodesOf recognizes the constants of a MatMulNBits, N outputs of K weights, with a zero point that is an integer and
// blocks in the order of the weights.
func (b *builder) blockCodesOf(n *graph.Node) (w BlockCodes, bias []float32, ok bool) {
	w = BlockCodes{K: n.Attrs.Int("K", 0), N: n.Attrs.Int("N", 0), Bits: n.Attrs.Int("bits", 4), Block: n.Attrs.Int("block_size", 0)}
	codes, zeros := b.constant(n.In(1)), b.constant(n.In(3))
	if w.Scales = b.floats(n.In(2)); codes == nil || w.Scales == nil || n.In(4) != nil || n.In(3) != nil && (zeros == nil || zeros.DType() != tensor.Uint8) {
		return w, nil, false
	}
	if w.Codes = tensor.Data[uint8](codes); zeros != nil {
		w.Zeros = tensor.Data[uint8](zeros)
	}
	if n.In(5) != nil {
		bias = b.floats(n.In(5))
	}
	return w, bias, n.In(5) == nil || bias != nil
}

// lowerNBits computes MatMulNBits: on integers if its accuracy level lets rows be brought to 8 bits, else by its weights in float.
func lowerNBits(b *builder, n *graph.Node) bool {
	x, out := n.In(0), n.Outputs[0]
	if !b.fits(x) || b.typeOf(x).DType != tensor.Float32 || b.rank(x) < 2 {
		return false
	}
	w, bias, ok := b.blockCodesOf(n)
	if !ok {
		return false
	}
	rank := b.rank(out)
	t := b.follow(out, w.N, rank-1, bias == nil, false)
	if bias != nil {
		t.bias = bias
	}
	const bytesOfRows = 4 // the accuracy level that stands for 8-bit activations
	if n.Attrs.Int("accuracy_level", 0) != bytesOfRows {
		a := &MatMulFloat{K: w.K, N: w.N, Bias: t.bias, Lo: t.lo, Hi: t.hi}
		a.Weights = Weights{F32: w.floats()}.product(w.K, w.N, true)
		a.In = b.rows(b.float(x, Plain))
		b.claim(t)
		a.Out = b.pin(b.floatResult(t.out, Plain))
		b.step("MatMul", Float, a).of(n).of(t.nodes...).labelled().Ops = 2 * a.Out.W * w.K * w.N
		return true
	}
	a := &MatMulBlocks{Weights: w, Bias: t.bias, Lo: t.lo, Hi: t.hi}
	a.In = b.rows(b.float(x, Plain))
	b.claim(t)
	a.Out = b.pin(b.floatResult(t.out, Plain))
	b.step("MatMul", Integer, a).of(n).of(t.nodes...).labelled().Ops = 2 * a.Out.W * w.K * w.N
	return true
}

// blocks returns how many blocks an output has.
func (w *BlockCodes) blocks() int { return (w.K + w.Block - 1) / w.Block }

// Row writes the codes of output o, a byte each.
func (w *BlockCodes) Row(o int, row []uint8) {
	at := w.Codes[o*w.blocks()*w.Block*w.Bits/8:]
	for k := range row {
		row[k] = bitsAt(at, k, w.Bits)
	}
}

// Scale returns the scale of block i of output o.
func (w *BlockCodes) Scale(o, i int) float32 { return w.Scales[o*w.blocks()+i] }

// Zero returns the zero point of block i of output o.
func (w *BlockCodes) Zero(o, i int) uint8 {
	if w.Zeros == nil {
		return 1 << (w.Bits - 1)
	}
	return bitsAt(w.Zeros[o*((w.blocks()*w.Bits+7)/8):], i, w.Bits)
}

// bitsAt returns number i of a few bits, the first in the low bits of the first byte.
func bitsAt(x []uint8, i, bits int) uint8 {
	at := i * bits
	return x[at/8] >> (at % 8) & uint8(1<<bits-1)
}

// floats returns the weights, N by K.
func (w *BlockCodes) floats() []float32 {
	out := make([]float32, w.N*w.K)
	row := make([]uint8, w.K)
	for o := range w.N {
		w.Row(o, row)
		for k, code := range row {
			i := k / w.Block
			out[o*w.K+k] = w.Scale(o, i) * (float32(code) - float32(w.Zero(o, i)))
		}
	}
	return out
}
