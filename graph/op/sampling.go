package op

import (
	"math"
	"slices"

	"github.com/narrow-ml/narrow/tensor"
)

// Operators that take elements from places that are computed.
var _ = register(
	spec{name: "GridSample", min: 2, infer: inferGridSample, run: runGridSample, anyType: true}.
		is(spatial, inputs(Data, Param), tensorScale, batch(everyInput)).where(gridSampleSign),
	spec{name: "AffineGrid", min: 2, infer: inferAffineGrid, run: runAffineGrid, anyType: true}.
		is(plain, inputs(Param, Shape), tensors, batch(firstInput)),
)

// gridSampleSign: what is between two elements has their sign, but for cubic
// curves.
func gridSampleSign(c *Call, t *Traits) {
	if m := c.Attrs.String("mode", "linear"); m != "cubic" && m != "bicubic" {
		t.Sign = KeepsSign
	}
}

func inferGridSample(c *Call) error {
	x, grid := c.Types[0], c.Types[1]
	c.OutType[0] = Type{DType: x.DType}
	if err := c.wantType(1, floatTypes...); err != nil || x.DType == tensor.String {
		return err
	}
	if !x.Known || !grid.Known {
		return nil
	}
	r := len(x.Shape) - 2
	if r < 1 || len(grid.Shape) != r+2 || !compatible(grid.Shape[r+1], r) || !compatible(grid.Shape[0], x.Shape[0]) {
		return badInput("a grid of shape %v for input of shape %v", grid.Shape, x.Shape)
	}
	for _, n := range x.Shape[2:] {
		if n == 0 {
			return badInput("shape %v has no elements to sample", x.Shape)
		}
	}
	c.setType(x.DType, append(slices.Clone(x.Shape[:2]), grid.Shape[1:r+1]...))
	return nil
}

// sampler reads a picture of some dimensions at places between its elements.
type sampler struct {
	shape, strides []int
	padding        string // "zeros", "border", "reflection"
	corners        bool   // -1 and 1 are the centers of the outermost elements
	weights        func(at float64) (first int, w []float64)
}

func newSampler(c *Call, shape []int) (*sampler, error) {
	s := &sampler{shape: shape, strides: tensor.Strides(shape), padding: c.Attrs.String("padding_mode", "zeros"), corners: c.Attrs.Int("align_corners", 0) != 0}
	switch mode := c.Attrs.String("mode", "linear"); mode {
	case "linear", "bilinear":
		s.weights = func(at float64) (int, []float64) {
			f := math.Floor(at)
			return int(f), []float64{1 - (at - f), at - f}
		}
	case "nearest":
		s.weights = func(at float64) (int, []float64) { return int(math.RoundToEven(at)), []float64{1} }
	case "cubic", "bicubic":
		s.weights = func(at float64) (int, []float64) {
			f := math.Floor(at)
			return int(f) - 1, cubicWeights(at-f, -0.75)
		}
	default:
		return nil, badAttr("mode is %q", mode)
	}
	if !slices.Contains([]string{"zeros", "border", "reflection"}, s.padding) {
		return nil, badAttr("padding_mode is %q", s.padding)
	}
	return s, nil
}

// place returns the position of v in [-1,1] along a dimension of n elements.
func (s *sampler) place(v float64, n int) float64 {
	at := ((v+1)*float64(n) - 1) / 2
	lo, hi := -0.5, float64(n)-0.5
	if s.corners {
		at = (v + 1) / 2 * float64(n-1)
		lo, hi = 0, float64(n-1)
	}
	switch {
	case at != at || math.Abs(at) > 1e9:
		at = -2 // far outside
	case s.padding == "border":
		at = clamp(at, 0, float64(n-1))
	case s.padding == "reflection":
		at = reflected(at, lo, hi)
	}
	return at
}

// reflected folds x into [lo,hi].
func reflected(x, lo, hi float64) float64 {
	if hi <= lo {
		return lo
	}
	d := math.Mod(math.Abs(x-lo), 2*(hi-lo))
	return lo + min(d, 2*(hi-lo)-d)
}

