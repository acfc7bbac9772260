package op

import (
	"bytes"
	"slices"
	"strings"

	"github.com/narrow-ml/narrow/tensor"
)

// Samples is one application of an operator on several independent samples:
// what a [BatchRule] is asked about. Shapes are known, of inputs and outputs.
type Samples struct {
	*Call
	N       int    // samples
	Batched []bool // inputs that hold them along axis 0; all others are constants
}

// BatchRule reports whether sample i of every output follows from sample i of
// the batched inputs alone, and is what a batch of that one sample gives. The
// caller checks that axis 0 of every output is N, that all else of the outputs' shapes
// is the same for any N, and that so are constants (but for those of role
// [Shape]): a rule is about the rest.
type BatchRule func(s *Samples) bool

// never is the rule of operators that mix samples, or of which nobody knows.
func never(*Samples) bool { return false }

// isBatched reports whether input i holds samples.
func (s *Samples) isBatched(i int) bool { return i < len(s.Batched) && s.Batched[i] }

func (s *Samples) rank(i int) int { return len(s.typ(i).Shape) }

// firstInput is the rule of operators that read samples by their first input
// alone, each by itself.
func firstInput(s *Samples) bool {
	for i := range s.Types {
		if s.has(i) && (i == 0) != s.isBatched(i) {
			return false
		}
	}
	return len(s.Types) > 0
}

// oneOutput restricts a rule to nodes with one output.
func oneOutput(rule BatchRule) BatchRule {
	return func(s *Samples) bool { return len(s.OutType) == 1 && rule(s) }
}

// elementwise is the rule of operators that compute each element from those at
// its place in the inputs, with broadcasting.
func elementwise(s *Samples) bool {
	rank := len(s.OutType[0].Shape)
	for i, t := range s.Types {
		switch {
		case !s.has(i) || s.isBatched(i) && len(t.Shape) == rank:
		case !s.isBatched(i) && (len(t.Shape) < rank || len(t.Shape) > 0 && t.Shape[0] == 1 || s.repeats(i)):
		default:
			return false
		}
	}
	return true
}

// repeats reports whether a constant is the same N samples.
func (s *Samples) repeats(i int) bool { return Repeats(s.in(i), s.N) }

// Repeats reports whether t is n times the same along axis 0.
func Repeats(t *tensor.Tensor, n int) bool {
	if t == nil || t.Rank() == 0 || t.Shape()[0] != n || t.DType() == tensor.String || t.Len() == 0 {
		return false
	}
	b := t.Bytes()
	one := len(b) / n
	for i := 1; i < n; i++ {
		if !bytes.Equal(b[:one], b[i*one:(i+1)*one]) {
			return false
		}
	}
	return true
}

// offBatch reports whether the axis attribute is not the batch's.
func (s *Samples) offBatch(def int) bool {
	a := s.Attrs.Int("axis", def)
	return a != 0 && a != -s.rank(0)
}

// byAxis is the rule of operators that work along the axis of an attribute.
func byAxis(def int) BatchRule {
	return func(s *Samples) bool { return firstInput(s) && s.offBatch(def) }
}

// alongSoftmaxAxis knows that the default axis changed with version 13.
func alongSoftmaxAxis(s *Samples) bool {
	if s.version() < 13 {
		return firstInput(s) && s.offBatch(1)
	}
	return firstInput(s) && s.offBatch(-1)
}

// leaves reports whether a list of axes is known, not empty, and without the batch's.
func (s *Samples) leaves(axes []int, known bool) bool {
	return known && len(axes) > 0 && !slices.Contains(axes, 0) && !slices.Contains(axes, -s.rank(0))
}

// list returns the integers of a constant input, or of an attribute if the input is omitted.
func (s *Samples) list(input int, attr string) (v []int, known bool) {
	if !s.has(input) {
		return s.Attrs.Ints(attr), true
	}
	t := s.in(input)
	if t == nil || t.DType() == tensor.String {
		return nil, false
	}
	return t.Ints(), true
}

func reductionSamples(s *Samples) bool {
	axes, known := s.list(1, "axes")
	if known && len(axes) == 0 && s.Attrs.Int("noop_with_empty_axes", 0) != 0 {
		return firstInput(s)
	}
	return firstInput(s) && s.leaves(axes, known)
}

// scaledSamples is the rule of operators with scales along an axis.
func scaledSamples(s *Samples) bool {
	return firstInput(s) && (s.rank(1) == 0 || s.offBatch(1))
}

