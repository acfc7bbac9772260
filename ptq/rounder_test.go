package ptq

import (
	"math/rand/v2"
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
	m := &moments{patches: &patches{row: 2, groups: 1}, compensate: true, groups: make([]groupMoments, 1)}
	g := &m.groups[0]
	g.count, g.sum = 100, []float64{1e5, 1e5}
	g.products = []float32{0.99999e8, 0.99999e8, 0.99999e8, 0.99999e8} // less than the square of the mean, by rounding
	if _, err := newRounder(m.covariance(0, []float64{1e3, 1e3})); err != nil {
		t.Error(err)
	}
}

// TestRounder: on correlated inputs the results come closer than by rounding to
// nearest, never further, and what it returns is on the grid.
func TestRounder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 30 {
		d := 1 + rng.IntN(40)
		factors := mat.NewDense(d, 3, nil) // three common causes
		for i := range d {
			for j := range 3 {
				factors.Set(i, j, rng.NormFloat64())
			}
		}
		var product mat.Dense
		product.Mul(factors, factors.T())
		c := mat.NewSymDense(d, nil)
		row := make([]float64, d)
		for i := range d {
			for j := range i {
				c.SetSym(i, j, product.At(i, j))
			}
			c.SetSym(i, i, product.At(i, i)+0.1)
			row[i] = rng.NormFloat64()
		}
		r, err := newRounder(c)
		if err != nil {
			t.Fatal(err)
		}
		l := Grid{Bits: 4, Signed: true}.Over(2.5)
		q := r.round(row, l)
		for _, v := range q {
			if v != l.Round(v) {
				t.Fatalf("%g is not on the grid", v)
			}
		}
		got, plain := r.cost(row, q), r.cost(row, nearest(row, l))
		if got > plain*(1+1e-9) {
			t.Errorf("%d weights: error %g, rounded to nearest %g", d, got, plain)
		}
		if d > 20 && got > plain/2 {
			t.Errorf("%d weights: error %g is not half of %g", d, got, plain)
		}
	}
}
