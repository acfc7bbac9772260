package op

import (
	"fmt"
	"slices"

	"github.com/narrow-ml/narrow/tensor"
)

// spec is how this package writes an operator down. Everything that is the
// same for all of them (counting inputs, checking sizes, allocating outputs,
// half-precision types) is done around it, so that infer and run hold only
// what the operator is about.
type spec struct {
	name   string
	domain string
	min    int // inputs that must be there
	max    int // inputs it takes at most; 0 means min, variadic any number
	outs   int // outputs it has at most; 0 means 1, variadic any number

	// infer sets OutType. It checks everything that run relies on and is
	// always called before run, then with every input at hand.
	infer func(c *Call) error

	// run computes the outputs; [Call.out] gives it their memory.
	run func(c *Call) error

	// anyType says that run only moves elements, or looks at their types
	// itself. Other operators are given float16 and bfloat16 as float32.
	anyType bool

	traits Traits
	refine func(c *Call, t *Traits) // what attributes and constants change of the traits; nil for nothing

	// omits says that inputs of a variadic operator may be left out.
	omits bool
}

const variadic = -1

// MaxElements is the largest tensor that an operator makes. More is an error:
// a hostile shape must not take the machine's memory.
const MaxElements = 1 << 29

// maxElements is MaxElements, lowered by tests.
var maxElements = MaxElements

// register adds operators to the table; each operator's file calls it once,
// from a package-level variable.
func register(specs ...spec) struct{} {
	for _, s := range specs {
		key := [2]string{s.domain, s.name}
		if table[key] != nil {
			panic("op: " + s.name + " is registered twice")
		}
		if s.max == 0 {
			s.max = s.min
		}
		if s.outs == 0 {
			s.outs = 1
		}
		table[key] = &Op{Name: s.name, Domain: s.domain, Infer: s.checkedInfer, Run: s.checkedRun, Traits: s.traits, refine: s.refine, Given: s.given}
	}
	return struct{}{}
}

func (s *spec) checkedInfer(c *Call) (err error) {
	defer recoverTo(&err)
	if err := s.checkCounts(len(c.Types), len(c.OutType)); err != nil {
		return err
	}
	if err := s.checkTypes(c); err != nil {
		return err
	}
	full := *c
	full.In = slices.Clone(c.In)
	for len(full.In) < len(full.Types) {
		full.In = append(full.In, nil)
	}
	if err := s.infer(&full); err != nil {
		return err
	}
	return checkSizes(full.OutType)
}

func (s *spec) checkedRun(c *Call) (err error) {
	defer recoverTo(&err)
	return s.runOn(c)
}

func (s *spec) runOn(c *Call) error {
	if err := s.checkCounts(len(c.In), len(c.Out)); err != nil {
		return err
	}
	for i, t := range c.In {
		if t != nil {
			continue
		}
		if err := s.given(i); err != nil {
			return err
		}
	}
	own := Call{Attrs: c.Attrs, Version: c.Version, In: c.In, Out: c.Out, Body: c.Body, BodyTypes: c.BodyTypes,
		Types: make([]Type, len(c.In)), OutType: make([]Type, len(c.Out))}
	for i, t := range c.In {
		if t != nil {
			own.Types[i] = TypeOf(t)
		}
	}
	if err := s.checkTypes(&own); err != nil {
		return err
	}
	if err := s.infer(&own); err != nil {
		return err
	}
	if err := checkSizes(own.OutType); err != nil {
		return err
	}
	if s.anyType || !slices.ContainsFunc(own.Types, func(t Type) bool { return isHalf(t.DType) }) {
		return s.run(&own)
	}
	return runWidened(s.run, &own)
}

func (s *spec) given(i int) error {
	if (i < s.min || s.max == variadic) && !s.omits {
		return badInput("input %d is missing", i)
	}
	return nil
}

// checkTypes compares the inputs' types with the schema. What is between numbers
// and integers is left to its rule: a quantized network is made for a newer operator set only when it is written.
func (s *spec) checkTypes(c *Call) error {
	schema := schemaOf(s.domain, s.name, c.Version)
	if schema == nil || s.traits.Coding {
		return nil
	}
	return schema.checkTypes(s.name, c.Types)
}

// runWidened runs with float16 and bfloat16 inputs as float32 and rounds the
// outputs once, at the end.
func runWidened(run func(*Call) error, c *Call) error {
	want := make([]tensor.DType, len(c.Out))
	for i := range c.OutType {
		if want[i] = c.OutType[i].DType; isHalf(want[i]) {
			c.OutType[i].DType = tensor.Float32
		}
	}
	c.In = slices.Clone(c.In)
	for i, t := range c.In {
		if t != nil && isHalf(t.DType()) {
			c.In[i] = tensor.From(t.Float32s(), t.Shape()...)
			c.Types[i].DType = tensor.Float32
		}
	}
	if err := run(c); err != nil {
		return err
	}
	for i, t := range c.Out {
		if t != nil && isHalf(want[i]) {
			c.Out[i] = convert(t, want[i])
		}
	}
	return nil
}

