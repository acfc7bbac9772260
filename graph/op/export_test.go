package op

import (
	"math/rand/v2"
	"slices"

	"github.com/narrow-ml/narrow/tensor"
)

// ValidNames lists the operators that [ValidCall] makes calls of.
func ValidNames() []string {
	var names []string
	for n := range validCalls {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// ValidCall makes a random call that the operator takes, for tests in other
// packages.
func ValidCall(name string, r *rand.Rand) (domain string, attrs Attrs, in []*tensor.Tensor) {
	attrs, in = validCalls[name](r)
	if _, err := Lookup("", name); err != nil {
		domain = microsoft
	}
	return domain, attrs, in
}
