package op

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/narrow-ml/narrow/tensor"
)

// attrNames are all attributes that operators read.
var attrNames = struct{ ints, lists, floats, words []string }{
	ints: []string{"axis", "group", "keepdims", "to", "axes", "ceil_mode", "count_include_pad", "storage_order", "transA", "transB", "allowzero",
		"noop_with_empty_axes", "select_last_index", "blocksize", "num_outputs", "size", "num_groups", "batch_dims", "p", "block_size", "output_dtype",
		"broadcast", "start", "end", "k", "largest", "upper", "exclusive", "reverse", "time_axis", "batch_axis", "training_mode", "dtype", "fmod", "antialias", "exclude_outside"},
	lists:  []string{"pads", "strides", "dilations", "kernel_shape", "axes", "perm", "shape", "output_shape", "output_padding", "starts", "ends", "split"},
	floats: []string{"alpha", "beta", "epsilon", "min", "max", "value", "momentum", "extrapolation_value"},
	words:  []string{"mode", "auto_pad", "coordinate_transformation_mode", "nearest_mode", "keep_aspect_ratio_policy", "reduction", "equation"},
}

var words = []string{"SAME_UPPER", "SAME_LOWER", "VALID", "reflect", "edge", "wrap", "linear", "cubic", "nearest", "align_corners", "asymmetric", "tf_crop_and_resize",
	"half_pixel_symmetric", "floor", "ceil", "not_larger", "not_smaller", "add", "max", "ij,jk->ik", "...a,a", "ii", "->", "i,,j", "CRD", "nonsense", ""}

// hostile are numbers that break what does not check.
var hostile = []int64{0, -1, 1, 2, 3, 5, 7, -2, -5, 16, 64, 1 << 20, 1 << 31, 1 << 40, math.MaxInt64, math.MinInt64}

func randomInt(r *rand.Rand) int64 {
	if r.IntN(3) > 0 {
		return int64(r.IntN(4))
	}
	return hostile[r.IntN(len(hostile))]
}

func randomInts(r *rand.Rand) []int64 {
	v := make([]int64, r.IntN(7))
	for i := range v {
		v[i] = randomInt(r)
	}
	return v
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

func randomAttrs(r *rand.Rand) Attrs {
	a := make(Attrs)
	for range r.IntN(5) {
		a[pick(r, attrNames.ints)] = randomInt(r)
	}
	for range r.IntN(4) {
		a[pick(r, attrNames.lists)] = randomInts(r)
	}
	for range r.IntN(2) {
		a[pick(r, attrNames.floats)] = float32(r.NormFloat64())
		a[pick(r, attrNames.words)] = pick(r, words)
	}
	return a
}

func randomShape(r *rand.Rand) []int {
	shape := make([]int, r.IntN(6))
	for i := range shape {
		shape[i] = pick(r, []int{0, 1, 1, 2, 2, 3, 4, 5})
	}
	return shape
}

// randomTensor makes tensors whose shapes often fit each other: first is the
// shape of the first input.
func randomTensor(r *rand.Rand, d tensor.DType, first []int) *tensor.Tensor {
	shape := randomShape(r)
	switch r.IntN(6) {
	case 0, 1:
		shape = first
	case 2:
		shape = nil
	case 3:
		shape = first[min(1, len(first)):min(2, len(first))]
	case 4:
		if d == tensor.Int64 {
			v := randomInts(r)
			return tensor.From(v, len(v))
		}
	}
	t := tensor.New(d, shape...)
	switch d {
	case tensor.String:
	case tensor.Int64:
		for i := range t.I64() {
			t.I64()[i] = randomInt(r)
		}
	default:
		values := make([]float64, t.Len())
		for i := range values {
			if values[i] = 3 * r.NormFloat64(); r.IntN(20) == 0 {
				values[i] = pick(r, []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, 1e30})
			}
		}
		setFloats(t, values)
	}
	return t
}

func randomCall(r *rand.Rand) *Call {
	c := &Call{Attrs: randomAttrs(r), Version: r.IntN(23), Out: make([]*tensor.Tensor, 1+r.IntN(2)*r.IntN(3))}
	types := []tensor.DType{tensor.Float32, tensor.Float32, tensor.Float32, tensor.Float16, tensor.Float64, tensor.Int8, tensor.Uint8, tensor.Int32,
		tensor.Int64, tensor.Int64, tensor.Bool, tensor.String, tensor.Int4, tensor.Uint64}
	first, d := randomShape(r), pick(r, types)
	for range r.IntN(6) {
		if r.IntN(2) == 0 {
			d = pick(r, types)
		}
		t := randomTensor(r, d, first)
		if r.IntN(12) == 0 {
			t = nil
		}
		if len(c.In) == 0 && t != nil {
			first = t.Shape()
		}
		c.In = append(c.In, t)
	}
	return c
}

// checkCall runs one operator on one call: no panic, no giant, and inference
// that says the same. It reports whether the operator took the call.
func checkCall(t *testing.T, o *Op, c *Call) bool {
	t.Helper()
	before := make([][]float64, len(c.In))
	for i, in := range c.In {
		if in != nil && in.DType() != tensor.String {
			before[i] = in.Float64s()
		}
	}
	if err := o.Run(c); err != nil {
		if errors.Is(err, errInternal) || !errors.Is(err, ErrInput) && !errors.Is(err, ErrAttr) {
			t.Errorf("%s version %d %v %v: %v", o.Name, c.Version, c.Attrs, c.In, err)
		}
		return false
	}
	for i, in := range c.In {
		if before[i] != nil && !slices.EqualFunc(before[i], in.Float64s(), func(a, b float64) bool { return a == b || a != a && b != b }) {
			t.Errorf("%s %v %v: input %d was changed", o.Name, c.Attrs, c.In, i)
		}
	}
	for i, out := range c.Out {
		if out == nil {
			t.Errorf("%s %v %v: output %d is not set", o.Name, c.Attrs, c.In, i)
			return true
		}
	}
	checkInferred(t, o, c)
	return true
}

// limitElements lowers the size limit while a test runs.
func limitElements(t *testing.T) {
	old := maxElements
	maxElements = 1 << 16
	t.Cleanup(func() { maxElements = old })
}

func sortedOps() []*Op {
	var all []*Op
	for _, o := range table {
		all = append(all, o)
	}
	slices.SortFunc(all, func(a, b *Op) int {
		if a.Domain+a.Name < b.Domain+b.Name {
			return -1
		}
		return 1
	})
	return all
}

func TestRandomCalls(t *testing.T) {
	limitElements(t)
	for i, o := range sortedOps() {
		t.Run(o.Name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, uint64(i)))
			for n := 0; n < 1500 && !t.Failed(); n++ {
				checkCall(t, o, randomCall(r))
			}
		})
	}
}

func FuzzOps(f *testing.F) {
	all := sortedOps()
	for i := range all {
		f.Add(uint16(i), uint64(i))
	}
	f.Fuzz(func(t *testing.T, operator uint16, seed uint64) {
		limitElements(t)
		checkCall(t, all[int(operator)%len(all)], randomCall(rand.New(rand.NewPCG(seed, 0))))
	})
}
