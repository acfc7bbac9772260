package ptq

import (
	"iter"
	"math"
	"slices"

	"github.com/narrow-ml/narrow/graph/op"
)

// pairing says which weights of a row limit each other: at most two partners of each weight, -1 for
// none. The magnitudes of the integers of partners sum to at most [op.PairLimit].
type pairing [][2]int32

// pairs returns the pairing of a row of d weights, nil if none can pass the limit.
func (w *weights) pairs(d int) pairing {
	s := w.scaling
	if p := w.node.Products(); s.Paired && p != nil && 2*s.Max() > op.PairLimit {
		sums := p.Sums(w.node.Attrs, w.shape)
		if sums.Inputs == 0 || sums.Inputs == 1 && !sums.Gathered {
			return nil
		}
		if w.axis >= 0 { // a row has one output channel
			sums.Inner = d / sums.Inputs
		}
		partners := make(pairing, d)
		for i := range partners {
			channel, gathered := sums.Partners(i)
			partners[i] = [2]int32{int32(channel), int32(gathered)}
		}
		return partners
	}
	return nil
}

// permuted returns the pairing of a row in another order.
func (p pairing) permuted(order []int) pairing {
	if p == nil {
		return nil
	}
	place := make([]int32, len(p))
	for i, k := range order {
		place[k] = int32(i)
	}
	out := make(pairing, len(p))
	for i, k := range order {
		for j, partner := range p[k] {
			if out[i][j] = -1; partner >= 0 {
				out[i][j] = place[partner]
			}
		}
	}
	return out
}

// crowded reports whether partners in a row of weights pass the limit.
func (p pairing) crowded(row []float32, scale float64) bool {
	for k, partners := range p {
		for _, j := range partners {
			if j > int32(k) && math.Abs(float64(row[k]))+math.Abs(float64(row[j])) > op.PairLimit*scale {
				return true
			}
		}
	}
	return false
}

// room returns how many steps weight k may become beside its partners, at most top: those between k and known have their steps
// already; with one that is yet to come, and should become what left says, each gives half of what is too much.
func (p pairing) room(k, known int, top, inverse float32, steps, left []float32) float32 {
	if p == nil {
		return top
	}
	room := top
	for _, j := range p[k] {
		if j < 0 {
			continue
		}
		most := float32(op.PairLimit)
		if int(j) > k && int(j) < known {
			most -= magnitude(steps[j])
		} else {
			own, other := min(magnitude(left[k]*inverse), top), min(magnitude(left[j]*inverse), top)
			if own+other <= op.PairLimit {
				continue
			}
			most = own - (own+other-op.PairLimit)/2
		}
		if most < room {
			room = most
		}
	}
	return float32(int32(room))
}

func magnitude(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) }

// toStep returns the number of steps that is nearest to x, at most room in magnitude.
func toStep(x, room float32) float32 {
	q := float32(math.RoundToEven(float64(x)))
	if q > room {
		return room
	}
	if q < -room {
		return -room
	}
	return q
}

// limitAmong narrows a grid to what weight k may become beside its partners, which all have their values in q.
func (p pairing) limitAmong(l Levels, k int, q []float32) Levels {
	if p == nil {
		return l
	}
	for _, j := range p[k] {
		if j >= 0 {
			l.Max = min(l.Max, op.PairLimit-int(math.Round(math.Abs(float64(q[j]))/l.Scale)))
		}
	}
	l.Min = -l.Max
	return l
}

// scaleFactors are the scales that are tried for weights that limit each other: multiples of the
// one that just holds the largest.
var scaleFactors = []float64{0.85, 0.92, 1.08, 1.17, 1.27, 1.4, 1.55, 1.75, 2}

// factors returns the multiples of the weights' scales that may be tried.
func (w *weights) factors() []float64 {
	if w.scaling.Powers {
		return []float64{2}
	}
	return scaleFactors
}

// chooseShared chooses the scale of weights that have but one, those of groups of channels that are
// rounded one after another, where limits on neighbours clip some: with the least error in all.
func (w *weights) chooseShared(groups int, by func(group int) (attempt, error)) error {
	s := w.scaling
	if len(s.Scale) != 1 || !w.crowded() {
		return nil
	}
	nominal, least, factors := s.Scale[0], leastScales(w.node)[0], append([]float64{1}, w.factors()...)
	costs := make([]float64, len(factors))
	perGroup := w.channels() / groups
	for group := range groups {
		try, err := by(group)
		if err != nil {
			return err
		}
		for i, f := range factors {
			s.Scale[0] = toScale(float64(nominal) * f)
			if float64(s.Scale[0]) < least {
				costs[i] = math.Inf(1)
			}
			_, rows := try.try(w.rows(group*perGroup, perGroup))
			for _, c := range rows {
				costs[i] += c
			}
		}
	}
	best := 0
	for i, c := range costs {
		if c < costs[best] {
			best = i
		}
	}
	s.Scale[0] = toScale(float64(nominal) * factors[best])
	return nil
}

