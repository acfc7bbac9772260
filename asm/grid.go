package asm

import (
	"fmt"
	"math"
	"unsafe"
)

// Quantized is an integer type that real values are quantized to.
type Quantized interface {
	int8 | uint8 | int16 | uint16 | int32
}

// A Grid lays integers of type Q over real numbers, as ONNX's QuantizeLinear
// and DequantizeLinear do with one scale for a whole tensor:
//
//	q = clamp(roundHalfEven(x/scale) + zero, lowest, highest)
//	y = (q - zero)*scale
//
// x/scale and y are rounded to float32; nothing wraps around between. NaN
// becomes the zero point, infinities the ends. Make one with [NewGrid]. It is
// safe for concurrent use, its methods allocate nothing and give the same
// bits on every processor.
type Grid[Q Quantized] struct {
	params  gridParams
	kernels *gridKernels[Q]
}

// gridParams are the parameters of the kernels of a grid. Their generator
// knows the layout of the first six.
type gridParams struct {
	lo, hi    float32 // the ends of the grid as real numbers: (lowest-zero)*scale
	inv       float32 // 1/scale
	scale     float32
	zero      int32
	invLow    float32 // 1/scale - inv
	low, high int32   // the lowest and the highest integer
	exact     bool    // inv and the rest of the assembly's arithmetic are exact enough
}

// The assembly's arithmetic neither overflows nor underflows for scales between
// these, whatever x is.
const minFastScale, maxFastScale = 0x1p-60, 0x1p60

// NewGrid returns the grid of a scale and zero point, with the integers from
// low to high. It fails unless the scale is positive and finite, and
// low <= zero <= high.
func NewGrid[Q Quantized](scale float32, zero, low, high Q) (Grid[Q], error) {
	p, err := newGridParams(scale, int32(zero), int32(low), int32(high))
	if err != nil {
		return Grid[Q]{}, err
	}
	return Grid[Q]{p, kernelsOf(p.exact, low, high)}, nil
}

func newGridParams(scale float32, zero, low, high int32) (gridParams, error) {
	switch {
	case !(scale > 0) || scale > math.MaxFloat32:
		return gridParams{}, fmt.Errorf("asm: scale %v: want a positive number", scale)
	case zero < low || zero > high:
		return gridParams{}, fmt.Errorf("asm: zero point %d is not among the integers %d to %d", zero, low, high)
	}
	end := func(q int32) float32 { return float32(int64(q)-int64(zero)) * scale }
	inv := 1 / float64(scale)
	return gridParams{
		lo: end(low), hi: end(high), inv: float32(inv), scale: scale, zero: zero,
		invLow: float32(inv - float64(float32(inv))), low: low, high: high,
		exact: scale >= minFastScale && scale <= maxFastScale,
	}, nil
}

// Scale returns the distance of neighbours on the grid.
func (g *Grid[Q]) Scale() float32 { return g.params.scale }

// Zero returns the integer that stands for 0.
func (g *Grid[Q]) Zero() Q { return Q(g.params.zero) }

// Quantize sets dst[i] to the integer for x[i]. It panics if their lengths
// differ.
func (g *Grid[Q]) Quantize(dst []Q, x []float32) {
	whole := sweepLength(dst, x)
	g.kernels.quantize(dst[:whole], x[:whole], &g.params)
	quantizeGeneric(dst[whole:], x[whole:], &g.params)
}

// Dequantize sets dst[i] to the value of q[i]. It panics if their lengths
// differ. If Q is int32, q - zero wraps around.
func (g *Grid[Q]) Dequantize(dst []float32, q []Q) {
	whole := sweepLength(dst, q)
	g.kernels.dequantize(dst[:whole], q[:whole], &g.params)
	dequantizeGeneric(dst[whole:], q[whole:], &g.params)
}

// QuantizeDequantize sets dst[i] to the value of the integer for x[i]. It panics
// if their lengths differ. dst may be x; they must not overlap otherwise.
func (g *Grid[Q]) QuantizeDequantize(dst, x []float32) {
	whole := sweepLength(dst, x)
	g.kernels.both(dst[:whole], x[:whole], &g.params)
	quantizeDequantizeGeneric(dst[whole:], x[whole:], &g.params)
}

// sweepLength checks and annotates the slices of a sweep, and returns the
// length that the kernels do, a multiple of 16.
func sweepLength[D, S any](dst []D, src []S) int {
	if len(dst) != len(src) {
		panic(fmt.Sprintf("asm: destination has %d elements, source %d", len(dst), len(src)))
	}
	readRange(src)
	writeRange(dst)
	return len(src) &^ 15
}

