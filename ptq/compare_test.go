package ptq

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
)

func TestCompare(t *testing.T) {
	data := images(t, 24, 3, 8, 8)
	g := residualNet()
	if err := Prepare(g, 13); err != nil {
		t.Fatal(err)
	}
	q := mustQuantize(t, g, data, WithNodeBits("conv2", 2, 4), WithEqualize(false), WithCompensation(false))
	rows, err := Compare(context.Background(), g, q.Graph, data, 8, 1)
	if err != nil {
		t.Fatal(err)
	}
	if rows[0].Name != "conv2" || rows[0].SQNR > 15 {
		t.Errorf("the worst tensor is %q with %.1f dB, not conv2", rows[0].Name, rows[0].SQNR)
	}
	if !slices.IsSortedFunc(rows, func(a, b Comparison) int { return int(math.Copysign(1, a.SQNR-b.SQNR)) }) {
		t.Error("the worst do not come first")
	}
	same, err := Compare(context.Background(), g, g, data, 8, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range same {
		if !math.IsInf(r.SQNR, 1) || r.Cosine < 0.999999 || r.Want != r.Got {
			t.Errorf("a network differs from itself: %+v", r)
		}
	}
	n, x := newNet(3, 8, 8)
	other := n.done(n.New("other", "Relu", nil, x))
	if _, err := Compare(context.Background(), g, other, data, 8, 1); !errors.Is(err, ErrNothingInCommon) {
		t.Errorf("networks without a common tensor: %v", err)
	}
}
