package ptq

import "fmt"

// Reason says why a node stays in float. The zero value stands for a node that computes on integers.
type Reason struct {
	Code   ReasonCode
	Detail string // what it is about: a constant, a node, a type; "" where there is nothing to name
}

// ReasonCode is what kind of reason it is: what a program decides by.
type ReasonCode int

// The reasons, in the order in which they are looked for.
const (
	OnIntegers       ReasonCode = iota
	NoIntegerForm               // the operator has none
	OtherType                   // it computes on another type than float32
	InfiniteConstant            // a constant that it reads is not finite; so its result may not be either
	ReadsInfinite               // it reads what may be infinite, and hands it on
	StopsInfinite               // it reads what may be infinite, and makes it finite: nothing behind need care
	FreeWeights                 // its weights are not constant
	FreeBias                    // its bias is not constant
	OperatorSays                // its attributes or constants do not allow it
	ConstantResult              // it computes a constant
	FloatAtEnd                  // as the end of a network its operator stays float
	Excluded                    // by the user
	FollowsExcluded             // it is the activation function of a node that is excluded
	Costly                      // it would lose too much
	Unrounded                   // nothing is rounded
	RangesDiffer                // what it joins would share a scale that is far too coarse for a part of it
	BetweenLayers               // it is between weighted layers: in float, and rounded once
	Infinite                    // rounded, it makes an infinity or a NaN
	Unseen                      // calibration saw no element of what it reads
	ForTarget                   // the target is not met with it on integers
	Amplified                   // what its result goes to would make much of its error
	NotOnTarget                 // the target computes it in float
	Outliers                    // it is there for channels that are too large for integers
	NothingToDo                 // nothing around it is quantized
)

var reasonTexts = map[ReasonCode]string{
	NoIntegerForm:    "the operator has no integer form",
	OtherType:        "it computes on %s",
	InfiniteConstant: "its constant %q has an infinity or a NaN",
	ReadsInfinite:    "it reads %q, where a constant has an infinity or a NaN",
	StopsInfinite:    "it reads %q, where a constant has an infinity or a NaN, and makes it finite",
	FreeWeights:      "its weights are not constant",
	FreeBias:         "its bias is not constant",
	OperatorSays:     "%s",
	ConstantResult:   "it computes a constant",
	FloatAtEnd:       "a %s at the end is computed in float",
	Excluded:         "it was excluded",
	FollowsExcluded:  "it follows %q, which stays in float",
	Costly:           "%s",
	Unrounded:        "nothing is rounded",
	RangesDiffer:     "what it joins or selects has ranges too different for one scale",
	BetweenLayers:    "between weighted layers it computes in float",
	Infinite:         "rounding %q would make an infinity or a NaN",
	Unseen:           "calibration saw no element of %q",
	ForTarget:        "the target wants it",
	Amplified:        "its error would be amplified by %q",
	NotOnTarget:      "%s computes it in float",
	Outliers:         "it computes channels that are too large for integers",
	NothingToDo:      "nothing around it is quantized",
}

// String returns the reason as half a sentence, "" for none.
func (r Reason) String() string {
	text := reasonTexts[r.Code]
	if r.Detail == "" {
		return text
	}
	return fmt.Sprintf(text, r.Detail)
}

// spreads reports whether what reads the node's result may read an infinity.
func (r Reason) spreads() bool { return r.Code == InfiniteConstant || r.Code == ReadsInfinite }
