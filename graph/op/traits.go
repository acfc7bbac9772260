package op

import "math"

// Traits is what is true of an operator beside how it is computed: what the
// passes, the quantizer and the engine need to know of it. Every row states
// every trait; what depends on attributes or constants, [Op.At] tells.
type Traits struct {
	// Inputs has the role of each input; the last one stands for all that follow.
	Inputs []Role

	Flow     Flow                                    // how values go through it
	Why      string                                  // for FloatOnly, why, where attributes or constants decide it
	Integer  IntegerForm                             // whether it can be computed on integers
	Range    Interval                                // what its results lie in, whatever the inputs
	Sign     Sign                                    // what it does to signs
	Scale    Scale                                   // whether it commutes with positive factors
	Q        QOperator                               // its form in ONNX Runtime's operators on integers
	Batch    BatchRule                               // whether samples along axis 0 stay apart
	Scalar   Legality                                // whether its data may have rank 0
	Empty    Legality                                // whether its data may have no elements
	Clamp    func(c *Call) (lo, hi float64, ok bool) // bounds, if all that it does is to clamp by constants; nil for others
	Products *Products                               // where weights are and how their products are summed; nil for operators that are no sums of products with weights

	// BatchAxis returns where the outputs have the batch if the first input has it on
	// the given axis, -1 for nowhere; nil for operators that want it on axis 0. The
	// other inputs are constants.
	BatchAxis func(s *Samples, axis int) int

	// MACs returns the multiply-accumulates of one call, whose types are known; nil for
	// operators that are no sums of products.
	MACs func(c *Call) int64

	// Mean returns of how many elements each result is the mean, 0 where that is not
	// one number; nil for operators that are no means. Types are known.
	Mean func(c *Call) int

	Dynamic string // operator that computes its sums on integers whose scale is known only when it runs; "" for none

	WeightAxes WeightAxes // constants worth storing on fewer bits; nil for none

	// Channels is the axis of the results' channels: 1, -1 for the last, 0 where
	// all axes are alike.
	Channels int

	// Amplifies lists the inputs whose relative error can grow without bound:
	// denominators, the operands of logarithms and roots, exponents. Rounding one
	// to 0 makes infinities or NaN.
	Amplifies []int

	Function   bool // every result is a function of one number, so that a table can hold it for integers
	Coding     bool // between numbers and the integers that stand for them
	Random     bool // not the same twice
	View       bool // the elements in their order, with another shape
	Permutes   bool // the elements in another order, each once
	FloatSums  bool // on integers it can give its sums in float
	FloatAtEnd bool // as the end of a network it stays float: its small results matter more than their rounding
}

// Role is what an input is for.
type Role int

const (
	Data      Role = iota + 1 // a tensor of values
	Weights                   // the constants of sums of products
	Bias                      // added to the sums of products
	Param                     // numbers the operator computes with: bounds, moments, thresholds
	Index                     // axes, indices, conditions, lengths
	Shape                     // a shape of which nothing but the shape of the result follows
	ScaleOf                   // the scale of a quantized tensor
	ZeroPoint                 // the zero point of a quantized tensor
)

// Flow says how values go through an operator.
type Flow int

const (
	FloatOnly Flow = iota + 1 // no way that integers could go
	Affine                    // sums of products with constant weights
	Product                   // sums of products of two activations
	Join                      // an element from several activations, each with its own scale
	Concat                    // several activations and an output that share one scale
	Moves                     // moves or selects values, and may fill in zeros: the output keeps the input's scale
	OneToOne                  // one activation in, one out, each with its own scale
	Bounded                   // like OneToOne, with outputs that fill Range
)

// IntegerForm says whether an operator can be computed on integers.
type IntegerForm int

const (
	InFloat    IntegerForm = iota + 1 // in float
	OnIntegers                        // on integers, the way Flow says
)

// Sign says what an operator does to the signs of its data. Results that are
// never negative, whatever the data, have a [Traits.Range] from 0 up.
type Sign int

const (
	AnySign     Sign = iota + 1 // negative results even of positive data
	NonNegative                 // no negative results if no data are negative
	KeepsSign                   // NonNegative, and no positive results if no data are positive
)

// Scale says with which positive factors an operator commutes: scaling all data
// (and the bias) is scaling the results.
type Scale int

const (
	NoScale      Scale = iota + 1
	Bilinear           // none, but the factors of two operands multiply
	TensorScale        // one factor
	ChannelScale       // one for each index of axis 1, the same in data and results
)

// Legality says whether something may be.
type Legality int

const (
	Legal Legality = iota + 1
	Illegal
)

// Interval is a closed interval, with infinite ends where there are none.
type Interval struct{ Lo, Hi float64 }

var everything = Interval{math.Inf(-1), math.Inf(1)}

// QForm is the order of arguments of an operator on integers.
type QForm int

const (
	NoQForm   QForm = iota + 1 // none
	QOperands                  // every operand with scale and zero point, those of the result, the bias
	QMatrix                    // operands, bias, scale and zero point of the result, which is in float without
	QConcat                    // scale and zero point of the result, then the operands
	QSelf                      // the operator itself, on integers
)

// QOperator is the form of an operator among those on integers.
type QOperator struct {
	Form     QForm
	Domain   string
	Name     string // of the operator
	SameType bool   // whether it wants one type for operands and result
}

// Role returns the role of input i.
func (t *Traits) Role(i int) Role {
	if len(t.Inputs) == 0 {
		return Data
	}
	return t.Inputs[min(i, len(t.Inputs)-1)]
}

