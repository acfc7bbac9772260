package ptq

import (
	"testing"

	"gonum.org/v1/gonum/mat"
)

// A covariance that rounding has made indefinite is damped until it can be
// used: inputs that hardly vary are no reason to refuse a network.
func TestRounderTakesIndefiniteCovariance(t *testing.T) {
	c := mat.NewSymDense(2, []float64{1e-3, 1.1e-3, 1.1e-3, 1e-3})
	r, err := newRounder(c)
	if err != nil {
		t.Fatal(err)
	}
	q := r.round([]float64{0.4, 0.4}, Grid{Bits: 8, Signed: true}.Over(127))
	for _, v := range q {
		if v != 0 && v != 1 {
			t.Errorf("0.4, 0.4 became %v", q)
		}
	}
}

func TestConstantInputsAreDamped(t *testing.T) {
	m := newMoments(&patches{row: 2, groups: 1})
	g := &m.groups[0]
	g.count, g.sum[0], g.sum[1] = 100, 1e5, 1e5
	g.products = []float32{0.99999e8, 0.99999e8, 0.99999e8, 0.99999e8} // less than the square of the mean, by rounding
	c, _ := m.covariance(0)
	if _, err := newRounder(c); err != nil {
		t.Error(err)
	}
}