// crowded reports whether limits on neighbours clip some of the weights.
func (w *weights) crowded() bool {
	rows := w.rows(0, w.channels())
	for o, l := range rows.levels {
		if rows.pairs.crowded(rows.row(o), l.Scale) {
			return true
		}
	}
	return false
}

// settle rounds the rows of the channels from first on. Where limits on neighbours clip some
// weights of a channel with a scale of its own, that with the least error is chosen.
func (w *weights) settle(rows *weightRows, first int, by attempt) []float32 {
	q, costs := by.try(rows)
	q = slices.Clone(q)
	if rows.pairs == nil || len(w.scaling.Scale) == 1 {
		return q
	}
	var crowded []int
	for o, l := range rows.levels {
		if rows.pairs.crowded(rows.row(o), l.Scale) {
			crowded = append(crowded, o)
		}
	}
	if len(crowded) == 0 {
		return q
	}
	d, least, nominal := len(rows.weights)/len(rows.levels), leastScales(w.node), slices.Clone(rows.levels)
	take := func(pick func(o int) Levels) {
		trial := &weightRows{pairs: rows.pairs}
		var tried []int
		for _, o := range crowded {
			if l := pick(o); l.Scale >= least[first+o] && l.Scale != nominal[o].Scale {
				tried = append(tried, o)
				trial.levels = append(trial.levels, l)
				trial.weights = append(trial.weights, rows.row(o)...)
			}
		}
		if len(tried) == 0 {
			return
		}
		values, errors := by.try(trial)
		for i, o := range tried {
			if errors[i] < costs[o] {
				costs[o], rows.levels[o] = errors[i], trial.levels[i]
				copy(q[o*d:(o+1)*d], values[i*d:])
			}
		}
	}
	if d > longRow {
		take(func(o int) Levels { return w.likelyScale(rows, o, least[first+o], by) })
	} else {
		for _, f := range w.factors() {
			take(func(o int) Levels { return nominal[o].times(f) })
		}
	}
	for _, o := range crowded {
		w.scaling.Scale[first+o] = float32(rows.levels[o].Scale)
	}
	return q
}

// longRow is the row from which on the scale to try is chosen by an estimate: there, all of them would take most of the time.
const longRow = 400

// times returns the grid with its steps multiplied.
func (l Levels) times(f float64) Levels {
	l.Scale = float64(toScale(l.Scale * f))
	return l
}

// likelyScale looks for a scale of row o with a smaller error than its own: up or down from there as long as it gets smaller.
func (w *weights) likelyScale(rows *weightRows, o int, least float64, by attempt) Levels {
	own, found := rows.levels[o], false
	l := own
	importance := by.importance()
	steps := make([]float32, len(rows.row(o)))
	cost := rows.estimate(o, own, importance, steps)
	try := func(factors iter.Seq[float64]) {
		for f := range factors {
			next := own.times(f)
			if next.Scale < least {
				return
			}
			c := rows.estimate(o, next, importance, steps)
			if c >= cost {
				return
			}
			l, cost, found = next, c, true
		}
	}
	factors := w.factors()
	up, _ := slices.BinarySearch(factors, 1)
	if try(slices.Values(factors[up:])); !found {
		try(func(yield func(float64) bool) {
			for i := up - 1; i >= 0 && yield(factors[i]); i-- {
			}
		})
	}
	return l
}

// A row's error is estimated from so many stretches of it, of so many weights.
const estimateStretches, estimateStretch = 4, 128

// estimate returns about how large the error of row o is on a grid, in memory for steps: that of rounding to nearest, each weight
// as important as said, or all alike for nil.
func (r *weightRows) estimate(o int, l Levels, importance []float64, steps []float32) float64 {
	row := r.row(o)
	d, sum := len(row), 0.0
	scale, inverse := float32(l.Scale), float32(1/l.Scale)
	stretch := func(from, to int) {
		for k := to - 1; k >= from; k-- {
			steps[k] = toStep(row[k]*inverse, r.pairs.room(k, to, float32(l.Max), inverse, steps, row))
			e := float64(steps[k]*scale - row[k])
			if importance != nil {
				e *= e * importance[k]
			} else {
				e *= e
			}
			sum += e
		}
	}
	if d <= estimateStretches*estimateStretch {
		stretch(0, d)
		return sum
	}
	for i := range estimateStretches {
		from := i * (d - estimateStretch) / (estimateStretches - 1)
		stretch(from, from+estimateStretch)
	}
	return sum
}
