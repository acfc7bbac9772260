// Package op holds the ONNX operators: for each its shape rule and its
// reference kernel on plain row-major tensors, found by name in one table.
//
// The reference kernels serve constant folding, conformance and every operator
// that the engine has no faster way for. Adding an operator is adding a file
// with its row, its rule, its kernel and its tests.
package op

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/narrow-ml/narrow/tensor"
)

// Errors that operators return, wrapped with what they found.
var (
	// ErrUnknown reports an operator that is not in the table.
	ErrUnknown = errors.New("operator is not supported")
	// ErrInput reports inputs whose number, type or shape the operator does not take.
	ErrInput = errors.New("invalid input")
	// ErrAttr reports an attribute that is missing or has a value the operator does not take.
	ErrAttr = errors.New("invalid attribute")
)

// Op is one operator.
type Op struct {
	Name   string // "Conv"
	Domain string // "" for the ONNX default domain

	// Infer gives type and shape of every output from those of the inputs,
	// as far as they are known.
	Infer func(c *Call) error

	// Run computes the outputs. It never changes an input; an output may
	// share an input's data (Reshape, Identity).
	Run func(c *Call) error

	// Traits is what is true of it beside, whatever attributes and constants
	// a call has; see [Op.At].
	Traits Traits
	refine func(c *Call, t *Traits) // nil if nothing depends on them

	// Given returns an error if input i must not be omitted.
	Given func(i int) error
}

// Call is one application of an operator.
type Call struct {
	Attrs   Attrs
	Version int              // version of the operator set the graph uses
	Types   []Type           // inputs as far as they are known; filled for Infer
	In      []*tensor.Tensor // inputs; nil for an omitted one. In Infer nil also for one that is not constant
	Out     []*tensor.Tensor // outputs, set by Run; its length is the number the node names
	OutType []Type           // outputs, set by Infer; its length is the number the node names

	// Body runs the graph that is the named attribute of a control flow
	// operator; BodyTypes returns what is known of its results, nil for
	// nothing. Only If, Loop and Scan ask for them.
	Body      func(attr string, inputs []*tensor.Tensor) ([]*tensor.Tensor, error)
	BodyTypes func(attr string, inputs []Type) []Type
}

// Type is what is known of a value before it is computed.
type Type struct {
	DType tensor.DType // Undefined if not known, or if the input is omitted
	Shape []int        // Unknown for a dimension that is not known
	Known bool         // whether the rank, and so Shape, is known
}

// Unknown is a dimension that is not known.
const Unknown = -1

// TypeOf returns the type of a tensor.
func TypeOf(t *tensor.Tensor) Type {
	return Type{DType: t.DType(), Shape: t.Shape(), Known: true}
}

// Static reports whether the whole shape is known.
func (t Type) Static() bool {
	for _, d := range t.Shape {
		if d < 0 {
			return false
		}
	}
	return t.Known
}

// table holds every operator by domain and name.
var table = map[[2]string]*Op{}

// Names lists all operators, those of another domain with it before a point: "com.microsoft.QGemm".
func Names() []string {
	var names []string
	for key := range table {
		names = append(names, strings.TrimPrefix(key[0]+"."+key[1], "."))
	}
	slices.Sort(names)
	return names
}

// Lookup returns the operator, or an error that wraps [ErrUnknown]. The
// domains "" and "ai.onnx" are one.
func Lookup(domain, name string) (*Op, error) {
	if domain == "ai.onnx" {
		domain = ""
	}
	if o := table[[2]string{domain, name}]; o != nil {
		return o, nil
	}
	if domain != "" {
		name = domain + "." + name
	}
	if strings.HasPrefix(domain, microsoft) || strings.HasPrefix(domain, "com.ms.internal") {
		return nil, fmt.Errorf("%s: %w; ONNX Runtime's optimizer writes such operators: use the file from before it ran", name, ErrUnknown)
	}
	return nil, fmt.Errorf("%s: %w", name, ErrUnknown)
}