func isHalf(d tensor.DType) bool { return d == tensor.Float16 || d == tensor.BFloat16 }

func (s *spec) checkCounts(in, out int) error {
	if in < s.min {
		return badInput("%d inputs, at least %d are needed", in, s.min)
	}
	if s.max != variadic && in > s.max {
		return badInput("%d inputs, at most %d are taken", in, s.max)
	}
	if out < 1 || s.outs != variadic && out > s.outs {
		return badInput("%d outputs are asked for, the operator has %d", out, s.outs)
	}
	return nil
}

func checkSizes(types []Type) error {
	for _, t := range types {
		if !t.Static() {
			continue
		}
		if n, ok := tensor.CheckedVolume(t.Shape); !ok || n > maxElements {
			return badInput("the result would have shape %v, more than %d elements", t.Shape, maxElements)
		}
	}
	return nil
}

// recoverTo turns a panic into an error: the last net under a kernel that
// trusts an input it should not.
func recoverTo(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("%w: %v", errInternal, r)
	}
}

var errInternal = fmt.Errorf("%w: the operator broke on it", ErrInput)

func badInput(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInput, fmt.Sprintf(format, args...))
}

func badAttr(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrAttr, fmt.Sprintf(format, args...))
}

// version returns the operator set's version, the newest if it is not given.
func (c *Call) version() int {
	if c.Version == 0 {
		return 21
	}
	return c.Version
}

// typ returns the type of input i, a Type of which nothing is known if it is
// omitted.
func (c *Call) typ(i int) Type {
	if i < len(c.Types) {
		return c.Types[i]
	}
	return Type{}
}

// in returns input i, nil if it is omitted or, during inference, not constant.
func (c *Call) in(i int) *tensor.Tensor {
	if i < len(c.In) {
		return c.In[i]
	}
	return nil
}

// has reports whether input i is given.
func (c *Call) has(i int) bool {
	return c.in(i) != nil || c.typ(i).DType != tensor.Undefined || c.typ(i).Known
}

// out returns output i, allocated with the inferred type at the first call.
func (c *Call) out(i int) *tensor.Tensor {
	if c.Out[i] == nil {
		c.Out[i] = tensor.New(c.OutType[i].DType, c.OutType[i].Shape...)
	}
	return c.Out[i]
}

// setType sets the type of output 0.
func (c *Call) setType(d tensor.DType, shape []int) {
	c.OutType[0] = Type{DType: d, Shape: shape, Known: true}
}

// axis returns the axis attribute, counted from the front.
func (c *Call) axis(name string, def, rank int) (int, error) {
	return normAxis(c.Attrs.Int(name, def), rank)
}

// intsInput returns the elements of an integer input. Without an error, ok is
// false if they are not known (inference) or the input is omitted.
func (c *Call) intsInput(i int) (v []int, ok bool, err error) {
	t := c.in(i)
	if t == nil {
		return nil, false, nil
	}
	if d := t.DType(); d != tensor.Int64 && d != tensor.Int32 {
		return nil, false, badInput("input %d is %s, not int64 or int32", i, d)
	}
	if t.Rank() > 1 {
		return nil, false, badInput("input %d has shape %v, a list is needed", i, t.Shape())
	}
	return indices(t), true, nil
}

// floatInput returns the one element of an input, def if it is omitted.
func (c *Call) floatInput(i int, def float64) (float64, error) {
	t := c.in(i)
	if t == nil {
		return def, nil
	}
	if t.Len() != 1 || t.DType() == tensor.String {
		return 0, badInput("input %d is %s, one number is needed", i, t)
	}
	return t.Float64s()[0], nil
}

// wantType returns an error unless input i, if its type is known, has one of
// the types.
func (c *Call) wantType(i int, types ...tensor.DType) error {
	d := c.typ(i).DType
	if d == tensor.Undefined || slices.Contains(types, d) {
		return nil
	}
	return badInput("input %d is %s; it may be %v", i, d, types)
}

var (
	floatTypes   = []tensor.DType{tensor.Float32, tensor.Float64, tensor.Float16, tensor.BFloat16}
	intTypes     = []tensor.DType{tensor.Int8, tensor.Uint8, tensor.Int16, tensor.Uint16, tensor.Int32, tensor.Uint32, tensor.Int64, tensor.Uint64}
	numericTypes = append(slices.Clone(floatTypes), intTypes...)
)
