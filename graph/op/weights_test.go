package op_test

import (
	"testing"

	"github.com/narrow-ml/narrow/graph/op"
)

// TestWeightsPartners compares partners with the definition, written out by coordinates.
func TestWeightsPartners(t *testing.T) {
	at := func(shape []int, index ...int) int {
		i := 0
		for k, d := range shape {
			i = i*d + index[k]
		}
		return i
	}
	none := []int(nil)
	for _, c := range []struct {
		name              string
		op                string
		attrs             op.Attrs
		shape             []int
		of, channel, next []int // coordinates
	}{
		{"even channels", "Conv", nil, []int{2, 4, 3, 3}, []int{1, 2, 1, 2}, []int{1, 3, 1, 2}, none},
		{"odd channels", "Conv", nil, []int{2, 3, 3, 3}, []int{1, 0, 0, 1}, []int{1, 1, 0, 1}, []int{1, 2, 0, 0}},
		{"last of odd channels", "Conv", nil, []int{2, 3, 3, 3}, []int{1, 2, 0, 1}, none, []int{1, 1, 0, 1}},
		{"one channel", "Conv", nil, []int{2, 1, 3, 3}, []int{1, 0, 0, 2}, none, []int{1, 0, 1, 0}},
		{"end of the row", "Conv", nil, []int{2, 1, 3, 3}, []int{1, 0, 2, 2}, none, none},
		{"depthwise", "Conv", op.Attrs{"group": int64(6)}, []int{6, 1, 3, 3}, []int{1, 0, 0, 2}, none, none},
		{"integers", "QLinearConv", nil, []int{2, 4, 3, 3}, []int{1, 1, 1, 2}, []int{1, 0, 1, 2}, none},
		{"transposed", "ConvTranspose", nil, []int{4, 2, 3, 3}, []int{2, 1, 1, 2}, []int{3, 1, 1, 2}, none},
		{"transposed, groups of 3", "ConvTranspose", op.Attrs{"group": int64(2)}, []int{6, 2, 3, 3}, []int{2, 1, 1, 2}, none, none},
		{"second group", "ConvTranspose", op.Attrs{"group": int64(2)}, []int{6, 2, 3, 3}, []int{3, 1, 1, 2}, []int{4, 1, 1, 2}, none},
		{"rows", "Gemm", nil, []int{5, 7}, []int{3, 6}, []int{2, 6}, none},
		{"columns", "Gemm", op.Attrs{"transB": int64(1)}, []int{7, 5}, []int{3, 2}, []int{3, 3}, none},
		{"last row", "MatMul", nil, []int{5, 7}, []int{4, 6}, none, none},
		{"stack", "MatMul", nil, []int{2, 4, 3}, []int{1, 1, 2}, []int{1, 0, 2}, none},
		{"vector", "MatMul", nil, []int{4}, []int{1}, []int{0}, none},
	} {
		o, err := op.Lookup("", c.op)
		if err != nil {
			t.Fatal(err)
		}
		channel, gathered := o.Traits.Products.Sums(c.attrs, c.shape).Partners(at(c.shape, c.of...))
		for _, p := range []struct {
			what string
			got  int
			want []int
		}{{"neighbouring channel", channel, c.channel}, {"neighbour in the row", gathered, c.next}} {
			want := -1
			if p.want != nil {
				want = at(c.shape, p.want...)
			}
			if p.got != want {
				t.Errorf("%s: %s is %d, want %d", c.name, p.what, p.got, want)
			}
		}
	}
}
