// Package profile says what runtimes, compilers and kernels take of quantized networks, as data, and checks networks against it.
//
// A [Profile] has rules, which a file must keep for the target to load it or to compute what it means, and says what the
// target computes on integers; everything else falls back to float there. The sources are named in docs/targets.md.
package profile

import (
	"errors"
	"fmt"
	"slices"

	"github.com/narrow-ml/narrow/internal/suggest"
	"github.com/narrow-ml/narrow/tensor"
)

// ErrUnknown reports a profile that does not exist.
var ErrUnknown = errors.New("profile: there is no such target")

// ErrBroken reports a network that breaks a rule of its target.
var ErrBroken = errors.New("profile: the network is not what the target takes")

// Profile is what one target takes. It is data: nothing of it may be changed.
type Profile struct {
	Name  string
	About string // half a sentence

	Types   []tensor.DType // of activations
	Store   Store          // how narrow stores them
	Middle  bool           // zero points are in the middle of the type: 0, or 128 for uint8
	Weights []tensor.DType // of 8-bit weights; their zero points are in the middle
	Powers  bool           // every scale is a power of two

	WeightZeros bool // weights may have zero points elsewhere
	FloatBias   bool // biases are in float, not int32 behind a DequantizeLinear

	// PerChannel are the operators whose weights may have a scale for each output channel.
	PerChannel []string

	MaxOpset  int  // 0 for no limit that is known
	QOperator bool // whether it takes operators on integers (QLinearConv, ...), besides QuantizeLinear and DequantizeLinear
	Safe      bool // weights must be saturation-safe
	NoFloat   bool // nothing can be computed in float
	Complete  bool // what is in float is not computed there at all: quantize leaves as little as it can

	// Units are the operators that it computes on integers, and what it wants around them.
	Units map[string]Unit

	// Redundant says that an activation function behind an operator vanishes only where the integers hold no more than it lets
	// through.
	Redundant bool

	// Propagates says that QuantizeLinear moves up and DequantizeLinear down through operators that keep the scale.
	Propagates bool

	// Alone says that an int8 activation counts as the uint8 one of the same steps where its integers have one reader, and
	// is not computed on where they have more.
	Alone bool
}

// Unit is what a target wants around an operator that it computes on integers.
type Unit int

// What is wanted.
const (
	Operands      Unit = 1 << iota // every operand is quantized
	Result                         // so is the result
	OneType                        // operands and result have one type
	OneScale                       // and one scale and zero point
	BiasToo                        // the bias, if there is one, is int32 with a scale
	Bytes                          // no operand has more than 8 bits
	Static                         // weights are constants
	Unshifted                      // operands have no zero points
	UnshiftedPair                  // nor have those of a product of two activations
)

// Store says how narrow stores activations for a target.
type Store int

// The ways.
const (
	Mixed    Store = iota // unsigned where nothing is negative, signed elsewhere
	Unsigned              // all unsigned, with zero points
	Signed                // all signed, with zero points unless they must be in the middle
)

// Names returns the names of all profiles, in the order of the table.
func Names() []string {
	names := make([]string, len(table))
	for i := range table {
		names[i] = table[i].Name
	}
	return names
}

// Find returns the profile of a target.
func Find(name string) (*Profile, error) {
	for i := range table {
		if table[i].Name == name {
			return &table[i], nil
		}
	}
	hint := ""
	if near := suggest.Nearest(name, Names()); len(near) > 0 {
		hint = fmt.Sprintf("; did you mean %s?", near[0])
	}
	return nil, fmt.Errorf("%w: %q%s", ErrUnknown, name, hint)
}

// Wants returns what the target wants around an operator; false if it computes that in float.
func (p *Profile) Wants(domain, operator string) (Unit, bool) {
	if domain != "" && domain != "ai.onnx" {
		return 0, false
	}
	u, ok := p.Units[operator]
	return u, ok
}

// Channels reports whether the weights of an operator may have a scale for each output channel.
func (p *Profile) Channels(operator string) bool { return slices.Contains(p.PerChannel, operator) }

// Takes reports whether activations may have so many bits.
func (p *Profile) Takes(bits int) bool {
	return slices.ContainsFunc(p.Types, func(d tensor.DType) bool { return bits <= 8 || d.Size() > 1 })
}
