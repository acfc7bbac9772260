package op

import (
	"math"
	"slices"

	"github.com/narrow-ml/narrow/tensor"
)

var _ = register(
	spec{name: "Resize", min: 1, max: 4, infer: inferResize, run: runResize, anyType: true}.is(moving, noQ, inputs(Data, Param, Param, Shape), batch(resizeSamples)).where(resizeFlow),
	spec{name: "Upsample", min: 1, max: 2, infer: inferResize, run: runResize, anyType: true}.is(moving, noQ, inputs(Data, Param), batch(resizeSamples)).where(resizeFlow),
)

// resize is what Resize is asked to do, resolved for a shape: for every
// dimension its scale and new size.
type resize struct {
	scale     []float32
	out       []int
	roi       []float32 // start of every dimension, then end; nil for none
	mode      string
	transform string
	nearest   string
	cubicA    float32
	outside   float32 // value outside of the region of interest
	exclude   bool    // weights of taps outside the input count nothing
	antialias bool
}

// resizeModes reads the attributes that say how values are made.
func resizeModes(c *Call) (*resize, error) {
	r := &resize{
		mode: c.Attrs.String("mode", "nearest"), transform: c.Attrs.String("coordinate_transformation_mode", "half_pixel"),
		nearest: c.Attrs.String("nearest_mode", "round_prefer_floor"), cubicA: c.Attrs.Float("cubic_coeff_a", -0.75),
		outside: c.Attrs.Float("extrapolation_value", 0), exclude: c.Attrs.Int("exclude_outside", 0) != 0, antialias: c.Attrs.Int("antialias", 0) != 0,
	}
	if r.mode == "bilinear" || r.mode == "trilinear" {
		r.mode = "linear"
	}
	if !slices.Contains([]string{"nearest", "linear", "cubic"}, r.mode) {
		return nil, badAttr("mode is %q", r.mode)
	}
	if !slices.Contains([]string{"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_half_pixel_for_nn", "tf_crop_and_resize"}, r.transform) {
		return nil, badAttr("coordinate_transformation_mode is %q", r.transform)
	}
	return r, nil
}

// newResize reads attributes and inputs in the form of the version. It returns
// nil if sizes or scales are not known yet.
func newResize(c *Call) (*resize, error) {
	rank := len(c.Types[0].Shape)
	r, err := resizeModes(c)
	if err != nil {
		return nil, err
	}
	scalesAt, sizesAt := 2, 3
	if c.version() < 11 {
		r.transform, r.nearest, scalesAt, sizesAt = "asymmetric", "simple", 1, 4
	}
	axes := c.Attrs.Ints("axes")
	if axes == nil {
		for d := range rank {
			axes = append(axes, d)
		}
	}
	if axes, err = normAxes(axes, rank); err != nil {
		return nil, err
	}
	scales := c.Attrs.Floats("scales") // version 7
	if c.version() >= 9 {
		if scales, err = c.floatList(scalesAt); err != nil {
			return nil, err
		}
	}
	sizes, sizesKnown, err := c.intsInput(sizesAt)
	if err != nil || len(scales) == 0 && !sizesKnown {
		if err == nil && c.haveAll(scalesAt, sizesAt) {
			err = badInput("neither scales nor sizes are given")
		}
		return nil, err
	}
	if err := r.setSizes(c.Types[0].Shape, axes, scales, sizes, c.Attrs.String("keep_aspect_ratio_policy", "stretch")); err != nil {
		return nil, err
	}
	if r.transform == "tf_crop_and_resize" {
		roi, err := c.floatList(1)
		if err != nil {
			return nil, err
		}
		if len(roi) != 2*len(axes) {
			return nil, badInput("a region of %d numbers for %d axes", len(roi), len(axes))
		}
		r.roi = make([]float32, 2*rank)
		for d := range rank {
			r.roi[rank+d] = 1
		}
		for i, a := range axes {
			r.roi[a], r.roi[rank+a] = roi[i], roi[len(axes)+i]
		}
	}
	return r, nil
}

// haveAll reports whether none of the inputs is given but not known.
func (c *Call) haveAll(inputs ...int) bool {
	return !slices.ContainsFunc(inputs, func(i int) bool { return c.has(i) && c.in(i) == nil })
}

