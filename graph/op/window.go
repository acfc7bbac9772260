package op

import (
	"slices"

	"github.com/narrow-ml/narrow/tensor"
)

// window is how a convolution or pooling slides over the spatial dimensions.
type window struct {
	kernel, strides, dilations []int
	begin, end                 []int // padding before and after
	autoPad                    string
	ceil                       bool
}

// maxWindow bounds every number of a window, so that their sums and products
// do not overflow.
const maxWindow = 1 << 20

// newWindow reads the attributes; kernel is used where kernel_shape is absent.
func newWindow(a Attrs, spatial int, kernel []int) (*window, error) {
	w := &window{kernel: a.Ints("kernel_shape"), strides: a.Ints("strides"), dilations: a.Ints("dilations"),
		autoPad: a.String("auto_pad", "NOTSET"), ceil: a.Int("ceil_mode", 0) != 0}
	if w.kernel == nil {
		w.kernel = kernel
	}
	ones := slices.Repeat([]int{1}, spatial)
	if len(w.strides) == 0 {
		w.strides = ones
	}
	if len(w.dilations) == 0 {
		w.dilations = ones
	}
	pads := a.Ints("pads")
	if len(pads) == 0 || w.autoPad != "NOTSET" && w.autoPad != "" {
		pads = make([]int, 2*spatial)
	}
	for _, l := range []struct {
		name   string
		v      []int
		n, min int
	}{{"kernel_shape", w.kernel, spatial, 1}, {"strides", w.strides, spatial, 1}, {"dilations", w.dilations, spatial, 1}, {"pads", pads, 2 * spatial, 0}} {
		if len(l.v) != l.n {
			return nil, badAttr("%s has %d numbers, %d are needed", l.name, len(l.v), l.n)
		}
		for _, v := range l.v {
			if v < l.min || v > maxWindow {
				return nil, badAttr("%s is %v", l.name, l.v)
			}
		}
	}
	if !slices.Contains([]string{"", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"}, w.autoPad) {
		return nil, badAttr("auto_pad is %q", w.autoPad)
	}
	w.begin, w.end = slices.Clone(pads[:spatial]), slices.Clone(pads[spatial:])
	return w, nil
}

// span is the distance that the window covers in dimension d.
func (w *window) span(d int) int { return w.dilations[d]*(w.kernel[d]-1) + 1 }

// outputDims returns the spatial dimensions of the output and, for automatic
// padding, fills in the padding.
func (w *window) outputDims(in []int) ([]int, error) {
	out := make([]int, len(in))
	for d, n := range in {
		if n == Unknown {
			out[d] = Unknown
			continue
		}
		if w.autoPad == "SAME_UPPER" || w.autoPad == "SAME_LOWER" {
			out[d] = (n + w.strides[d] - 1) / w.strides[d]
			pad := max(0, (out[d]-1)*w.strides[d]+w.span(d)-n)
			w.begin[d], w.end[d] = pad/2, pad-pad/2
			if w.autoPad == "SAME_LOWER" {
				w.begin[d], w.end[d] = w.end[d], w.begin[d]
			}
			continue
		}
		room := n + w.begin[d] + w.end[d] - w.span(d)
		if room < 0 {
			return nil, badInput("a window of %d does not fit dimension %d of %d padded by %d and %d", w.span(d), d, n, w.begin[d], w.end[d])
		}
		out[d] = room/w.strides[d] + 1
		// With ceil_mode a last window may stick out, if it starts inside.
		if w.ceil && room%w.strides[d] != 0 && out[d]*w.strides[d] < n+w.begin[d] {
			out[d]++
		}
	}
	return out, nil
}

// taps returns the first and one past the last tap of the window, in dimension
// d at output position o, that lie inside an input of n elements.
func (w *window) taps(d, o, n int) (lo, hi int) {
	start := o*w.strides[d] - w.begin[d]
	for hi = w.kernel[d]; hi > 0 && start+(hi-1)*w.dilations[d] >= n; hi-- {
	}
	for lo < hi && start+lo*w.dilations[d] < 0 {
		lo++
	}
	return lo, hi
}

// outputs returns the first and one past the last output position, in
// dimension d, at which tap k lies inside an input of n elements.
func (w *window) outputs(d, k, n, out int) (lo, hi int) {
	off := k*w.dilations[d] - w.begin[d]
	if off < 0 {
		lo = (-off + w.strides[d] - 1) / w.strides[d]
	}
	if n > off {
		hi = min(out, (n-1-off)/w.strides[d]+1)
	}
	return min(lo, out), max(hi, min(lo, out))
}

// spatialOf returns the spatial dimensions of an [N,C,...] type, which must
// have at least one.
func spatialOf(t Type) ([]int, error) {
	if len(t.Shape) < 3 {
		return nil, badInput("shape %v: batch, channels and at least one spatial dimension are needed", t.Shape)
	}
	return t.Shape[2:], nil
}

// eachTap calls f for every tap of the window, in row-major order.
func (w *window) eachTap(rank int, f func(tap int, index []int)) {
	index := make([]int, rank)
	for tap := 0; ; tap++ {
		f(tap, index)
		d := rank - 1
		for ; d >= 0; d-- {
			if index[d]++; index[d] < w.kernel[d] {
				break
			}
			index[d] = 0
		}
		if d < 0 {
			return
		}
	}
}

// region is the set of window positions at which one tap lies inside the
// input, and which inputs it sees there.
type region struct {
	size                []int
	position, element   int // first position and input, row-major
	posStride, elStride []int
}

// region returns where a tap lies inside an input of shape in, for windows at
// positions of shape out.
func (w *window) region(tap, in, out []int) region {
	r := region{size: make([]int, len(in)), posStride: tensor.Strides(out), elStride: tensor.Strides(in)}
	for d := range in {
		first, last := w.outputs(d, tap[d], in[d], out[d])
		r.size[d] = last - first
		r.position += first * r.posStride[d]
		r.element += (first*w.strides[d] - w.begin[d] + tap[d]*w.dilations[d]) * r.elStride[d]
		r.elStride[d] *= w.strides[d]
	}
	return r
}

// each calls f for rows of n positions and the inputs that belong to them.
func (r region) each(f func(position, element, n, posStep, elStep int)) {
	eachRow(r.size, [][]int{r.posStride, r.elStride}, func(off []int, n int, step []int) {
		f(off[0]+r.position, off[1]+r.element, n, step[0], step[1])
	})
}
