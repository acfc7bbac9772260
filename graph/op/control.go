package op

import (
	"slices"

	"github.com/narrow-ml/narrow/tensor"
)

// Control flow. The graphs that these operators run are attributes, which this
// package knows nothing about: who makes the call runs them, by [Call.Body].
var _ = register(
	spec{name: "If", min: 1, outs: variadic, infer: inferIf, run: runIf, anyType: true}.is(plain, inputs(Index), batch(never)),
	spec{name: "Loop", min: 2, max: variadic, outs: variadic, infer: inferLoop, run: runLoop, anyType: true, omits: true}.is(plain, inputs(Index, Index, Data), batch(never)),
	spec{name: "Scan", min: 1, max: variadic, outs: variadic, infer: inferScan, run: runScan, anyType: true, omits: true}.is(plain, inputs(Data), tensors, batch(never)),
)

// errNoBody is what control flow gives where nobody runs its graphs.
var errNoBody = badAttr("control flow is not run here")

// bodyTypes returns what is known of the results of a graph, nil if nothing is.
func (c *Call) bodyTypes(name string, inputs ...Type) []Type {
	if c.BodyTypes == nil {
		return nil
	}
	return c.BodyTypes(name, inputs)
}

// condition returns the one element of a bool tensor.
func condition(t *tensor.Tensor) (bool, error) {
	if t.DType() != tensor.Bool || t.Len() != 1 {
		return false, badInput("the condition is %s, one bool is needed", t)
	}
	return tensor.Data[bool](t)[0], nil
}

func branch(yes bool) string {
	if yes {
		return "then_branch"
	}
	return "else_branch"
}

func inferIf(c *Call) error {
	if err := c.wantType(0, tensor.Bool); err != nil {
		return err
	}
	if c.in(0) != nil {
		yes, err := condition(c.in(0))
		if err != nil {
			return err
		}
		copy(c.OutType, c.bodyTypes(branch(yes)))
		return nil
	}
	a, b := c.bodyTypes(branch(true)), c.bodyTypes(branch(false))
	for i := range c.OutType {
		if i < len(a) && i < len(b) {
			c.OutType[i] = common(a[i], b[i])
		}
	}
	return nil
}

// common returns what is known of a value that has one of two types.
func common(a, b Type) Type {
	t := Type{DType: a.DType}
	if a.DType != b.DType {
		t.DType = tensor.Undefined
	}
	if !a.Known || !b.Known || len(a.Shape) != len(b.Shape) {
		return t
	}
	t.Known, t.Shape = true, slices.Clone(a.Shape)
	for i, d := range b.Shape {
		if t.Shape[i] != d {
			t.Shape[i] = Unknown
		}
	}
	return t
}

func runIf(c *Call) error {
	if c.Body == nil {
		return errNoBody
	}
	yes, err := condition(c.In[0])
	if err != nil {
		return err
	}
	outs, err := c.Body(branch(yes), nil)
	if err != nil {
		return err
	}
	return c.results(outs)
}

// results sets the outputs, as many as are asked for.
func (c *Call) results(outs []*tensor.Tensor) error {
	if len(outs) < len(c.Out) {
		return badAttr("the graph makes %d results, %d are asked for", len(outs), len(c.Out))
	}
	copy(c.Out, outs)
	return nil
}

// inferLoop knows the element types, and the shape of what keeps it.
func inferLoop(c *Call) error {
	if err := c.wantType(1, tensor.Bool); err != nil {
		return err
	}
	if c.Body == nil { // else it is run, which tells more
		c.loopTypes(false)
	}
	return nil
}

// loopTypes sets the types of the outputs from those of one round; shapes says that what is carried keeps the shape it
// has at first.
func (c *Call) loopTypes(shapes bool) {
	carried := len(c.Types) - 2
	given := []Type{{DType: tensor.Int64, Known: true}, {DType: tensor.Bool, Known: true}}
	for _, t := range c.Types[2:] {
		if !shapes {
			t = Type{DType: t.DType}
		}
		given = append(given, t)
	}
	made := c.bodyTypes("body", given...)
	for i := range c.OutType {
		if i+1 >= len(made) {
			break
		}
		t := made[i+1]
		switch {
		case i < carried:
			c.OutType[i] = Type{DType: t.DType} // the shape of what is carried may change
		case t.Known:
			c.OutType[i] = Type{DType: t.DType, Known: true, Shape: append([]int{Unknown}, t.Shape...)}
		}
	}
}