// gridKernels are the kernels of a grid of Q, for lengths that are multiples of 16.
type gridKernels[Q Quantized] struct {
	quantize           func(dst []Q, x []float32, p *gridParams)
	dequantize         func(dst []float32, q []Q, p *gridParams)
	both               func(dst, x []float32, p *gridParams)
	quantizeChannels   func(dst []Q, x []float32, p *channelParams, first int)
	dequantizeChannels func(dst []float32, q []Q, p *channelParams, first int)
	bothChannels       func(dst, x []float32, p *channelParams, first int)
}

// pickGridKernels returns those of Q, called name. width is "Wide" if Q has 16
// bits.
func pickGridKernels[Q Quantized](name, width string, have Features) gridKernels[Q] {
	return gridKernels[Q]{
		pick[func([]Q, []float32, *gridParams)]("quantizeF32"+name, have),
		pick[func([]float32, []Q, *gridParams)]("dequantize"+name+"F32", have),
		pick[func([]float32, []float32, *gridParams)]("quantizeDequantize"+width+"F32", have),
		pick[func([]Q, []float32, *channelParams, int)]("quantizeChannelsF32"+name, have),
		pick[func([]float32, []Q, *channelParams, int)]("dequantizeChannels"+name+"F32", have),
		pick[func([]float32, []float32, *channelParams, int)]("quantizeDequantize"+width+"ChannelsF32", have),
	}
}

// allGridKernels holds the kernels of every Q: the references, and those
// of the active features.
type allGridKernels struct {
	s8      gridKernels[int8]
	u8      gridKernels[uint8]
	s16     gridKernels[int16]
	u16     gridKernels[uint16]
	s32     gridKernels[int32]
	s16in32 gridKernels[int32] // of int32 with no more integers than int16 has
}

var genericGrids, activeGrids = pickAllGridKernels(Generic), pickAllGridKernels(active)

func pickAllGridKernels(have Features) *allGridKernels {
	k := &allGridKernels{
		pickGridKernels[int8]("S8", "", have),
		pickGridKernels[uint8]("U8", "", have),
		pickGridKernels[int16]("S16", "Wide", have),
		pickGridKernels[uint16]("U16", "Wide", have),
		pickGridKernels[int32]("S32", "Wide", have),
		pickGridKernels[int32]("S32", "Wide", have),
	}
	// The ends of a grid of 32 bits are no float32: of its two sweeps only
	// dequantizing is the assembly's.
	k.s32.both, k.s32.bothChannels = quantizeDequantizeGeneric, quantizeDequantizeChannelsGeneric
	return k
}

// kernelsOf returns the kernels for the integers from low to high: the references
// unless exact, which says that the assembly's arithmetic is.
func kernelsOf[Q Quantized](exact bool, low, high Q) *gridKernels[Q] {
	all := genericGrids
	if exact {
		all = activeGrids
	}
	var k any
	switch any(Q(0)).(type) {
	case int8:
		k = &all.s8
	case uint8:
		k = &all.u8
	case int16:
		k = &all.s16
	case uint16:
		k = &all.u16
	case int32:
		if k = &all.s32; int64(high)-int64(low) <= math.MaxUint16 {
			k = &all.s16in32
		}
	}
	return k.(*gridKernels[Q])
}

// A ChannelGrid is a [Grid] for each channel of a tensor.
type ChannelGrid[Q Quantized] struct {
	params  channelParams
	kernels *gridKernels[Q]
	rows    []Grid[Q] // of the channels
}

// channelParams are the parameters of the kernels for channels-last data. The
// pointers are to arrays of one element per channel and the first of them
// again, up to channelPad more. The generator knows the layout of all but grids.
type channelParams struct {
	lo, hi, inv, scale *float32
	zero               *int32
	channels           int
	step               int // 16 modulo channels
	invLow             *float32
	grids              []gridParams
}

const channelPad = 16

