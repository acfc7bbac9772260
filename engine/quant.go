package engine

import "github.com/narrow-ml/narrow/graph"

// quant says that a float value is (q - zero) * scale for a tensor q of bytes.
type quant struct {
	*forms
	scale float32
	zero  uint8 // as stored: an int8 has its top bit flipped
}

func (b *builder) dequantize(v *graph.Value, val *value)                       {}
func (b *builder) quantizedConv(n *graph.Node) bool                            { return false }
func (b *builder) quantizedProduct(n *graph.Node, p product) bool              { return false }
func (b *builder) quantizedPool(n *graph.Node, win window, countPad bool) bool { return false }
func (b *builder) quantizedUnary(n *graph.Node) bool                           { return false }
func (b *builder) quantizedBinary(n *graph.Node) bool                          { return false }
func (b *builder) quantizedConcat(n *graph.Node, o order, side, axis int) bool { return false }
func lowerMatMul(b *builder, n *graph.Node) bool                               { return false }