// runLoop computes for i := 0; i < M && cond; i++ { cond, carried..., rows... = body(i, cond, carried...) }.
func runLoop(c *Call) error {
	if c.Body == nil {
		return errNoBody
	}
	limit, going := int64(-1), true
	if t := c.In[0]; t != nil {
		if t.DType() != tensor.Int64 || t.Len() != 1 {
			return badInput("the number of rounds is %s, one int64 is needed", t)
		}
		limit = max(t.I64()[0], 0)
	}
	if t := c.In[1]; t != nil {
		var err error
		if going, err = condition(t); err != nil {
			return err
		}
	}
	carried := slices.Clone(c.In[2:])
	rows := stacks{c: c, first: len(carried), all: make([][]*tensor.Tensor, max(len(c.Out)-len(carried), 0))}
	for i := int64(0); going && (limit < 0 || i < limit); i++ {
		outs, err := c.Body("body", append([]*tensor.Tensor{tensor.Scalar(i), tensor.Scalar(going)}, carried...))
		if err != nil {
			return err
		}
		if len(outs) < 1+len(carried)+len(rows.all) {
			return badAttr("the body makes %d results, %d are needed", len(outs), 1+len(carried)+len(rows.all))
		}
		if going, err = condition(outs[0]); err != nil {
			return err
		}
		copy(carried, outs[1:])
		if err := rows.add(outs[1+len(carried):]); err != nil {
			return err
		}
	}
	copy(c.Out, carried)
	if rows.size == 0 && len(rows.all) > 0 { // no round shows what they would be
		c.loopTypes(true)
	}
	return rows.into(nil, nil)
}

// stacks collects what the rounds make of the outputs from first on.
type stacks struct {
	c     *Call
	first int
	all   [][]*tensor.Tensor
	size  int // elements so far
}

func (s *stacks) add(outs []*tensor.Tensor) error {
	for k := range s.all {
		if s.size += outs[k].Len() + 1; s.size > maxElements {
			return badInput("the rounds would make more than %d elements", maxElements)
		}
		s.all[k] = append(s.all[k], outs[k])
	}
	return nil
}

// into sets the outputs: the rounds' on a new axis, 0 if axes says nothing, the last first where reverse is not 0.
func (s *stacks) into(axes, reverse []int) error {
	for k, rounds := range s.all {
		if k < len(reverse) && reverse[k] != 0 {
			slices.Reverse(rounds)
		}
		axis := 0
		if k < len(axes) {
			axis = axes[k]
		}
		t, err := stack(rounds, axis, s.c.OutType[s.first+k])
		if err != nil {
			return err
		}
		s.c.Out[s.first+k] = t
	}
	return nil
}

// stack joins tensors of one shape along a new axis. Without any, the type says what is known of the result.
func stack(parts []*tensor.Tensor, axis int, t Type) (*tensor.Tensor, error) {
	if len(parts) == 0 {
		shape := []int{0}
		if t.Known {
			shape = slices.Clone(t.Shape)
			for i, d := range shape {
				shape[i] = max(d, 0)
			}
		}
		if t.DType == tensor.Undefined {
			t.DType = tensor.Float32
		}
		return tensor.New(t.DType, shape...), nil
	}
	first := parts[0]
	if axis < 0 {
		axis += first.Rank() + 1
	}
	if axis < 0 || axis > first.Rank() {
		return nil, badAttr("axis %d of a result of rank %d", axis, first.Rank()+1)
	}
	out := tensor.New(first.DType(), slices.Insert(slices.Clone(first.Shape()), axis, len(parts))...)
	for i, p := range parts {
		if p.DType() != first.DType() || !slices.Equal(p.Shape(), first.Shape()) {
			return nil, badInput("rounds make %s and %s of one result", first, p)
		}
		copyBlocks(out, p, axis, i)
	}
	return out, nil
}

// copyBlocks copies part, of one dimension less, to place i along axis of out.
func copyBlocks(out, part *tensor.Tensor, axis, i int) {
	inner := tensor.Volume(part.Shape()[axis:])
	n := out.Shape()[axis]
	for o := range tensor.Volume(part.Shape()[:axis]) {
		if out.DType() == tensor.String {
			copy(tensor.Data[string](out)[(o*n+i)*inner:][:inner], tensor.Data[string](part)[o*inner:])
			continue
		}
		size := inner * out.DType().Size()
		copy(out.Bytes()[(o*n+i)*size:][:size], part.Bytes()[o*size:])
	}
}

// slot returns place i along axis of t, without that axis.
func slot(t *tensor.Tensor, axis, i int) *tensor.Tensor {
	shape := slices.Delete(slices.Clone(t.Shape()), axis, axis+1)
	out := tensor.New(t.DType(), shape...)
	inner, n := tensor.Volume(shape[axis:]), t.Shape()[axis]
	for o := range tensor.Volume(shape[:axis]) {
		if t.DType() == tensor.String {
			copy(tensor.Data[string](out)[o*inner:][:inner], tensor.Data[string](t)[(o*n+i)*inner:])
			continue
		}
		size := inner * t.DType().Size()
		copy(out.Bytes()[o*size:][:size], t.Bytes()[(o*n+i)*size:])
	}
	return out
}

