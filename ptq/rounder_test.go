package ptq

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// A covariance that rounding has made indefinite is damped until it can be
// used: inputs that hardly vary are no reason to refuse a network.
func TestRounderTakesIndefiniteCovariance(t *testing.T) {
	r := new(rounder)
	if err := r.setUp([]float32{1e-3, 1.1e-3, 1.1e-3, 1e-3}); err != nil {
		t.Fatal(err)
	}
	q, _ := r.try(&weightRows{weights: []float32{0.4, 0.4}, levels: []Levels{symmetric(8, 127)}})
	for _, v := range q {
		if v != 0 && v != 1 {
			t.Errorf("0.4, 0.4 became %v", q)
		}
	}
}

func TestConstantInputsAreDamped(t *testing.T) {
	m := &moments{patches: &patches{row: 2, groups: 1}, compensate: true, count: 100}
	m.products = [][]float32{{0.99999e8, 0.99999e8, 0.99999e8, 0.99999e8}} // less than the square of the mean, by rounding
	m.covariance(m.products[0], []float64{1e3, 1e3})
	if err := new(rounder).setUp(m.products[0]); err != nil {
		t.Error(err)
	}
}

// TestRounder: on correlated inputs the results come closer than by rounding to
// nearest, never further, and what it returns is on the grid.
func TestRounder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var all [2]float64
	for range 30 {
		d, n := 1+rng.IntN(100), 1+rng.IntN(5)
		c := randomCovariance(rng, d, 3) // three common causes
		rows := &weightRows{}
		for range n {
			rows.levels = append(rows.levels, symmetric(4, 3+rng.Float64()))
			for range d {
				rows.weights = append(rows.weights, float32(rng.NormFloat64()))
			}
		}
		r := new(rounder)
		if err := r.setUp(c); err != nil {
			t.Fatal(err)
		}
		q, costs := r.try(rows)
		q = slices.Clone(q)
		for o, got := range costs {
			if want := squareError(c, rows.row(o), q[o*d:]); math.Abs(got-want) > 1e-3*want {
				t.Errorf("%d weights: square error %g, want %g", d, got, want)
			}
		}
		r.refine(rows, q)
		plain := make([]float32, len(rows.weights))
		rows.nearest(plain)
		for o, l := range rows.levels {
			for _, v := range q[o*d : (o+1)*d] {
				if v != float32(l.Round(float64(v))) {
					t.Fatalf("%g is not on the grid", v)
				}
			}
			got, nearest := squareError(c, rows.weights[o*d:(o+1)*d], q[o*d:]), squareError(c, rows.weights[o*d:(o+1)*d], plain[o*d:])
			if got > nearest*(1+1e-5) {
				t.Errorf("%d weights: error %g, rounded to nearest %g", d, got, nearest)
			}
			if d > 20 {
				all[0], all[1] = all[0]+got, all[1]+nearest
			}
		}
	}
	if all[0] > all[1]/2 {
		t.Errorf("error %g is not half of %g", all[0], all[1])
	}
}

// TestSpan holds the form for long rows against that of the covariance itself.
func TestSpan(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	const n = 20
	d := 3*roundBlock + 9
	x := make([]float32, n*d)
	for i := range x {
		x[i] = float32(rng.NormFloat64()) * float32(1+i%d%7)
	}
	c := make([]float32, d*d)
	for i := range d {
		for j := range d {
			for k := range n {
				c[i*d+j] += x[k*d+i] * x[k*d+j]
			}
		}
		c[i*d+i] += 0.5
	}
	full, wide := new(rounder), new(rounder)
	if err := errors.Join(full.setUp(c), wide.span(x, d, 0.5)); err != nil {
		t.Fatal(err)
	}
	rows := &weightRows{}
	for range 3 {
		rows.levels = append(rows.levels, symmetric(4, 3))
		for range d {
			rows.weights = append(rows.weights, float32(rng.NormFloat64()))
		}
	}
	if !slices.Equal(full.order, wide.order) {
		t.Fatal("the orders differ")
	}
	for k := range d {
		if a, b := full.pivots[k], wide.pivots[k]; math.Abs(a-b) > 1e-3*a {
			t.Errorf("pivot %d is %g, want %g", k, b, a)
		}
	}
	_, want := full.try(rows)
	q, got := wide.try(rows)
	for o, cost := range got {
		if math.Abs(cost-want[o]) > 0.2*want[o] { // near ties, which rounding decides, the ways part
			t.Errorf("row %d: error %g, want %g", o, cost, want[o])
		}
		if exact := squareError(c, rows.row(o), q[o*d:]); math.Abs(cost-exact) > 1e-2*exact {
			t.Errorf("row %d: error %g, computed %g", o, exact, cost)
		}
	}
	values := slices.Clone(q)
	wide.refine(rows, values)
	for o := range rows.levels {
		if a, b := squareError(c, rows.row(o), q[o*d:]), squareError(c, rows.row(o), values[o*d:]); b > a*(1+1e-3) {
			t.Errorf("row %d: error %g, refined %g", o, a, b)
		}
	}
}