func squeezeSamples(s *Samples) bool {
	axes, known := s.list(1, "axes")
	return firstInput(s) && s.leaves(axes, known)
}

func expandSamples(s *Samples) bool {
	return firstInput(s) && s.rank(0) == len(s.OutType[0].Shape)
}

func tileSamples(s *Samples) bool {
	repeats, known := s.list(1, "repeats")
	return firstInput(s) && known && len(s.Types) == 2 && len(repeats) > 0 && repeats[0] == 1
}

func transposeSamples(s *Samples) bool {
	perm := s.Attrs.Ints("perm")
	return firstInput(s) && len(perm) > 0 && perm[0] == 0
}

func concatSamples(s *Samples) bool {
	for i := range s.Types {
		if !s.isBatched(i) && !s.repeats(i) {
			return false
		}
	}
	return s.offBatch(1)
}

func gatherSamples(s *Samples) bool {
	if s.isBatched(0) {
		return firstInput(s) && s.offBatch(0)
	}
	return s.isBatched(1) && !s.offBatch(0)
}

// elementSamples is the rule of operators that pick elements along an axis by
// indices for every element.
func elementSamples(s *Samples) bool {
	for i, t := range s.Types {
		if !s.isBatched(i) && !s.repeats(i) || len(t.Shape) != s.rank(0) {
			return false
		}
	}
	return s.offBatch(0)
}

func sliceSamples(s *Samples) bool {
	axes, known := s.list(3, "")
	if !s.has(1) {
		axes, known = s.Attrs.Ints("axes"), true
	}
	return firstInput(s) && s.leaves(axes, known)
}

func padSamples(s *Samples) bool {
	pads, known := s.list(1, "pads")
	if !firstInput(s) || !known || len(pads) < 2 {
		return false
	}
	if s.has(3) {
		axes, known := s.list(3, "")
		return s.leaves(axes, known)
	}
	return pads[0] == 0 && pads[len(pads)/2] == 0
}

// matMulSamples is the rule of products of the inputs i and j.
func matMulSamples(i, j int) BatchRule {
	return func(s *Samples) bool {
		for k := range s.Types {
			if k != i && k != j && s.isBatched(k) {
				return false
			}
		}
		ra, rb := s.rank(i), s.rank(j)
		switch a, b := s.isBatched(i), s.isBatched(j); {
		case a && b:
			return ra == rb && ra >= 3
		case a:
			return ra >= 2 && (rb == 2 || rb >= 2 && rb < ra || rb == ra && s.typ(j).Shape[0] == 1)
		case b:
			return rb >= 3 && (ra < rb && ra >= 2 || ra == rb && s.typ(i).Shape[0] == 1)
		}
		return false
	}
}

func gemmSamples(s *Samples) bool {
	c := s.typ(2).Shape
	return firstInput(s) && s.Attrs.Int("transA", 0) == 0 && (len(c) < 2 || c[0] == 1)
}

func qgemmSamples(s *Samples) bool { return firstInput(s) && s.Attrs.Int("transA", 0) == 0 }

func batchNormSamples(s *Samples) bool {
	return firstInput(s) && len(s.OutType) == 1 && s.Attrs.Int("training_mode", 0) == 0 && s.Attrs.Int("is_test", 1) == 1
}

// resizeSamples: a batch that keeps its size is resized by a factor of 1 if the
// sizes were asked for, but scales could round to that.
func resizeSamples(s *Samples) bool {
	if !firstInput(s) || s.Attrs.String("coordinate_transformation_mode", "") == "tf_crop_and_resize" {
		return false
	}
	if axes := s.Attrs.Ints("axes"); len(axes) > 0 {
		return s.leaves(axes, true)
	}
	scales := s.Attrs.Floats("scales")
	if len(s.Types) > 1 {
		at := 2
		if len(s.Types) == 2 { // Upsample, and Resize before version 11
			at = 1
		}
		if t := s.in(at); t != nil && t.DType() == tensor.Float32 {
			scales = t.F32()
		} else if s.has(at) && t == nil {
			return false
		}
	}
	return len(scales) == 0 || scales[0] == 1
}

func triluSamples(s *Samples) bool { return firstInput(s) && s.rank(0) >= 3 }

func oneHotSamples(s *Samples) bool {
	axis := s.Attrs.Int("axis", -1)
	return firstInput(s) && axis != 0 && axis != -s.rank(0)-1
}

