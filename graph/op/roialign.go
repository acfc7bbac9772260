package op

import (
	"math"
	"slices"

	"github.com/narrow-ml/narrow/tensor"
)

var _ = register(
	spec{name: "RoiAlign", min: 3, infer: inferRoiAlign, run: runRoiAlign, anyType: true}.
		is(spatial, inputs(Data, Param, Index), channelScale, keepsSign, batch(never)),
)

func inferRoiAlign(c *Call) error {
	x, rois, index := c.Types[0], c.Types[1], c.Types[2]
	h, w := c.Attrs.Int("output_height", 1), c.Attrs.Int("output_width", 1)
	if h < 1 || w < 1 || h > maxWindow || w > maxWindow || c.Attrs.Int("sampling_ratio", 0) < 0 || c.Attrs.Int("sampling_ratio", 0) > 64 {
		return badAttr("regions of %d times %d with sampling_ratio %d", h, w, c.Attrs.Int("sampling_ratio", 0))
	}
	if mode := c.Attrs.String("mode", "avg"); mode != "avg" && mode != "max" {
		return badAttr("mode is %q", mode)
	}
	shape := []int{Unknown, Unknown, h, w}
	if x.Known {
		if len(x.Shape) != 4 || x.Shape[2] == 0 || x.Shape[3] == 0 {
			return badInput("shape %v is not of pictures", x.Shape)
		}
		shape[1] = x.Shape[1]
	}
	if rois.Known {
		if len(rois.Shape) != 2 || !compatible(rois.Shape[1], 4) || index.Known && (len(index.Shape) != 1 || !compatible(index.Shape[0], rois.Shape[0])) {
			return badInput("regions of shape %v with indices of shape %v", rois.Shape, index.Shape)
		}
		shape[0] = rois.Shape[0]
	}
	c.setType(x.DType, shape)
	return nil
}

// roi is how one region is sampled along one axis: for every output cell the
// places where it is looked at.
func roi(from, to, shift float64, scale float64, cells, ratio int, least float64) [][]float64 {
	from, to = from*scale-shift, to*scale-shift
	size := max(to-from, least) / float64(cells)
	n := ratio
	if n == 0 {
		n = int(min(max(math.Ceil(size), 1), 1024))
	}
	places := make([][]float64, cells)
	for i := range places {
		for k := range n {
			places[i] = append(places[i], from+(float64(i)+(float64(k)+0.5)/float64(n))*size)
		}
	}
	return places
}

// runRoiAlign is the mean, or the largest, of the values at the places of every cell, each between
// its four neighbours; places beyond the border by more than an element are 0.
func runRoiAlign(c *Call) error {
	x, rois, shape, out := c.In[0].Float64s(), c.In[1].Float64s(), c.Types[0].Shape, c.OutType[0].Shape
	shift, least, scale := 0.5, 0.0, float64(c.Attrs.Float("spatial_scale", 1))
	if mode := c.Attrs.String("coordinate_transformation_mode", "half_pixel"); mode == "output_half_pixel" || c.version() < 16 && !c.Attrs.Has("coordinate_transformation_mode") {
		shift, least = 0, 1 // regions are at least one element
	}
	largest := c.Attrs.String("mode", "avg") == "max"
	ratio := c.Attrs.Int("sampling_ratio", 0)
	y := make([]float64, 0, tensor.Volume(out))
	for r, n := range c.In[2].Ints() {
		box := rois[4*r : 4*r+4]
		if n < 0 || n >= shape[0] || slices.ContainsFunc(box, func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }) {
			return badInput("region %v of picture %d", box, n)
		}
		columns, rows := roi(box[0], box[2], shift, scale, out[3], ratio, least), roi(box[1], box[3], shift, scale, out[2], ratio, least)
		for ch := range shape[1] {
			plane := x[(n*shape[1]+ch)*shape[2]*shape[3]:][:shape[2]*shape[3]]
			for _, ys := range rows {
				for _, xs := range columns {
					y = append(y, pooled(plane, shape[2], shape[3], ys, xs, largest))
				}
			}
		}
	}
	setFloats(c.out(0), y)
	return nil
}

func pooled(plane []float64, h, w int, ys, xs []float64, largest bool) float64 {
	sum, top := 0.0, math.Inf(-1)
	for _, y := range ys {
		for _, x := range xs {
			total, best := between4(plane, h, w, y, x)
			sum += total
			top = max(top, best)
		}
	}
	if largest {
		return top
	}
	return sum / float64(len(ys)*len(xs))
}

// between4 returns the sum of the four elements around a place, by their weights, and the
// largest of the four products, of which the definition takes the maximum.
func between4(plane []float64, h, w int, y, x float64) (total, best float64) {
	if y < -1 || y > float64(h) || x < -1 || x > float64(w) {
		return 0, 0
	}
	y, x = clamp(y, 0, float64(h-1)), clamp(x, 0, float64(w-1))
	y0, x0 := int(y), int(x)
	y1, x1 := min(y0+1, h-1), min(x0+1, w-1)
	fy, fx := y-float64(y0), x-float64(x0)
	best = math.Inf(-1)
	for _, v := range []float64{(1 - fy) * (1 - fx) * plane[y0*w+x0], (1 - fy) * fx * plane[y0*w+x1], fy * (1 - fx) * plane[y1*w+x0], fy * fx * plane[y1*w+x1]} {
		total += v
		best = max(best, v)
	}
	return total, best
}