// inside returns the element of a dimension of n for index i, -1 for none.
func (s *sampler) inside(i, n int) int {
	switch {
	case i >= 0 && i < n:
		return i
	case s.padding == "border":
		return min(max(i, 0), n-1)
	case s.padding == "reflection":
		lo, hi := -0.5, float64(n)-0.5
		if s.corners {
			lo, hi = 0, float64(n-1)
		}
		return min(max(int(math.Round(reflected(float64(i), lo, hi))), 0), n-1)
	}
	return -1
}

// at returns the value of x at a place, along the dimensions from d on.
func (s *sampler) at(x []float64, place []float64, d, offset int) float64 {
	if d == len(s.shape) {
		return x[offset]
	}
	first, w := s.weights(place[d])
	sum := 0.0
	for k, weight := range w {
		if i := s.inside(first+k, s.shape[d]); i >= 0 && weight != 0 {
			sum += weight * s.at(x, place, d+1, offset+i*s.strides[d])
		}
	}
	return sum
}

func runGridSample(c *Call) error {
	shape := c.Types[0].Shape
	s, err := newSampler(c, shape[2:])
	if err != nil {
		return err
	}
	x, grid := c.In[0].Float64s(), c.In[1].Float64s()
	out := c.OutType[0].Shape
	r, size, places := len(shape)-2, tensor.Volume(shape[2:]), tensor.Volume(out[2:])
	y := make([]float64, tensor.Volume(out))
	place := make([]float64, r)
	for n := range shape[0] {
		for p := range places {
			for d := range r { // the grid has the last dimension first
				place[d] = s.place(grid[(n*places+p)*r+r-1-d], shape[2+d])
			}
			for ch := range shape[1] {
				plane := n*shape[1] + ch
				y[plane*places+p] = s.at(x[plane*size:(plane+1)*size], place, 0, 0)
			}
		}
	}
	setFloats(c.out(0), y)
	return nil
}

func inferAffineGrid(c *Call) error {
	theta := c.Types[0]
	c.OutType[0] = Type{DType: theta.DType}
	if err := c.wantType(0, floatTypes...); err != nil {
		return err
	}
	size, ok, err := c.intsInput(1)
	if err != nil || !ok {
		return err
	}
	r := len(size) - 2
	if r != 2 && r != 3 || slices.ContainsFunc(size, func(n int) bool { return n < 0 }) {
		return badInput("a grid of size %v", size)
	}
	if theta.Static() && !slices.Equal(theta.Shape, []int{size[0], r, r + 1}) {
		return badInput("theta of shape %v for a grid of size %v", theta.Shape, size)
	}
	c.setType(theta.DType, append(append([]int{size[0]}, size[2:]...), r))
	return nil
}

// runAffineGrid applies every matrix to the places of a grid over [-1,1].
func runAffineGrid(c *Call) error {
	theta, shape := c.In[0].Float64s(), c.OutType[0].Shape
	r := len(shape) - 2
	space := shape[1 : r+1]
	y := make([]float64, 0, tensor.Volume(shape))
	place := make([]float64, r+1)
	place[r] = 1
	for n := range shape[0] {
		for p := range tensor.Volume(space) {
			for d, rest := r-1, p; d >= 0; d-- { // the last dimension is x
				place[r-1-d] = gridPlace(rest%space[d], space[d], c.Attrs.Int("align_corners", 0) != 0)
				rest /= space[d]
			}
			for row := range r {
				y = append(y, dot(place, theta[(n*r+row)*(r+1):]))
			}
		}
	}
	setFloats(c.out(0), y)
	return nil
}

func gridPlace(i, n int, corners bool) float64 {
	if corners {
		if n == 1 {
			return 0
		}
		return -1 + 2*float64(i)/float64(n-1)
	}
	return (2*float64(i)+1)/float64(n) - 1
}

// cubicWeights returns the weights of the four elements around a place, t behind
// the second one.
func cubicWeights(t float64, a float32) []float64 {
	w := make([]float64, 4)
	for i := range w {
		w[i] = float64(keys(float32(math.Abs(t+1-float64(i))), a))
	}
	return w
}