// scan is a Scan's inputs, taken apart.
type scan struct {
	states, given []*tensor.Tensor
	axes          []int
	reverse       []int // not 0: from the end
}

func inferScan(c *Call) error {
	if n := c.Attrs.Int("num_scan_inputs", 0); n < 1 || n > len(c.Types) {
		return badAttr("num_scan_inputs %d of %d inputs", n, len(c.Types))
	}
	if c.version() < 9 {
		return nil // another layout, seen in old files only: what is known is found when it runs
	}
	states := len(c.Types) - c.Attrs.Int("num_scan_inputs", 0)
	var given []Type
	for _, t := range c.Types {
		given = append(given, Type{DType: t.DType})
	}
	made := c.bodyTypes("body", given...)
	for i := range c.OutType {
		if i < len(made) {
			c.OutType[i] = Type{DType: made[i].DType}
		}
		if i < states {
			c.OutType[i] = c.Types[i] // a state keeps its shape
		}
	}
	return nil
}

// runScan computes states..., rows... = body(states..., slices...) along the scanned axes.
func runScan(c *Call) error {
	if c.Body == nil {
		return errNoBody
	}
	if c.version() < 9 {
		return runScan8(c)
	}
	n := c.Attrs.Int("num_scan_inputs", 0)
	s := scan{states: slices.Clone(c.In[:len(c.In)-n]), given: c.In[len(c.In)-n:], axes: c.Attrs.Ints("scan_input_axes"), reverse: c.Attrs.Ints("scan_input_directions")}
	return s.run(c, c.Attrs.Ints("scan_output_axes"), c.Attrs.Ints("scan_output_directions"))
}

func (s *scan) run(c *Call, outAxes, outReverse []int) error {
	axes := make([]int, len(s.given))
	length := -1
	for k, t := range s.given {
		if k < len(s.axes) {
			axes[k] = s.axes[k]
		}
		if t == nil {
			return badInput("scan input %d is missing", k)
		}
		var err error
		if axes[k], err = normAxis(axes[k], t.Rank()); err != nil {
			return err
		}
		if d := t.Shape()[axes[k]]; length >= 0 && d != length {
			return badInput("scan inputs of lengths %d and %d", length, d)
		}
		length = t.Shape()[axes[k]]
	}
	rows := stacks{c: c, first: len(s.states), all: make([][]*tensor.Tensor, max(len(c.Out)-len(s.states), 0))}
	for i := range length {
		in := slices.Clone(s.states)
		for k, t := range s.given {
			at := i
			if k < len(s.reverse) && s.reverse[k] != 0 {
				at = length - 1 - i
			}
			in = append(in, slot(t, axes[k], at))
		}
		outs, err := c.Body("body", in)
		if err != nil {
			return err
		}
		if len(outs) < len(s.states)+len(rows.all) {
			return badAttr("the body makes %d results, %d are needed", len(outs), len(s.states)+len(rows.all))
		}
		copy(s.states, outs)
		if err := rows.add(outs[len(s.states):]); err != nil {
			return err
		}
	}
	copy(c.Out, s.states)
	return rows.into(outAxes, outReverse)
}

// runScan8 is Scan as operator set 8 had it: lengths first, a batch on axis 0 of all, the sequence on axis 1.
func runScan8(c *Call) error {
	n := c.Attrs.Int("num_scan_inputs", 0)
	if len(c.In) < n+1 || c.In[0] != nil {
		return badInput("sequences of different lengths in a Scan of operator set 8")
	}
	in := c.In[1:]
	states := len(in) - n
	batch := in[states].Shape()[0]
	parts := make([][]*tensor.Tensor, len(c.Out))
	for b := range batch {
		one := *c
		one.Out, one.OutType = make([]*tensor.Tensor, len(c.Out)), make([]Type, len(c.Out))
		s := scan{reverse: c.Attrs.Ints("directions")}
		for i, t := range in {
			if t == nil || t.Rank() == 0 || t.Shape()[0] != batch {
				return badInput("input %d has no batch of %d", i+1, batch)
			}
			if i < states {
				s.states = append(s.states, slot(t, 0, b))
			} else {
				s.given = append(s.given, slot(t, 0, b))
			}
		}
		if err := s.run(&one, nil, nil); err != nil {
			return err
		}
		for i, t := range one.Out {
			parts[i] = append(parts[i], t)
		}
	}
	for i := range parts {
		t, err := stack(parts[i], 0, c.OutType[i])
		if err != nil {
			return err
		}
		c.Out[i] = t
	}
	return nil
}
