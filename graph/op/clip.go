package op

import (
	"math"

	"github.com/narrow-ml/narrow/tensor"
)

var _ = register(
	spec{name: "Clip", min: 1, max: 3, infer: inferClip, run: byNumber{f32: clip[float32], f64: clip[float64], i8: clip[int8], u8: clip[uint8],
		i16: clip[int16], u16: clip[uint16], i32: clip[int32], u32: clip[uint32], i64: clip[int64], u64: clip[uint64]}.run}.is(function, flow(OneToOne, noQ), clamps(clipBounds)).where(clipTraits),
)

func inferClip(c *Call) error {
	for i := 1; i < len(c.Types); i++ {
		if b := c.in(i); b != nil && (b.Len() != 1 || c.Types[0].DType != tensor.Undefined && b.DType() != c.Types[0].DType) {
			return badInput("limit is %s, one %s is needed", b, c.Types[0].DType)
		}
	}
	return sameNumeric(c)
}

// clip keeps x in [min,max]; both were attributes before version 11.
func clip[T number](c *Call) error {
	limits := [2]*T{}
	for i, name := range []string{"min", "max"} {
		if c.version() < 11 && c.Attrs.Has(name) {
			v := T(c.Attrs.Float(name, 0))
			limits[i] = &v
		} else if b := c.in(i + 1); b != nil {
			limits[i] = &tensor.Data[T](b)[0]
		}
	}
	mapInto(tensor.Data[T](c.out(0)), tensor.Data[T](c.In[0]), func(v T) T {
		if limits[0] != nil && v < *limits[0] {
			v = *limits[0]
		}
		if limits[1] != nil && v > *limits[1] {
			v = *limits[1]
		}
		return v
	})
	return nil
}

// clipBounds returns the bounds, infinite where there are none; ok is false if
// they are not constant.
func clipBounds(c *Call) (lo, hi float64, ok bool) {
	bounds := [2]float64{math.Inf(-1), math.Inf(1)}
	for i, name := range []string{"min", "max"} {
		if !c.has(i + 1) { // an attribute before version 11
			bounds[i] = float64(c.Attrs.Float(name, float32(bounds[i])))
			continue
		}
		b := c.in(i + 1)
		if b == nil || b.Len() != 1 || b.DType() == tensor.String {
			return 0, 0, false
		}
		bounds[i] = b.Float64s()[0]
	}
	return bounds[0], bounds[1], true
}

// clipTraits: with constant bounds the range is theirs, and the sign stays if 0
// is within.
func clipTraits(c *Call, t *Traits) {
	lo, hi, ok := clipBounds(c)
	if !ok {
		return
	}
	t.Range = Interval{lo, max(lo, hi)}
	switch {
	case lo <= 0 && hi >= 0:
		t.Sign = KeepsSign
	case hi >= 0:
		t.Sign = NonNegative
	}
	if (lo == 0 || math.IsInf(lo, -1)) && (hi == 0 || math.IsInf(hi, 1)) {
		t.Scale = ChannelScale
	}
}
