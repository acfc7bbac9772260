package op

import (
	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/tensor"
)

// quantizeByKernel does what runQuantize does for the types and scales of
// common networks, which it reports, by the vector kernels.
func quantizeByKernel(c *Call, g quantGrid) bool {
	if c.In[0].DType() != tensor.Float32 {
		return false
	}
	switch c.OutType[0].DType {
	case tensor.Int8:
		return quantizeTo[int8](c, g)
	case tensor.Uint8:
		return quantizeTo[uint8](c, g)
	case tensor.Int16:
		return quantizeTo[int16](c, g)
	case tensor.Uint16:
		return quantizeTo[uint16](c, g)
	}
	return false
}

func quantizeTo[Q asm.Quantized](c *Call, g quantGrid) bool {
	grid := channelGrid[Q](c, g, c.OutType[0].DType)
	if grid == nil {
		return false
	}
	grid.Quantize(tensor.Data[Q](c.out(0)), c.In[0].F32(), g.run())
	return true
}

// dequantizeByKernel does what runDequantize does for the types and scales of
// common networks, which it reports, by the vector kernels.
func dequantizeByKernel(c *Call, g quantGrid) bool {
	switch c.In[0].DType() {
	case tensor.Int8:
		return dequantizeFrom[int8](c, g)
	case tensor.Uint8:
		return dequantizeFrom[uint8](c, g)
	case tensor.Int16:
		return dequantizeFrom[int16](c, g)
	case tensor.Uint16:
		return dequantizeFrom[uint16](c, g)
	}
	return false
}

func dequantizeFrom[Q asm.Quantized](c *Call, g quantGrid) bool {
	grid := channelGrid[Q](c, g, c.In[0].DType())
	if grid == nil || c.OutType[0].DType != tensor.Float32 {
		return false
	}
	grid.Dequantize(c.out(0).F32(), tensor.Data[Q](c.In[0]), g.run())
	return true
}

// channelGrid returns the grids of a call, nil if the kernels do not have such.
func channelGrid[Q asm.Quantized](c *Call, g quantGrid, d tensor.DType) *asm.ChannelGrid[Q] {
	if c.In[1].DType() != tensor.Float32 || g.blocked || g.run() == 0 || g.block > 1 && g.rows > 1 {
		return nil
	}
	var zero []Q
	if t := c.in(2); t != nil {
		zero = tensor.Data[Q](t)
	}
	lo, hi := intRange(d)
	grid, err := asm.NewChannelGrid(c.In[1].F32(), zero, Q(lo), Q(hi))
	if err != nil { // a scale that is no positive number
		return nil
	}
	return grid
}

// run is how many elements in a row share a scale.
func (g quantGrid) run() int {
	if g.rows == 1 {
		return g.outer * g.n * g.inner
	}
	return g.inner
}
