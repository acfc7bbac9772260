package c

import (
	"fmt"
	"math"

	"github.com/narrow-ml/narrow/program"
	"github.com/narrow-ml/narrow/tensor"
)

// layer is an affine step made ready to be written: its weights by filter, and all that can be
// known of a sum before it is made in its bias.
type layer struct {
	id               int
	name             string
	window           program.Geometry
	in, out          *program.Tensor
	filters          int // of a group
	length           int // weights of a filter
	weights          []int
	bias             []int64 // by filter: of the file, less the input's zero point times the weights
	signed           bool    // the input
	padding          int     // what stands outside of the input
	together, direct bool    // the rows of a window lie together in memory; they are read there
	patch            int     // bytes of a window as the kernel wants it
	kernel           *kernel

	requant  *program.Requant // nil: the sums are the result
	residual *program.Residual
}

// newLayer makes the layer of an affine step.
func newLayer(id int, s *program.Step, in, out *program.Tensor, g program.Geometry, a *program.Affine) (*layer, error) {
	l := &layer{id: id, name: s.Name, window: g, in: in, out: out, weights: a.Weights.Ints(), requant: a.Requant, residual: a.Residual,
		signed: in.DType == tensor.Int8, padding: a.ZeroIn, filters: a.Weights.PerGroup}
	channels := a.Weights.Channels()
	l.length = len(l.weights) / channels
	l.bias = make([]int64, channels)
	for o := range l.bias {
		if a.Bias != nil {
			l.bias[o] = int64(a.Bias[o])
		}
		for _, w := range l.filter(o) {
			if w < -128 || w > 127 {
				return nil, fmt.Errorf("export: %q has weights that do not fit 8 signed bits once their zero point is subtracted: quantize them with zero points of 0", s.Name)
			}
			l.bias[o] -= int64(w) * int64(a.ZeroIn)
		}
		if lo, hi := l.sums(o); lo < math.MinInt32 || hi > math.MaxInt32 {
			return nil, fmt.Errorf("export: the sums of %q, channel %d, do not fit 32 bits: its bias is too large", s.Name, o)
		}
	}
	return l, nil
}

// filter returns the weights of output channel o.
func (l *layer) filter(o int) []int { return l.weights[o*l.length:][:l.length] }

// sums returns the bounds of all that a sum of channel o goes through.
func (l *layer) sums(o int) (lo, hi int64) {
	xlo, xhi := int64(0), int64(255)
	if l.signed {
		xlo, xhi = -128, 127
	}
	lo, hi = min(l.bias[o], 0), max(l.bias[o], 0)
	for _, w := range l.filter(o) {
		a, b := int64(w)*xlo, int64(w)*xhi
		lo, hi = lo+min(a, b, 0), hi+max(a, b, 0)
	}
	return lo, hi
}

// started returns the bias as the kernel wants it.
func (l *layer) started() []int64 {
	if l.kernel.start == nil || l.depthwise() {
		return l.bias
	}
	bias := make([]int64, len(l.bias))
	for o := range bias {
		bias[o] = l.bias[o] + l.kernel.start(l, o)
	}
	return bias
}

// depthwise reports whether each channel has a filter of its own.
func (l *layer) depthwise() bool {
	return l.window.Groups == l.in.C && l.filters == 1 && l.window.Groups > 1 && l.requant != nil
}

// atOnce returns how many pixels are computed at once.
func (l *layer) atOnce() int {
	if l.kernel == portable && !l.depthwise() {
		return 2
	}
	return 1
}

// rescaling is a [program.Requant] as C computes it.
type rescaling struct {
	how          string
	shift        int
	shifts       []int
	mul          []int32
	zero, lo, hi int
	bias         []int64 // with the rounding and the zero point, where they fit
	from         *program.Requant
}

// rescale chooses the cheapest form that gives r's integers for sums within bounds.
func rescale(r *program.Requant, bias []int64, bounds func(o int) (lo, hi int64)) (*rescaling, error) {
	if r == nil {
		return &rescaling{how: "AS_SUM", bias: bias}, nil
	}
	c := &rescaling{from: r, zero: r.Zero, lo: r.Lo, hi: r.Hi, bias: bias, shifts: make([]int, len(r.Shift))}
	for o, n := range r.Shift {
		c.shifts[o] = int(n)
	}
	switch r.Mode {
	case program.ModeShift:
		if !c.foldRounding(bounds) {
			c.byProducts()
		}
	case program.ModeMultiplier:
		c.how, c.mul = "BY_HIGH", r.Mul
		for _, n := range c.shifts {
			if n < 33 {
				c.how = "BY_PRODUCT"
			}
		}
		if c.how == "BY_HIGH" {
			for o := range c.shifts {
				c.shifts[o] -= 32
			}
		}
	default:
		return nil, fmt.Errorf("it is rescaled by a float")
	}
	return c, nil
}

// foldRounding puts half of what is shifted out, and the zero point, into the bias; false
// if a shift is to the left or a sum would not fit.
func (c *rescaling) foldRounding(bounds func(o int) (lo, hi int64)) bool {
	bias := make([]int64, len(c.bias))
	same := true
	for o, n := range c.shifts {
		if n < 0 || n > 31 {
			return false
		}
		add := rounding(c.from, o)
		lo, hi := bounds(o)
		if lo+min(add, 0) < math.MinInt32 || hi+max(add, 0) > math.MaxInt32 {
			return false
		}
		bias[o] = c.bias[o] + add
		same = same && n == c.shifts[0]
	}
	c.how, c.bias, c.zero = "BY_SHIFTS", bias, 0
	if same {
		c.how, c.shift = "BY_SHIFT", c.shifts[0]
	}
	return true
}

// rounding returns what is put into the bias of channel o so that nothing but a shift remains: half of
// what is shifted out, and the zero point.
func rounding(r *program.Requant, o int) int64 {
	if r == nil || r.Mode != program.ModeShift || r.Shift[o] < 0 {
		return 0
	}
	n := r.Shift[o]
	return int64(r.Zero)<<n + 1<<n>>1
}

// byProducts makes shifts that do not fit 32 bits, or go to the left, products in 64.
func (c *rescaling) byProducts() {
	c.how, c.mul = "BY_PRODUCT", make([]int32, len(c.shifts))
	for o, n := range c.shifts {
		c.mul[o] = 1 << max(-n, 0)
		c.shifts[o] = max(n, 0)
	}
}
