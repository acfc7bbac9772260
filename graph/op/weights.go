package op

import "github.com/narrow-ml/narrow/tensor"

// PairLimit is how much the magnitudes of two neighbouring 8-bit weights may sum to without
// any machine saturating: processors without dot products of bytes (x86 before VNNI, by
// VPMADDUBSW) add two products of an unsigned and a signed byte in 16 bits, and 255*128 fits.
const PairLimit = 128

// Products says of an operator where its weights are and how their products are summed.
type Products struct {
	Weights int // place of the weights among the inputs
	Zero    int // place of their zero point, 0 if the operator takes none

	// Sums returns how weights of that shape are summed: without inputs where the operator does not
	// take its rank.
	Sums func(a Attrs, shape []int) Sums
}

// Sums sees weights as outer x Inputs x Inner: the products of Inputs weights, Inner elements
// apart, with as many channels of the input are summed.
type Sums struct {
	Inputs, Inner int

	// Output is the axis with an index for each output channel, -1 if there is none.
	Output int

	// Gathered says that runtimes may copy what a kernel meets into one row, place after place and
	// channel after channel within a place, so that the last channel of a place is a neighbour of
	// the first of the next: where the channels are not even in number.
	Gathered bool
}

// Partners returns the weights whose products are added to those of weight i first, -1 for
// none: that of the neighbouring input channel, 2k+1 for 2k, and that of the neighbour in the row
// of a Gathered kernel.
func (s Sums) Partners(i int) (channel, gathered int) {
	channel, gathered = -1, -1
	place, c := i%s.Inner, i/s.Inner%s.Inputs
	first := i - place - c*s.Inner
	if p := c ^ 1; p < s.Inputs {
		channel = first + p*s.Inner + place
	}
	if p := (place*s.Inputs + c) ^ 1; s.Gathered && p < s.Inputs*s.Inner {
		gathered = first + p%s.Inputs*s.Inner + p/s.Inputs
	}
	return channel, gathered
}

// convSums are those of weights out x in/group x kernel.
func convSums(a Attrs, shape []int) Sums {
	if len(shape) < 3 {
		return Sums{}
	}
	depthwise := shape[1] == 1 && shape[0] == a.Int("group", 1) // has kernels of its own everywhere
	return Sums{Inputs: shape[1], Inner: tensor.Volume(shape[2:]), Gathered: shape[1]%2 == 1 && !depthwise}
}

// convTransposeSums are those of weights in x out/group x kernel.
func convTransposeSums(a Attrs, shape []int) Sums {
	if len(shape) < 3 {
		return Sums{}
	}
	s := Sums{Inputs: shape[0] / max(a.Int("group", 1), 1), Inner: tensor.Volume(shape[1:]), Output: 1}
	if s.Inputs < shape[0] {
		s.Output = -1
	}
	return s
}

// gemmSums are those of a second operand in x out, or out x in.
func gemmSums(a Attrs, shape []int) Sums {
	switch {
	case len(shape) != 2:
		return Sums{}
	case a.Int("transB", 0) != 0:
		return Sums{Inputs: shape[1], Inner: 1}
	}
	return Sums{Inputs: shape[0], Inner: shape[1], Output: 1}
}

// matMulSums are those of a second operand ... x in x out.
func matMulSums(_ Attrs, shape []int) Sums {
	switch k := len(shape); k {
	case 0:
		return Sums{}
	case 1:
		return Sums{Inputs: shape[0], Inner: 1, Output: -1}
	case 2:
		return Sums{Inputs: shape[0], Inner: shape[1], Output: 1}
	default:
		return Sums{Inputs: shape[k-2], Inner: shape[k-1], Output: -1}
	}
}
