package asm

import "slices"

// depthwiseKernelS8 is a tier's kernels for convolutions with one input channel
// for each output channel. Internally they keep a panel's channels in an order of their own.
type depthwiseKernelS8 struct {
	width int                          // channels of a panel, at most ReadSlack
	group int                          // taps whose weights of one channel lie side by side: 1, 2 or 4
	wide  bool                         // weights are packed as int16 rather than int8
	fours []int                        // the channels at places 0, 4, 8, ... of the panel, each followed by the next three
	sums  func(*depthwiseArgsS8)       // makes sums
	bytes [3]func(*depthwiseArgsS8)    // makes requantized bytes, by mode; may be nil
	rolls [2][3]func(*depthwiseArgsS8) // the same for 3x3 kernels of stride 1 and 2; may be nil
	whole bool                         // bytes is only for whole panels
}

// depthwiseArgsS8 describes pixels of one output row for one panel. Their sums are
//
//	bias(c) + sum over taps t of src[p*srcStep+taps[t]+c] * weight(c, t)
//
// with bias(c) at bias[lane(c)] and weight(c, t) at weights[(t/group*width+lane(c))*group+t%group].
// Sums go to acc[p*width+c]; bytes, for c < channels, to dst[p*dstStep+c]. The
// number of taps is a multiple of 4. Assembly loads the fields by their offset
// (see _gen/amd64/depthwise_s8.go and TestArgsLayoutS8).
type depthwiseArgsS8 struct {
	src          []uint8
	weights      []int8
	weights16    []int16
	bias         []int32
	acc          []int32
	taps         []int
	srcStep      int
	pixels       int
	dst          []uint8
	dstStep      int
	channels     int
	zero, lo, hi int32
	scale        [ReadSlack]float32 // by lane, like mul and shift
	mul, shift   [ReadSlack]int32
}

var depthwiseS8 = pick[*depthwiseKernelS8]("depthwiseS8", active)

// lane returns the place of channel c in the panel.
func (k *depthwiseKernelS8) lane(c int) int {
	return 4*slices.Index(k.fours, c&^3) + c%4
}

// tapOrder lists the kernel elements (rows first), of each pass the next KH*KW, in the order
// that depthwise kernels take them: -1 stands for none and fills up
// fours. Kernels of three rows go column by column.
func (s ConvSpec) tapOrder(passes int) []int {
	var order []int
	if s.KH == 3 && passes == 1 {
		for x := range s.KW {
			order = append(order, x, s.KW+x, 2*s.KW+x, -1)
		}
		return order
	}
	for t := range passes * s.KH * s.KW {
		order = append(order, t)
	}
	for len(order)%4 != 0 {
		order = append(order, -1)
	}
	return order
}

// setDepthwise fills in what does not change from row to row: all but src, dst, acc and pixels.
func (f *ConvS8) setDepthwise(s *s8Scratch, p *panelS8, r *Requant, srcStep, dstStep int) {
	d := &s.depth
	d.weights, d.weights16, d.bias, d.taps = p.weights, p.weights16, p.bias, s.taps
	d.srcStep, d.dstStep, d.channels = srcStep, dstStep, p.channels
	if r == nil {
		return
	}
	d.zero, d.lo, d.hi = r.zero, r.lo, r.hi
	for i, c := range f.depthwise.fours { // parameters are padded: there are enough
		from := p.first + c
		if r.mode == ByFloat {
			copy(d.scale[4*i:4*i+4], r.scale[from:])
		} else {
			copy(d.mul[4*i:4*i+4], r.mul[from:])
			copy(d.shift[4*i:4*i+4], r.shift[from:])
		}
	}
}

// depthwiseBytes returns the kernel that makes bytes of a panel, requantized by r, at once, or nil.
func (f *ConvS8) depthwiseBytes(p *panelS8, r *Requant) func(*depthwiseArgsS8) {
	k := f.depthwise
	if k == nil || k.whole && p.channels < p.width || r.mode == ByFloat && !r.shrinks {
		return nil
	}
	if stride := f.spec.StrideW; f.spec.KH == 3 && f.spec.KW == 3 && f.spec.DilationW == 1 && stride <= 2 && f.passes == 1 {
		if roll := k.rolls[stride-1][r.mode]; roll != nil {
			return roll
		}
	}
	return k.bytes[r.mode]
}

// runDepthwise computes rows [y0, y1) of panel p by a kernel that depthwiseBytes returned.
func (f *ConvS8) runDepthwise(s *s8Scratch, kernel func(*depthwiseArgsS8), dst, src Image[uint8], p *panelS8, req *Requant, y0, y1 int) {
	f.setDepthwise(s, p, req, f.spec.StrideW*src.PixStride, dst.PixStride)
	s.depth.pixels = dst.W
	for y := y0; y < y1; y++ {
		s.depth.src = src.Data[y*f.spec.StrideH*src.RowStride+p.input:]
		s.depth.dst = dst.Data[y*dst.RowStride+p.first:]
		kernel(&s.depth)
	}
}
