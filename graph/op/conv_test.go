package op

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/narrow-ml/narrow/tensor"
)

func runOp(t *testing.T, name string, attrs Attrs, in ...*tensor.Tensor) *tensor.Tensor {
	t.Helper()
	o, err := Lookup("", name)
	if err != nil {
		t.Fatal(err)
	}
	c := &Call{Attrs: attrs, In: in, Out: make([]*tensor.Tensor, 1)}
	if err := o.Run(c); err != nil {
		t.Fatal(err)
	}
	return c.Out[0]
}

// TestConvStrips checks that the size of the strips, and so the memory that
// there is, changes no bit, and that the sums are those of float64.
func TestConvStrips(t *testing.T) {
	defer func(n int) { maxColumns = n }(maxColumns)
	for _, name := range []string{"Conv", "ConvTranspose"} {
		r := rand.New(rand.NewPCG(4, 4))
		for range 30 {
			attrs, in := validCalls[name](r)
			maxColumns = 1 << 20
			want := runOp(t, name, attrs, in...)
			for _, maxColumns = range []int{1, 100} {
				if got := runOp(t, name, attrs, in...); !slices.Equal(got.F32(), want.F32()) {
					t.Errorf("%s %v: strips of %d change the result", name, attrs, maxColumns)
				}
			}
			wide := make([]*tensor.Tensor, len(in))
			for i, x := range in {
				wide[i] = tensor.From(x.Float64s(), x.Shape()...)
			}
			for i, v := range runOp(t, name, attrs, wide...).Float64s() {
				if d := math.Abs(v - float64(want.F32()[i])); d > 1e-4 {
					t.Errorf("%s %v: element %d is %v, in float64 %v", name, attrs, i, want.F32()[i], v)
					break
				}
			}
		}
	}
}

// TestBatchIndependent checks that a sample's result does not depend on the
// samples beside it.
func TestBatchIndependent(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for name, rest := range map[string][]*tensor.Tensor{
		"Conv": {normal(r, 8, 16, 3, 3), normal(r, 8)}, "ConvTranspose": {normal(r, 16, 4, 3, 3)}, "MatMul": {normal(r, 9, 30)},
		"Softmax": nil, "GlobalAveragePool": nil, "LayerNormalization": {normal(r, 9)}, "Gelu": nil, "InstanceNormalization": {normal(r, 16), normal(r, 16)},
	} {
		x := normal(r, 3, 16, 7, 9)
		whole := runOp(t, name, nil, append([]*tensor.Tensor{x}, rest...)...)
		part := tensor.From(x.F32()[x.Len()/3:x.Len()/3*2], 1, 16, 7, 9)
		one := runOp(t, name, nil, append([]*tensor.Tensor{part}, rest...)...)
		if !slices.Equal(one.F32(), whole.F32()[whole.Len()/3:whole.Len()/3*2]) {
			t.Errorf("%s: a sample alone has another result than in its batch", name)
		}
	}
}
