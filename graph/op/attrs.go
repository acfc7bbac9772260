package op

import (
	"fmt"
	"math"

	"github.com/narrow-ml/narrow/tensor"
)

// Attrs are a node's attributes. A value is an int64, float32, string,
// []int64, []float32, []string, *tensor.Tensor, or a graph (of a type that
// this package does not know).
type Attrs map[string]any

// Int returns an integer attribute, or def if it is absent.
func (a Attrs) Int(name string, def int) int {
	if v, ok := a[name].(int64); ok {
		return toInt(v)
	}
	return def
}

// Float returns a float attribute, or def if it is absent.
func (a Attrs) Float(name string, def float32) float32 {
	if v, ok := a[name].(float32); ok {
		return v
	}
	return def
}

// String returns a string attribute, or def if it is absent.
func (a Attrs) String(name, def string) string {
	if v, ok := a[name].(string); ok {
		return v
	}
	return def
}

// Ints returns a list of integers, nil if it is absent.
func (a Attrs) Ints(name string) []int {
	v, ok := a[name].([]int64)
	if !ok {
		return nil
	}
	out := make([]int, len(v))
	for i, x := range v {
		out[i] = toInt(x)
	}
	return out
}

// toInt keeps v in the range of int, which may be 32 bits: files hold the
// ends of int64 to mean "as far as it goes".
func toInt(v int64) int { return int(min(max(v, math.MinInt), math.MaxInt)) }

// Floats returns a list of floats, nil if it is absent.
func (a Attrs) Floats(name string) []float32 {
	v, _ := a[name].([]float32)
	return v
}

// Strings returns a list of strings, nil if it is absent.
func (a Attrs) Strings(name string) []string {
	v, _ := a[name].([]string)
	return v
}

// Tensor returns a tensor attribute, nil if it is absent.
func (a Attrs) Tensor(name string) *tensor.Tensor {
	v, _ := a[name].(*tensor.Tensor)
	return v
}

// Has reports whether the attribute is present.
func (a Attrs) Has(name string) bool {
	_, ok := a[name]
	return ok
}

// Require returns an error that wraps [ErrAttr] if the attribute is absent.
func (a Attrs) Require(name string) error {
	if !a.Has(name) {
		return fmt.Errorf("%w: %q is missing", ErrAttr, name)
	}
	return nil
}