// NeverNegative reports whether no result is negative, whatever the data.
func (t *Traits) NeverNegative() bool { return t.Range.Lo >= 0 }

// At returns the traits of the operator with the attributes and constants of
// one call.
func (o *Op) At(c *Call) Traits {
	t := o.Traits
	if o.refine != nil {
		o.refine(c, &t)
	}
	return t
}

// TraitsOf returns the traits of an operator for one call; those of an operator
// that is not in the table promise nothing.
func TraitsOf(domain, name string, c *Call) Traits {
	o, err := Lookup(domain, name)
	if err != nil {
		var t Traits
		all(plain, tensors, filled, inputs(Data), batch(never))(&t)
		return t
	}
	return o.At(c)
}

// trait states something of a row.
type trait func(*Traits)

// is returns the row with traits stated; a later one overrides an earlier.
func (s spec) is(traits ...trait) spec {
	for _, t := range traits {
		t(&s.traits)
	}
	return s
}

// where returns the row with a function that changes its traits by what is
// known of one call.
func (s spec) where(refine func(c *Call, t *Traits)) spec {
	s.refine = refine
	return s
}

func all(traits ...trait) trait {
	return func(t *Traits) {
		for _, f := range traits {
			f(t)
		}
	}
}

func inputs(r ...Role) trait                                 { return func(t *Traits) { t.Inputs = r } }
func ranges(lo, hi float64) trait                            { return func(t *Traits) { t.Range = Interval{lo, hi} } }
func amplifies(i ...int) trait                               { return func(t *Traits) { t.Amplifies = i } }
func clamps(f func(c *Call) (lo, hi float64, ok bool)) trait { return func(t *Traits) { t.Clamp = f } }
func products(weights, zero int, sums func(a Attrs, shape []int) Sums) trait {
	return func(t *Traits) { t.Products = &Products{weights, zero, sums} }
}
func mean(f func(c *Call) int) trait                   { return func(t *Traits) { t.Mean = f } }
func macs(f func(c *Call) int64) trait                 { return func(t *Traits) { t.MACs = f } }
func batchAxis(f func(s *Samples, axis int) int) trait { return func(t *Traits) { t.BatchAxis = f } }
func channels(axis int) trait                          { return func(t *Traits) { t.Channels = axis } }
func batch(r BatchRule) trait                          { return func(t *Traits) { t.Batch = r } }
func flow(f Flow, q ...trait) trait {
	return func(t *Traits) {
		t.Flow, t.Integer = f, OnIntegers
		all(q...)(t)
	}
}

func inQ(form QForm, domain, name string, sameType bool) trait {
	return func(t *Traits) { t.Q = QOperator{form, domain, name, sameType} }
}

var (
	noQ       trait = func(t *Traits) { t.Q = QOperator{Form: NoQForm} }
	qSelf     trait = func(t *Traits) { t.Q = QOperator{Form: QSelf} }
	inFloat   trait = func(t *Traits) { t.Flow, t.Integer, t.Q.Form = FloatOnly, InFloat, NoQForm }
	floatMove trait = func(t *Traits) { t.Flow, t.Integer, t.Q.Form = Moves, InFloat, NoQForm }

	unbounded   = ranges(math.Inf(-1), math.Inf(1))
	nonNegative = all(ranges(0, math.Inf(1)), keepsPositive)
	fraction    = all(ranges(0, 1), keepsPositive) // results in [0,1]
	withinOne   = ranges(-1, 1)

	anySign       trait = func(t *Traits) { t.Sign = AnySign }
	keepsPositive trait = func(t *Traits) { t.Sign = NonNegative }
	keepsSign     trait = func(t *Traits) { t.Sign = KeepsSign }

	noScale      trait = func(t *Traits) { t.Scale = NoScale }
	bilinear     trait = func(t *Traits) { t.Scale = Bilinear }
	tensorScale  trait = func(t *Traits) { t.Scale = TensorScale }
	channelScale trait = func(t *Traits) { t.Scale = ChannelScale }

	scalars trait = func(t *Traits) { t.Scalar = Legal }
	tensors trait = func(t *Traits) { t.Scalar = Illegal } // of rank 1 and more
	empties trait = func(t *Traits) { t.Empty = Legal }
	filled  trait = func(t *Traits) { t.Empty = Illegal } // with elements

	permutes   trait = func(t *Traits) { t.Permutes = true }
	reshapes   trait = func(t *Traits) { t.View = true }
	coding     trait = func(t *Traits) { t.Coding = true }
	floatSums  trait = func(t *Traits) { t.FloatSums = true }
	floatAtEnd trait = func(t *Traits) { t.FloatAtEnd = true }

	// plain is what most operators are; their rows say where they differ.
	plain = all(inFloat, unbounded, anySign, noScale, scalars, empties)
	// perElement is an operator on every element of one tensor.
	perElement = all(plain, inputs(Data, Param), batch(elementwise), batchAxis(elementwiseBatch))
	// function is a function of one number, applied to every element.
	function = all(perElement, func(t *Traits) { t.Function = true })
	// operation is a function of several numbers.
	operation = all(plain, inputs(Data), batch(elementwise), batchAxis(elementwiseBatch))
	// spatial is an operator on [batch, channels, space...].
	spatial = all(plain, tensors, channels(1), batch(firstInput))
	// moving is an operator that moves values.
	moving = all(plain, flow(Moves, qSelf), keepsSign, tensorScale, inputs(Data, Index))
)
