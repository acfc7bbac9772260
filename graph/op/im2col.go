package op

import (
	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/tensor"
)

// Float32 convolutions are matrix products: the inputs that each output sees
// are laid out as a column (im2col) beside those of the other outputs.

// maxColumns bounds the elements laid out at once; outputs are computed in
// strips that fit.
var maxColumns = 1 << 20 // lowered by tests

// maxStrip is the largest strip that cannot be made smaller; above it a
// convolution is computed without columns.
const maxStrip = 1 << 26

// im2col lays out, for positions [first, first+count) along the outermost
// spatial dimension of the output, what every tap of every channel of src sees:
// row channel*taps+tap of col. Taps in the padding see 0.
func im2col(col, src []float32, channels int, win *window, in, out []int, first, count int) {
	clear(col)
	inSize, rest := product(in), product(out[1:])
	width := count * rest
	for ch := range channels {
		plane := src[ch*inSize:][:inSize]
		win.eachTap(len(in), func(tap int, index []int) {
			row := col[(ch*product(win.kernel)+tap)*width:][:width]
			win.region(index, in, out).strip(first, count).each(func(to, from, n, toStep, fromStep int) {
				to -= first * rest
				if toStep == 1 && fromStep == 1 {
					copy(row[to:to+n], plane[from:from+n])
					return
				}
				for i := range n {
					row[to+i*toStep] = plane[from+i*fromStep]
				}
			})
		})
	}
}

// strip returns the part of a region whose positions lie in
// [first, first+count) along the outermost dimension.
func (r region) strip(first, count int) region {
	start := 0
	if r.posStride[0] > 0 {
		start = r.position / r.posStride[0]
	}
	lo, hi := max(first, start), min(first+count, start+r.size[0])
	r.size = append([]int{max(0, hi-lo)}, r.size[1:]...)
	r.position += (lo - start) * r.posStride[0]
	r.element += (lo - start) * r.elStride[0]
	return r
}

// convF32 is conv for float32: strips of columns, multiplied by the weights.
func convF32(dst, x, w, bias []float32, group int, win *window, xShape, shape []int) {
	in, out := xShape[2:], shape[2:]
	inSize, outSize, rest := product(in), product(out), product(out[1:])
	channels, m := xShape[1]/group, shape[1]/group
	depth := channels * product(win.kernel)
	if depth == 0 || outSize == 0 {
		addBias(dst, bias, shape[1], outSize)
		return
	}
	rows := min(max(1, maxColumns/(depth*rest)), out[0])
	col := make([]float32, depth*rows*rest)
	for n := range shape[0] {
		for g := range group {
			src := x[(n*xShape[1]+g*channels)*inSize:][:channels*inSize]
			y := dst[(n*shape[1]+g*m)*outSize:][:m*outSize]
			for first := 0; first < out[0]; first += rows {
				count := min(rows, out[0]-first)
				part := col[:depth*count*rest]
				im2col(part, src, channels, win, in, out, first, count)
				asm.SgemmF32(false, false, m, count*rest, depth, 1, w[g*m*depth:][:m*depth], depth, part, count*rest, 0, y[first*rest:], outSize)
			}
		}
	}
	addBias(dst, bias, shape[1], outSize)
}

// addBias adds to every plane the number of its channel.
func addBias[T float32 | float64 | int32](dst, bias []T, channels, size int) {
	if bias == nil {
		return
	}
	for i := range dst {
		dst[i] += bias[i/size%channels]
	}
}

// convTransposeF32 multiplies by the transposed weights and adds the columns
// up where their windows lie.
func convTransposeF32(c *Call, win *window, shape []int) {
	x, w, dst := c.In[0].F32(), c.In[1].F32(), c.out(0).F32()
	xShape := c.Types[0].Shape
	in, out := xShape[2:], shape[2:]
	group := c.Attrs.Int("group", 1)
	channels, m, taps := xShape[1]/group, shape[1]/group, product(win.kernel)
	inSize, outSize := product(in), product(out)
	if len(x) == 0 || len(w) == 0 {
		return
	}
	block := min(max(1, maxColumns/(taps*inSize)), m) // output channels at once
	col := make([]float32, block*taps*inSize)
	for n := range shape[0] {
		for g := range group {
			src := x[(n*xShape[1]+g*channels)*inSize:][:channels*inSize]
			for first := 0; first < m; first += block {
				count := min(block, m-first)
				asm.SgemmF32(true, false, count*taps, inSize, channels, 1, w[(g*channels*m+first)*taps:], m*taps, src, inSize, 0, col, inSize)
				for k := range count {
					scatter(dst[(n*shape[1]+g*m+first+k)*outSize:][:outSize], col[k*taps*inSize:], win, in, out)
				}
			}
		}
	}
}

// scatter adds up columns, a row for each tap, where the taps lie in y.
func scatter(y, col []float32, win *window, in, out []int) {
	inSize := product(in)
	win.eachTap(len(in), func(tap int, index []int) {
		row := col[tap*inSize:][:inSize]
		win.region(index, out, in).each(func(small, large, n, smallStep, largeStep int) {
			for i := range n {
				y[large+i*largeStep] += row[small+i*smallStep]
			}
		})
	})
}

// biasOf returns the elements of an optional input.
func biasOf[T tensor.Elem](t *tensor.Tensor) []T {
	if t == nil {
		return nil
	}
	return tensor.Data[T](t)
}
