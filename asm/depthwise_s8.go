package asm

// depthwiseKernelS8 is a tier's kernel for convolutions with one input channel
// for each output channel.
type depthwiseKernelS8 struct {
	width    int                  // channels of a panel, at most ReadSlack
	wide     bool                 // weights are packed as int16 rather than int8
	position func(c, tap int) int // where a weight of the panel is packed
	run      func(a *depthwiseArgsS8)
}

// depthwiseArgsS8 describes pixels of one output row for one panel. Their sums are
//
//	acc[p*width+c] = bias[c] + sum over taps t of src[p*srcStep+taps[t]+c] * weight(c, t)
//
// The number of taps is a multiple of 4. The assembly knows this layout.
type depthwiseArgsS8 struct {
	src       []uint8
	weights   []int8
	weights16 []int16
	bias      []int32
	acc       []int32
	taps      []int
	srcStep   int
	pixels    int
}

var depthwiseS8 = pick[*depthwiseKernelS8]("depthwiseS8", active)
