package ptq

// weightRows are the weights of some output channels, a row for each.
type weightRows struct {
	weights []float32
	index   []int    // where in the node's weights each is
	levels  []Levels // by row
	pairs   pairing  // nil if nothing limits neighbours
}

// rows returns the weights of count channels from first on.
func (w *weights) rows(first, count int) *weightRows {
	size := count * len(w.data) / max(w.channels(), 1)
	r := &weightRows{weights: make([]float32, 0, size), index: make([]int, 0, size)}
	for o := first; o < first+count; o++ {
		w.each(o, func(i int) {
			r.index = append(r.index, i)
			r.weights = append(r.weights, w.data[i])
		})
		l := w.scaling.levels(o)
		l.Min = -l.Max
		r.levels = append(r.levels, l)
	}
	if count > 0 {
		r.pairs = w.pairs(size / count)
	}
	return r
}

// row returns the elements of row o.
func (r *weightRows) row(o int) []float32 {
	d := len(r.weights) / len(r.levels)
	return r.weights[o*d : (o+1)*d]
}

// permuted returns the rows with their weights in another order, in the given memory.
func (r *weightRows) permuted(order []int, memory []float32) *weightRows {
	p := &weightRows{weights: memory, levels: r.levels, pairs: r.pairs.permuted(order)}
	d := len(order)
	for o := range r.levels {
		for i, k := range order {
			p.weights[o*d+i] = r.weights[o*d+k]
		}
	}
	return p
}

// attempt is a way to round weights.
type attempt interface {
	// try returns the values of the grids that stand for the rows' weights, valid until it is called
	// again, and the square error of each row.
	try(r *weightRows) (q []float32, costs []float64)
	// importance returns how much the square error of each weight counts; nil if all count alike.
	importance() []float64
}

// toNearest rounds to nearest. The error is that of the weights.
type toNearest struct{}

func (toNearest) try(r *weightRows) (q []float32, costs []float64) {
	q, costs = make([]float32, len(r.weights)), make([]float64, len(r.levels))
	r.nearest(q)
	d := len(q) / max(len(r.levels), 1)
	for i, v := range q {
		e := float64(v) - float64(r.weights[i])
		costs[i/d] += e * e
	}
	return q, costs
}

func (toNearest) importance() []float64 { return nil }

// nearest sets q to the values of the grids that are nearest to the weights.
func (r *weightRows) nearest(q []float32) {
	d := len(q) / max(len(r.levels), 1)
	for o, l := range r.levels {
		row, to := r.row(o), q[o*d:(o+1)*d]
		inverse := float32(1 / l.Scale)
		for k := d - 1; k >= 0; k-- {
			to[k] = toStep(row[k]*inverse, r.pairs.room(k, d, float32(l.Max), inverse, to, row))
		}
		for k, q := range to {
			to[k] = float32(float64(q) * l.Scale)
		}
	}
}