// floatList returns the elements of a float32 input, nil if it is omitted or
// not known.
func (c *Call) floatList(i int) ([]float32, error) {
	t := c.in(i)
	if t == nil {
		return nil, nil
	}
	if !t.DType().IsFloat() || t.Rank() > 1 {
		return nil, badInput("input %d is %s, a list of floats is needed", i, t)
	}
	return t.Float32s(), nil
}

func (r *resize) setSizes(in, axes []int, scales []float32, sizes []int, policy string) error {
	r.scale, r.out = slices.Repeat([]float32{1}, len(in)), slices.Clone(in)
	if len(scales) > 0 {
		if len(scales) != len(axes) {
			return badInput("%d scales for %d axes", len(scales), len(axes))
		}
		for i, a := range axes {
			if !(scales[i] > 0) || math.IsInf(float64(scales[i]), 0) {
				return badInput("scales are %v", scales)
			}
			r.scale[a] = scales[i]
			if in[a] == Unknown {
				continue
			}
			n := float64(float32(in[a]) * scales[i])
			if n > maxWindow {
				return badInput("dimension %d would have %g elements", a, n)
			}
			r.out[a] = int(n)
		}
		return nil
	}
	if len(sizes) != len(axes) {
		return badInput("%d sizes for %d axes", len(sizes), len(axes))
	}
	for i, a := range axes {
		if sizes[i] < 0 || sizes[i] > maxWindow || in[a] == 0 && sizes[i] > 0 {
			return badInput("sizes are %v for shape %v", sizes, in)
		}
		r.out[a] = sizes[i]
		if in[a] > 0 {
			r.scale[a] = float32(sizes[i]) / float32(in[a])
		}
	}
	if policy == "stretch" {
		return nil
	}
	return r.keepAspect(in, axes, policy)
}

// keepAspect gives all axes the least (not_larger) or the greatest of their
// scales.
func (r *resize) keepAspect(in, axes []int, policy string) error {
	if policy != "not_larger" && policy != "not_smaller" {
		return badAttr("keep_aspect_ratio_policy is %q", policy)
	}
	scale := float32(math.NaN())
	for _, a := range axes {
		s := r.scale[a]
		if scale != scale || (policy == "not_larger") == (s < scale) {
			scale = s
		}
	}
	for _, a := range axes {
		r.scale[a] = scale
		if in[a] != Unknown {
			r.out[a] = int(math.Floor(float64(scale*float32(in[a])) + 0.5))
		}
	}
	return nil
}

func inferResize(c *Call) error {
	x := c.Types[0]
	c.OutType[0] = Type{DType: x.DType}
	if !x.Known {
		return nil
	}
	r, err := newResize(c)
	if err != nil {
		return err
	}
	shape := unknownShape(len(x.Shape))
	if r != nil {
		shape = r.out
	}
	for d := range shape {
		if x.Shape[d] == Unknown && r != nil && r.scale[d] != 1 && !c.has(3) {
			shape[d] = Unknown
		}
	}
	c.setType(x.DType, shape)
	return nil
}

// tap is one input position that goes into an output, with its weight.
type tap struct {
	at     int
	weight float32
}

// coordinate returns where output position o lies in input dimension d of n
// elements.
func (r *resize) coordinate(d, o, n int) float32 {
	x, scale, size := float32(o), r.scale[d], r.out[d]
	switch r.transform {
	case "asymmetric":
		return x / scale
	case "pytorch_half_pixel":
		if size <= 1 {
			return 0
		}
	case "tf_half_pixel_for_nn":
		return (x + 0.5) / scale
	case "align_corners":
		if size <= 1 {
			return 0
		}
		return x * float32(n-1) / float32(size-1)
	case "half_pixel_symmetric":
		adjust := float32(size) / float32(scale*float32(n))
		return float32(n)/2*(1-adjust) + float32((x+0.5)/scale) - 0.5
	case "tf_crop_and_resize":
		start, end := r.roi[d], r.roi[len(r.out)+d]
		if size <= 1 {
			return 0.5 * (start + end) * float32(n-1)
		}
		return float32(start*float32(n-1)) + x*(end-start)*float32(n-1)/float32(size-1)
	}
	return (x+0.5)/scale - 0.5
}

// taps returns what goes into every output position of dimension d; nil for a
// position outside of the region of interest.
func (r *resize) taps(d, n int) [][]tap {
	all := make([][]tap, r.out[d])
	for o := range all {
		x := r.coordinate(d, o, n)
		switch {
		case r.roi != nil && (x < 0 || x > float32(n-1)):
		case r.mode == "nearest":
			all[o] = []tap{{min(max(r.nearestTo(x, r.scale[d]), 0), n-1), 1}}
		default:
			all[o] = r.weigh(x, r.scale[d], n)
		}
	}
	return all
}