// TestCancel holds the blocks of [rounder.cancel] against the plain rule: each weight goes to the
// value nearest to the one that has the least error, those after it being free to follow.
func TestCancel(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	d := 2*roundBlock + 5
	c := randomCovariance(rng, d, d)
	r := new(rounder)
	if err := r.setUp(c); err != nil {
		t.Fatal(err)
	}
	rows := &weightRows{levels: []Levels{symmetric(4, 2)}}
	for range d {
		rows.weights = append(rows.weights, float32(rng.NormFloat64()))
	}
	got, _ := r.cancel(rows)
	e := make([]float64, d)
	for k := d - 1; k >= 0; k-- {
		// The free weights, those before k, minimize e*C*e: the gradient by k with them
		// eliminated is that of the Schur complement.
		free := mat.NewSymDense(max(k, 1), nil)
		for i := range k {
			for j := range i + 1 {
				free.SetSym(i, j, float64(r.c[i*d+j]))
			}
		}
		schur := func(j int) float64 {
			v := float64(r.c[k*d+j])
			if k == 0 {
				return v
			}
			var x mat.VecDense
			b, a := mat.NewVecDense(k, nil), mat.NewVecDense(k, nil)
			for i := range k {
				b.SetVec(i, float64(r.c[i*d+j]))
				a.SetVec(i, float64(r.c[i*d+k]))
			}
			if err := x.SolveVec(free, b); err != nil {
				t.Fatal(err)
			}
			return v - mat.Dot(a, &x)
		}
		to := float64(rows.weights[k])
		for j := k + 1; j < d; j++ {
			to += schur(j) / schur(k) * e[j]
		}
		if want := rows.levels[0].Round(to); math.Abs(want-float64(got[k])) > 1e-6 && math.Abs(math.Abs(to-want)-rows.levels[0].Scale/2) > 1e-3 {
			t.Fatalf("weight %d is %g, want %g, the nearest to %g", k, got[k], want, to)
		}
		e[k] = float64(rows.weights[k] - got[k])
	}
}

func TestCholesky(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, d := range []int{1, 2, choleskyBlock - 1, choleskyBlock, choleskyBlock + 1, 3*choleskyBlock + 7} {
		c := randomCovariance(rng, d, 2*d)
		l := slices.Clone(c)
		if !cholesky(l, d) {
			t.Fatalf("%d x %d is not positive", d, d)
		}
		for i := range d {
			for j := range i + 1 {
				sum := 0.0
				for k := range j + 1 {
					sum += float64(l[i*d+k]) * float64(l[j*d+k])
				}
				if want := float64(c[i*d+j]); math.Abs(sum-want) > 1e-5*float64(d) {
					t.Fatalf("%d x %d: element %d, %d is %g, want %g", d, d, i, j, sum, want)
				}
			}
		}
		c[d*d-1] = -1
		if cholesky(c, d) {
			t.Errorf("%d x %d: a negative element on the diagonal is taken", d, d)
		}
	}
}

// randomCovariance returns the covariance, d x d, of sums of so many common causes and a
// little noise.
func randomCovariance(rng *rand.Rand, d, causes int) []float32 {
	factors := mat.NewDense(d, causes, nil)
	for i := range d {
		for j := range causes {
			factors.Set(i, j, rng.NormFloat64())
		}
	}
	var product mat.Dense
	product.Mul(factors, factors.T())
	c := make([]float32, d*d)
	for i := range d {
		for j := range d {
			c[i*d+j] = float32(product.At(i, j))
		}
		c[i*d+i] += 0.1
	}
	return c
}

// symmetric returns a grid of weights.
func symmetric(bits int, t float64) Levels {
	l := Grid{Bits: bits, Signed: true}.Over(t)
	l.Min = -l.Max
	return l
}

func squareError(c []float32, row, q []float32) float64 {
	sum := 0.0
	for i := range row {
		for j := range row {
			sum += float64(row[i]-q[i]) * float64(row[j]-q[j]) * float64(c[i*len(row)+j])
		}
	}
	return sum
}