// NewChannelGrid returns the grids of one scale and zero point per channel,
// all with the integers from low to high. No zero points at all (nil) are
// zeros. It fails where [NewGrid] does, and if the numbers of channels differ
// or are 0.
func NewChannelGrid[Q Quantized](scale []float32, zero []Q, low, high Q) (*ChannelGrid[Q], error) {
	n := len(scale)
	if n == 0 || zero != nil && len(zero) != n {
		return nil, fmt.Errorf("asm: %d scales and %d zero points", n, len(zero))
	}
	grids, exact := make([]gridParams, n), true
	for c := range grids {
		var z int32
		if zero != nil {
			z = int32(zero[c])
		}
		p, err := newGridParams(scale[c], z, int32(low), int32(high))
		if err != nil {
			return nil, fmt.Errorf("channel %d: %w", c, err)
		}
		grids[c] = p
		exact = exact && p.exact
	}
	repeat := func(get func(p *gridParams) float32) *float32 {
		a := make([]float32, n+channelPad)
		for i := range a {
			a[i] = get(&grids[i%n])
		}
		return &a[0]
	}
	kernels, rows := kernelsOf(exact, low, high), make([]Grid[Q], n)
	for c := range rows {
		rows[c] = Grid[Q]{grids[c], kernels}
	}
	zeros := repeat(func(p *gridParams) float32 { return math.Float32frombits(uint32(p.zero)) })
	return &ChannelGrid[Q]{
		params: channelParams{
			lo:    repeat(func(p *gridParams) float32 { return p.lo }),
			hi:    repeat(func(p *gridParams) float32 { return p.hi }),
			inv:   repeat(func(p *gridParams) float32 { return p.inv }),
			scale: repeat(func(p *gridParams) float32 { return p.scale }),
			zero:  (*int32)(unsafe.Pointer(zeros)), channels: n, step: 16 % n, grids: grids,
			invLow: repeat(func(p *gridParams) float32 { return p.invLow }),
		},
		kernels: kernels, rows: rows,
	}, nil
}

// Quantize sets dst[i] to the integer for x[i] on the grid of channel
// i/inner modulo the number of channels, which is ONNX's order for an axis with
// inner elements per channel: 1 for channels-last, the size of a plane for
// planes, the size of a row for the rows of a matrix. It panics if the lengths
// differ, inner < 1, or a channel is cut short.
func (g *ChannelGrid[Q]) Quantize(dst []Q, x []float32, inner int) {
	g.sweep(len(dst), len(x), inner, func(from, to, c int) {
		g.rows[c].Quantize(dst[from:to], x[from:to])
	}, func() {
		whole := sweepLength(dst, x)
		g.kernels.quantizeChannels(dst[:whole], x[:whole], &g.params, 0)
		quantizeChannelsGeneric(dst[whole:], x[whole:], &g.params, whole%g.params.channels)
	})
}

// Dequantize sets dst[i] to the value of q[i], in the order of
// [ChannelGrid.Quantize].
func (g *ChannelGrid[Q]) Dequantize(dst []float32, q []Q, inner int) {
	g.sweep(len(dst), len(q), inner, func(from, to, c int) {
		g.rows[c].Dequantize(dst[from:to], q[from:to])
	}, func() {
		whole := sweepLength(dst, q)
		g.kernels.dequantizeChannels(dst[:whole], q[:whole], &g.params, 0)
		dequantizeChannelsGeneric(dst[whole:], q[whole:], &g.params, whole%g.params.channels)
	})
}

// QuantizeDequantize sets dst[i] to the value of the integer for x[i], in the
// order of [ChannelGrid.Quantize]. dst may be x; they must not overlap
// otherwise.
func (g *ChannelGrid[Q]) QuantizeDequantize(dst, x []float32, inner int) {
	g.sweep(len(dst), len(x), inner, func(from, to, c int) {
		g.rows[c].QuantizeDequantize(dst[from:to], x[from:to])
	}, func() {
		whole := sweepLength(dst, x)
		g.kernels.bothChannels(dst[:whole], x[:whole], &g.params, 0)
		quantizeDequantizeChannelsGeneric(dst[whole:], x[whole:], &g.params, whole%g.params.channels)
	})
}

// sweep calls row for every run of elements of one channel, or channelsLast if
// the runs are of one element.
func (g *ChannelGrid[Q]) sweep(dst, src, inner int, row func(from, to, c int), channelsLast func()) {
	n := g.params.channels
	switch {
	case inner < 1 || src%inner != 0:
		panic(fmt.Sprintf("asm: %d elements are no runs of %d", src, inner))
	case dst != src:
		panic(fmt.Sprintf("asm: destination has %d elements, source %d", dst, src))
	case inner == 1:
		channelsLast()
		return
	}
	for from, c := 0, 0; from < src; from += inner {
		row(from, from+inner, c)
		if c++; c == n {
			c = 0
		}
	}
}