func (r *resize) nearestTo(x, scale float32) int {
	v := float64(x)
	switch r.nearest {
	case "floor":
		return int(math.Floor(v))
	case "ceil":
		return int(math.Ceil(v))
	case "round_prefer_ceil":
		return int(math.Floor(v + 0.5))
	case "simple": // what versions before 11 did
		if scale < 1 {
			return int(math.Ceil(v))
		}
		return int(math.Floor(v))
	}
	return int(math.Ceil(v - 0.5))
}

// weigh returns the taps around x of the linear or cubic filter, which is
// stretched by the scale when antialiasing a reduction.
func (r *resize) weigh(x, scale float32, n int) []tap {
	reach, kernel := float32(1), triangle
	if r.mode == "cubic" {
		reach, kernel = 2, func(v float32) float32 { return keys(v, r.cubicA) }
	}
	stretch := float32(1)
	if r.antialias && scale < 1 {
		stretch = scale
	}
	first := int(math.Floor(float64(x-reach/stretch))) + 1
	last := int(math.Ceil(float64(x+reach/stretch))) - 1
	var taps []tap
	var sum float32
	for i := first; i <= last; i++ {
		w := kernel((float32(i) - x) * stretch)
		if r.exclude && (i < 0 || i >= n) {
			continue
		}
		taps = append(taps, tap{min(max(i, 0), n-1), w})
		sum += w
	}
	if r.exclude || stretch != 1 {
		for i := range taps {
			taps[i].weight /= sum
		}
	}
	return taps
}

func triangle(x float32) float32 { return max(0, 1-float32(math.Abs(float64(x)))) }

// keys is the cubic convolution filter of Keys (1981) with parameter a.
func keys(x, a float32) float32 {
	v, b := math.Abs(float64(x)), float64(a)
	switch {
	case v <= 1:
		return float32(((b+2)*v-(b+3))*v*v + 1)
	case v < 2:
		return float32(((b*v-5*b)*v+8*b)*v - 4*b)
	}
	return 0
}

func runResize(c *Call) error {
	r, err := newResize(c)
	if err != nil {
		return err
	}
	x, dst := c.In[0], c.out(0)
	if dst.Len() == 0 {
		return nil
	}
	if x.Len() == 0 {
		return badInput("cannot resize shape %v to %v", x.Shape(), r.out)
	}
	if r.mode == "nearest" && r.roi == nil {
		index := make([][]int, x.Rank())
		for d, n := range x.Shape() {
			index[d] = mapSlice(r.taps(d, n), func(t []tap) int { return t[0].at })
		}
		copyIndexed(dst, x, index)
		return nil
	}
	if x.DType() == tensor.String {
		return badInput("cannot interpolate strings")
	}
	values, shape := x.Float32s(), slices.Clone(x.Shape())
	for d, n := range x.Shape() {
		if r.out[d] == n && r.scale[d] == 1 && r.roi == nil {
			continue
		}
		values = resample(values, shape, d, r.taps(d, n), r.outside)
		shape[d] = r.out[d]
	}
	setFloats(dst, values)
	return nil
}

// resample computes the weighted sums along one dimension.
func resample(x []float32, shape []int, d int, taps [][]tap, outside float32) []float32 {
	outer, n, inner := tensor.Volume(shape[:d]), shape[d], tensor.Volume(shape[d+1:])
	out := make([]float32, outer*len(taps)*inner)
	for o := range outer {
		for i, list := range taps {
			y := out[(o*len(taps)+i)*inner:][:inner]
			if list == nil {
				for k := range y {
					y[k] = outside
				}
			}
			for _, t := range list {
				axpy(y, x[(o*n+t.at)*inner:][:inner], t.weight)
			}
		}
	}
	return out
}

// resizeFlow: only the nearest element is moved; all else computes.
func resizeFlow(c *Call, t *Traits) {
	mode := c.Attrs.String("mode", "nearest")
	if mode != "nearest" {
		t.Flow = OneToOne
	}
	if mode == "cubic" || c.Attrs.Float("extrapolation_value", 0) != 0 {
		t.Sign = AnySign
	}
}