// cumulativeSamples has its axis in a constant input.
func cumulativeSamples(s *Samples) bool {
	axis, known := s.list(1, "axis")
	return firstInput(s) && s.leaves(axis, known)
}

// recurrentSamples: axis 0 is the time, unless the layout says otherwise.
func recurrentSamples(s *Samples) bool {
	return s.Attrs.Int("layout", 0) == 1 && firstInput(s)
}

// attrAxes is the rule of operators along the axes of an attribute, which by default
// take in the batch.
func attrAxes(s *Samples) bool {
	return firstInput(s) && s.leaves(s.Attrs.Ints("axes"), true)
}

func qlinearSoftmaxSamples(s *Samples) bool {
	if s.Attrs.Int("opset", 13) < 13 {
		return firstInput(s) && s.offBatch(1)
	}
	return firstInput(s) && s.offBatch(-1)
}

// qlinearConcatSamples: the tensors are every third input, from the third on.
func qlinearConcatSamples(s *Samples) bool {
	for i := range s.Types {
		if isTensor := i >= 2 && (i-2)%3 == 0; isTensor != s.isBatched(i) {
			return false
		}
	}
	axis := s.Attrs.Int("axis", 1)
	return axis != 0 && axis != -len(s.OutType[0].Shape)
}

// einsumSamples: the batch is one index, the first of all that hold samples and
// of the result, and nowhere else.
func einsumSamples(s *Samples) bool {
	left, right, ok := strings.Cut(strings.ReplaceAll(s.Attrs.String("equation", ""), " ", ""), "->")
	terms := strings.Split(left, ",")
	if !ok || len(right) == 0 || right[0] == '.' || len(terms) != len(s.Types) || strings.Count(right, right[:1]) != 1 {
		return false
	}
	for i, term := range terms {
		if at := strings.Index(term, right[:1]); at > 0 || (at == 0) != s.isBatched(i) || strings.Count(term, right[:1]) > 1 {
			return false
		}
	}
	return true
}

func normSamples(s *Samples) bool { return firstInput(s) && s.offBatch(-1) }

// transposedBatch, and those that follow, say where the batch goes.
func transposedBatch(s *Samples, axis int) int {
	perm := s.Attrs.Ints("perm")
	if perm == nil {
		return s.rank(0) - 1 - axis
	}
	return slices.Index(perm, axis)
}

// gatheredBatch: dimensions before the axis stay, those behind move by what the
// indices' rank is not 1.
func gatheredBatch(s *Samples, axis int) int {
	at, err := normAxis(s.Attrs.Int("axis", 0), s.rank(0))
	switch {
	case err != nil || at == axis || s.isBatched(1):
		return -1
	case axis > at:
		return axis - 1 + s.rank(1)
	}
	return axis
}

func splitBatch(s *Samples, axis int) int {
	if at, err := normAxis(s.Attrs.Int("axis", 0), s.rank(0)); err != nil || at == axis {
		return -1
	}
	return axis
}

func slicedBatch(s *Samples, axis int) int {
	axes, known := s.list(3, "")
	if axes, err := normAxes(axes, s.rank(0)); err != nil || !known || len(axes) == 0 || slices.Contains(axes, axis) {
		return -1
	}
	return axis
}

func squeezedBatch(s *Samples, axis int) int {
	axes, known := s.list(1, "axes")
	axes, err := normAxes(axes, s.rank(0))
	if err != nil || !known || len(axes) == 0 || slices.Contains(axes, axis) {
		return -1
	}
	for _, a := range axes {
		if a < axis {
			axis--
		}
	}
	return axis
}

func unsqueezedBatch(s *Samples, axis int) int {
	axes, known := s.list(1, "axes")
	axes, err := normAxes(axes, len(s.OutType[0].Shape))
	if err != nil || !known {
		return -1
	}
	slices.Sort(axes)
	for _, a := range axes {
		if a <= axis {
			axis++
		}
	}
	return axis
}

// elementwiseBatch: constants of as many dimensions must not differ along the batch.
func elementwiseBatch(s *Samples, axis int) int {
	rank := len(s.OutType[0].Shape)
	if axis >= rank {
		return -1 // its shape is not known
	}
	for i, t := range s.Types[1:] {
		if s.has(i+1) && (s.isBatched(i+1) || len(t.Shape) > rank || len(t.Shape) >= rank-axis && t.Shape[len(t.Shape)-rank+axis] != 1) {
			return -1
		}
	}
	return axis
}
