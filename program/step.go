package program

import (
	"maps"
	"slices"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// Kind says what arithmetic a step does.
type Kind string

const (
	Integer Kind = "integer" // on 8-bit integers with int32 sums
	Float   Kind = "float"   // in float32
	Move    Kind = "move"    // copies, reorders or converts elements
)

// Step is one thing that a run does: mostly a node of the graph with what was
// fused into it.
type Step struct {
	Name  string        // of its first node, or what it makes; unique in the program
	Label string        // "Conv+Relu": the operators, or what a move does
	Nodes []*graph.Node // what it computes; nil for a conversion between layouts
	Kind  Kind
	Why   string // why it is float in a network that has integers
	Ops   int    // arithmetic operations for one sample
	Slow  bool   // few operations for each element that is read: a depthwise convolution

	Action Action
}

// Action is what a step does: one of the pointer types of this package that
// have these methods.
type Action interface {
	// Reads returns the tensors that are read, and Writes those that are written.
	Reads() []*Tensor
	Writes() []*Tensor
}

// Geometry is the window of a convolution or pool: output (y, x) sees the
// input's rows y*Stride[0] + i*Dilation[0] - Pad.Top for i < Kernel[0], and
// columns likewise. What it sees outside of the input is padding. A 1-D window
// has one row.
type Geometry struct {
	Kernel, Stride, Dilation [2]int // rows, columns
	Pad                      Sides
	Groups                   int
}

// Weights are constant weights w[o][ky][kx][i] of an affine step, as a view of
// the file's tensor: output channel o = g*PerGroup + m of group g, kernel
// element (ky, kx), input channel i of the group. Exactly one of S8, U8 and F32 is
// there.
type Weights struct {
	S8  []int8
	U8  []uint8
	F32 []float32

	Groups, PerGroup int    // output channels are Groups*PerGroup
	Kernel           [2]int // rows, columns
	In               int    // input channels of a group

	First int    // element of o, ky, kx, i = 0
	Steps [5]int // distance from one to the next: groups, output channels of a group, kernel rows, kernel columns, input channels

	Zeros []int // zero point by output channel, to be subtracted; nil: all are 0
}

// Affine is what an integer convolution and an integer product have in common.
// The sum of output channel o is
//
//	Bias[o] + sum over the window of (x - ZeroIn) * (w[o] - Zeros[o])
//
// in int32; it fits but for a bias near its ends, where it wraps around.
// Padding counts as ZeroIn.
type Affine struct {
	Weights Weights
	Bias    []int32 // by output channel; nil: zeros
	ZeroIn  int

	// Requant makes the sums integers of Out's type. It is nil where Out is
	// Float32, which gets float32(sum) * Scales[o].
	Requant *Requant
	Scales  []float32 // of the sums, by output channel: the input's scale times the weights'

	// Residual is added to the requantized result; nil if there is none.
	Residual *Residual
}

// Residual is a tensor of the shape of a step's result that is added to it:
// the result is the A of Sum, the tensor the B.
type Residual struct {
	In  *Tensor
	Sum Sum
}

// Conv is a convolution of bytes, with what happens to its sums.
type Conv struct {
	In, Out *Tensor // channels last
	Geometry
	Affine
}

// MatMul multiplies rows by a constant matrix: pixel x of In, K bytes, gives
// pixel x of Out, N elements. The weights have N output channels, K input
// channels and a kernel of one element.
type MatMul struct {
	In, Out *Tensor // plain
	K, N    int
	Affine
}

// Add adds two tensors of bytes of one shape and layout, element by element.
type Add struct {
	A, B, Out *Tensor
	Sum       Sum
}

// Mul multiplies two tensors of bytes element by element: Requant, of one
// channel, of (a-ZeroA)*(b-ZeroB). With PerChannel B has one pixel, which all
// pixels of A are multiplied by.
type Mul struct {
	A, B, Out    *Tensor
	ZeroA, ZeroB int
	PerChannel   bool
	Requant      *Requant
}

// MaxPool is the maximum under a window, channel by channel, of bytes or
// floats (NaN gives NaN). Padding takes no part.
type MaxPool struct {
	In, Out *Tensor
	Geometry
}

// AveragePool is the mean under a window, channel by channel. Of bytes it is
// Requant of the sum of x - ZeroIn: its scale holds the division, and padding
// counts as ZeroIn. Of floats it is the mean of the elements in their order;
// padding counts as zeros with CountPad and else takes no part.
type AveragePool struct {
	In, Out *Tensor
	Geometry
	CountPad bool
	ZeroIn   int
	Requant  *Requant
}

// Table replaces bytes: the element with bits q gets the bits Table[q].
type Table struct {
	In, Out *Tensor
	Table   [256]uint8
}

// Quantize makes bytes of floats: clamp(roundHalfEven(x/scale) + zero), x/scale
// rounded to float32; NaN gives the zero point.
type Quantize struct {
	In, Out *Tensor
	Coding  Coding // of Out
}

// Dequantize makes floats of bytes: float32((q - zero) * scale).
type Dequantize struct {
	In, Out *Tensor
	Coding  Coding // of In
}

// ConvFloat is a convolution of floats: clamp(conv + Bias + Add, Lo, Hi).
type ConvFloat struct {
	In, Out *Tensor // channels last
	Add     *Tensor // nil if there is none
	Geometry
	Weights Weights
	Bias    []float32 // by output channel; nil: zeros
	Lo, Hi  float32
}

// MatMulFloat is MatMul of floats: clamp(in*w + Bias, Lo, Hi).
type MatMulFloat struct {
	In, Out *Tensor // plain
	K, N    int
	Weights Weights
	Bias    []float32
	Lo, Hi  float32
}

// BlockCodes are weights of 2, 4 or 8 bits, N outputs by K: Scale*(code-Zero) by blocks of an output. Codes and zero points are packed as
// com.microsoft's MatMulNBits has them: output by output, the first in the low bits, the blocks of an output filled up.
type BlockCodes struct {
	N, K, Bits, Block int
	Codes             []uint8
	Scales            []float32
	Zeros             []uint8 // nil: the middle code
}

// MatMulBlocks multiplies rows of floats by weights on a few bits, both as integers: a row is brought to 8 bits block by block, its
// largest magnitude there being 127. Then Bias is added, and the result clamped.
type MatMulBlocks struct {
	In, Out *Tensor // plain
	Weights BlockCodes
	Bias    []float32 // by output; nil: zeros
	Lo, Hi  float32
}

// Product multiplies two tensors in plain layout: Count matrices of a sample,
// Rows by Inner and Inner by Cols. They are floats, or bytes: then the result is Requant, of one
// channel, of the int32 sum of (a-ZeroA)*(b-ZeroB), or that sum times Scale.
type Product struct {
	A, B, Out                *Tensor
	Count, Rows, Inner, Cols int
	ZeroA, ZeroB             int
	Requant                  *Requant
	Scale                    float32 // of bytes whose result is float32(sum)*Scale; 0 for others
}

// Func names a function of one number.
type Func string

// The functions of a [Map], with what A and B are for them.
const (
	Sigmoid     Func = "Sigmoid"
	Tanh        Func = "Tanh"
	Erf         Func = "Erf"
	Exp         Func = "Exp"
	HardSwish   Func = "HardSwish"
	LeakyRelu   Func = "LeakyRelu"   // A: the slope below 0
	HardSigmoid Func = "HardSigmoid" // clamp(x*A + B, 0, 1)
	Gelu        Func = "Gelu"        // by the error function
	Swish       Func = "Swish"       // x*sigmoid(x)
	Neg         Func = "Neg"
	Clamp       Func = "Clamp" // to [A, B]
)

// Map computes a function of every element of a tensor of floats.
type Map struct {
	In, Out *Tensor
	Func    Func
	A, B    float32
}

// Binary computes A op B of floats, clamped: Add, Sub, Mul, Div, Max or Min.
// With PerChannel one of the two, B, or A where Swap is set, has one pixel, which
// stands for all.
type Binary struct {
	A, B, Out  *Tensor
	Op         string
	PerChannel bool
	Swap       bool
	Lo, Hi     float32
}

// ChannelAffine is x*Scale[c] + Shift[c] of floats, clamped.
type ChannelAffine struct {
	In, Out      *Tensor
	Scale, Shift []float32
	Lo, Hi       float32
}

// ChannelDivide is x/By[c] of floats.
type ChannelDivide struct {
	In, Out *Tensor
	By      []float32
}

// LayerNorm brings each run of C elements to mean 0, with Centered, and mean square 1, then scales and shifts.
type LayerNorm struct {
	In, Out      *Tensor
	Centered     bool
	Scale, Shift []float32
	Epsilon      float32
}

// Softmax makes e^x/sum of each run of C elements.
type Softmax struct {
	In, Out *Tensor
}

// Copy copies a tensor, whatever place and layout it and its copy have.
type Copy struct {
	In, Out *Tensor
}

// Transpose permutes the dimensions of a sample in plain layout: element
// (i0, i1, ...) of Out, of Shape, is at sum of i*Strides of In's sample.
type Transpose struct {
	In, Out        *Tensor
	Shape, Strides []int
}

// Repeat enlarges images: pixel (y, x) of Out is pixel (y/Rows, x/Cols) of In.
type Repeat struct {
	In, Out    *Tensor
	Rows, Cols int
}

// Pad puts the image of In at At of the image of Out and fills the rest with Fill.
type Pad struct {
	In, Out *Tensor
	At      Position
	Fill    uint32 // bits of an element
}

// Reference runs a node by its reference kernel on plain tensors.
type Reference struct {
	Node    *graph.Node
	Version int              // of the operator set
	In, Out []*Tensor        // nil where the node omits them
	Bodies  map[string]*Body // its subgraphs, by the attribute's name; nil for a node without
}

// Observe hands a tensor of floats to the observer of the run.
type Observe struct {
	In    *Tensor
	Index int   // number of the observed value
	Shape []int // of a tensor in the arena, as ONNX has it
}

func list(ts ...*Tensor) []*Tensor {
	out := ts[:0:0]
	for _, t := range ts {
		if t != nil {
			out = append(out, t)
		}
	}
	return out
}

func (a *Affine) residual() *Tensor {
	if a.Residual == nil {
		return nil
	}
	return a.Residual.In
}

// Reads returns what the action reads.
func (a *Conv) Reads() []*Tensor          { return list(a.In, a.residual()) }
func (a *MatMul) Reads() []*Tensor        { return list(a.In, a.residual()) }
func (a *Add) Reads() []*Tensor           { return list(a.A, a.B) }
func (a *Mul) Reads() []*Tensor           { return list(a.A, a.B) }
func (a *MaxPool) Reads() []*Tensor       { return list(a.In) }
func (a *AveragePool) Reads() []*Tensor   { return list(a.In) }
func (a *Table) Reads() []*Tensor         { return list(a.In) }
func (a *Quantize) Reads() []*Tensor      { return list(a.In) }
func (a *Dequantize) Reads() []*Tensor    { return list(a.In) }
func (a *ConvFloat) Reads() []*Tensor     { return list(a.In, a.Add) }
func (a *MatMulFloat) Reads() []*Tensor   { return list(a.In) }
func (a *MatMulBlocks) Reads() []*Tensor  { return list(a.In) }
func (a *Product) Reads() []*Tensor       { return list(a.A, a.B) }
func (a *Map) Reads() []*Tensor           { return list(a.In) }
func (a *Binary) Reads() []*Tensor        { return list(a.A, a.B) }
func (a *ChannelAffine) Reads() []*Tensor { return list(a.In) }
func (a *ChannelDivide) Reads() []*Tensor { return list(a.In) }
func (a *LayerNorm) Reads() []*Tensor     { return list(a.In) }
func (a *Softmax) Reads() []*Tensor       { return list(a.In) }
func (a *Copy) Reads() []*Tensor          { return list(a.In) }
func (a *Transpose) Reads() []*Tensor     { return list(a.In) }
func (a *Repeat) Reads() []*Tensor        { return list(a.In) }
func (a *Pad) Reads() []*Tensor           { return list(a.In) }
func (a *Reference) Reads() []*Tensor {
	reads := list(a.In...)
	for _, name := range slices.Sorted(maps.Keys(a.Bodies)) {
		reads = append(reads, a.Bodies[name].Captured...)
	}
	return reads
}
func (a *Observe) Reads() []*Tensor { return list(a.In) }

// Writes returns what the action writes.
func (a *Conv) Writes() []*Tensor          { return list(a.Out) }
func (a *MatMul) Writes() []*Tensor        { return list(a.Out) }
func (a *Add) Writes() []*Tensor           { return list(a.Out) }
func (a *Mul) Writes() []*Tensor           { return list(a.Out) }
func (a *MaxPool) Writes() []*Tensor       { return list(a.Out) }
func (a *AveragePool) Writes() []*Tensor   { return list(a.Out) }
func (a *Table) Writes() []*Tensor         { return list(a.Out) }
func (a *Quantize) Writes() []*Tensor      { return list(a.Out) }
func (a *Dequantize) Writes() []*Tensor    { return list(a.Out) }
func (a *ConvFloat) Writes() []*Tensor     { return list(a.Out) }
func (a *MatMulFloat) Writes() []*Tensor   { return list(a.Out) }
func (a *MatMulBlocks) Writes() []*Tensor  { return list(a.Out) }
func (a *Product) Writes() []*Tensor       { return list(a.Out) }
func (a *Map) Writes() []*Tensor           { return list(a.Out) }
func (a *Binary) Writes() []*Tensor        { return list(a.Out) }
func (a *ChannelAffine) Writes() []*Tensor { return list(a.Out) }
func (a *ChannelDivide) Writes() []*Tensor { return list(a.Out) }
func (a *LayerNorm) Writes() []*Tensor     { return list(a.Out) }
func (a *Softmax) Writes() []*Tensor       { return list(a.Out) }
func (a *Copy) Writes() []*Tensor          { return list(a.Out) }
func (a *Transpose) Writes() []*Tensor     { return list(a.Out) }
func (a *Repeat) Writes() []*Tensor        { return list(a.Out) }
func (a *Pad) Writes() []*Tensor           { return list(a.Out) }
func (a *Reference) Writes() []*Tensor     { return list(a.Out...) }
func (a *Observe) Writes() []*Tensor       { return nil }

// Channels returns the number of output channels.
func (w *Weights) Channels() int { return w.Groups * w.PerGroup }

// Index returns where the weight of an output channel, kernel element and input channel is.
func (w *Weights) Index(o, ky, kx, i int) int {
	s := &w.Steps
	return w.First + o/w.PerGroup*s[0] + o%w.PerGroup*s[1] + ky*s[2] + kx*s[3] + i*s[4]
}

// At returns an integer weight less its zero point.
func (w *Weights) At(o, ky, kx, i int) int {
	q := 0
	if at := w.Index(o, ky, kx, i); w.S8 != nil {
		q = int(w.S8[at])
	} else {
		q = int(w.U8[at])
	}
	if w.Zeros != nil {
		q -= w.Zeros[o]
	}
	return q
}

// Ints returns integer weights, less their zero points, in the order
// [out][ky][kx][in].
func (w *Weights) Ints() []int {
	out := make([]int, 0, w.Len())
	for o := range w.Channels() {
		for ky := range w.Kernel[0] {
			for kx := range w.Kernel[1] {
				for i := range w.In {
					out = append(out, w.At(o, ky, kx, i))
				}
			}
		}
	}
	return out
}

// Len returns the number of weights.
func (w *Weights) Len() int { return w.Channels() * w.Kernel[0] * w.Kernel[1] * w.In }

// DType returns the type of the weights.
func (w *Weights) DType() tensor.DType {
	switch {
	case w.S8 != nil:
		return tensor.Int8
	case w.U8 != nil:
		return tensor.Uint8
	}
	return tensor.Float32
}
