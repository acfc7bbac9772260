package op

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/narrow-ml/narrow/tensor"
)

// callsOf makes random calls that the kernel of a row takes: by its generator, or for a
// row without one of inputs of one shape, as many as it needs.
func callsOf(name string, o *Op, r *rand.Rand, count int) []*Call {
	var calls []*Call
	for range count {
		var c *Call
		valid, ok := validCalls[o.Name]
		if more := moreCalls[o.Name]; more != nil {
			valid, ok = more, true
		}
		if ok {
			attrs, in := valid(r)
			c = &Call{Attrs: attrs, In: in, Out: make([]*tensor.Tensor, 1)}
			if o.Name == "Upsample" {
				c.Version = 9 // the last that has it
			}
			if o.Run(c) != nil {
				continue
			}
		} else if c = plainCall(o, r); c == nil {
			continue
		}
		for _, t := range c.In {
			if t == nil {
				c.Types = append(c.Types, Type{})
				continue
			}
			c.Types = append(c.Types, TypeOf(t))
		}
		calls = append(calls, c)
	}
	return calls
}

func plainCall(o *Op, r *rand.Rand) *Call {
	shape := dims(r, between(r, 2, 4), 1, 4)
	for n := 1; n <= 3; n++ {
		c := &Call{Attrs: Attrs{}, Out: make([]*tensor.Tensor, 1)}
		for range n {
			c.In = append(c.In, normal(r, shape...))
		}
		if o.Run(c) == nil {
			return c
		}
	}
	return nil
}

// traitsAt are those of a call whose inputs behind the first are constants.
func traitsAt(o *Op, c *Call) Traits {
	known := *c
	known.In = slices.Clone(c.In)
	known.In[0] = nil
	return o.At(&known)
}

// with returns a copy of a call with its data changed, run; nil if that fails.
func with(o *Op, c *Call, t *Traits, f func(role Role, x *tensor.Tensor) *tensor.Tensor) *Call {
	m := &Call{Attrs: c.Attrs, Version: c.Version, In: slices.Clone(c.In), Out: make([]*tensor.Tensor, len(c.Out)), Types: c.Types}
	for i, x := range c.In {
		if x != nil && x.DType() == tensor.Float32 {
			m.In[i] = f(t.Role(i), x)
		}
	}
	if o.Run(m) != nil {
		return nil
	}
	return m
}

func mapped32(x *tensor.Tensor, f func(i int, v float32) float32) *tensor.Tensor {
	y := x.Clone()
	for i, v := range y.F32() {
		y.F32()[i] = f(i, v)
	}
	return y
}

// property is a claim of a row that a call can prove wrong.
type property struct {
	name    string
	claimed func(t *Traits) bool
	// holds is asked of a call with one float output; "" means it does, skip that it cannot be told.
	holds func(o *Op, c *Call, t *Traits) string
}

const skip = "skip"

var properties = []property{
	{"range", func(t *Traits) bool { return !math.IsInf(t.Range.Lo, 0) || !math.IsInf(t.Range.Hi, 0) }, func(_ *Op, c *Call, t *Traits) string {
		for _, v := range c.Out[0].Float64s() {
			if v < t.Range.Lo-1e-6 || v > t.Range.Hi+1e-6 {
				return fmt.Sprintf("%v is not within %v", v, t.Range)
			}
		}
		return ""
	}},
	{"not negative", func(t *Traits) bool { return t.Sign != AnySign }, func(o *Op, c *Call, t *Traits) string { return signed(o, c, t, 1) }},
	{"keeps sign", func(t *Traits) bool { return t.Sign == KeepsSign }, func(o *Op, c *Call, t *Traits) string { return signed(o, c, t, -1) }},
	{"scale", func(t *Traits) bool { return t.Scale == TensorScale || t.Scale == ChannelScale }, func(o *Op, c *Call, t *Traits) string {
		m := with(o, c, t, func(role Role, x *tensor.Tensor) *tensor.Tensor {
			if role != Data && role != Bias {
				return x
			}
			return mapped32(x, func(_ int, v float32) float32 { return 4 * v })
		})
		if m == nil {
			return skip
		}
		return near(m.Out[0], c.Out[0], func(int) float64 { return 4 })
	}},
	{"channel scale", func(t *Traits) bool { return t.Scale == ChannelScale }, channelsScale},
	{"moves", func(t *Traits) bool { return t.Flow == Moves }, func(_ *Op, c *Call, t *Traits) string {
		known := map[float64]bool{0: true}
		for i, x := range c.In {
			if x != nil && t.Role(i) == Data {
				for _, v := range x.Float64s() {
					known[v] = true
				}
			}
		}
		for _, v := range c.Out[0].Float64s() {
			if !known[v] {
				return fmt.Sprintf("%v is none of the data", v)
			}
		}
		return ""
	}},
	{"view", func(t *Traits) bool { return t.View }, func(_ *Op, c *Call, _ *Traits) string {
		if !slices.Equal(c.In[0].Bytes(), c.Out[0].Bytes()) {
			return "the elements are not the same"
		}
		return ""
	}},
	{"function", func(t *Traits) bool { return t.Function }, func(o *Op, c *Call, t *Traits) string {
		first := true
		m := with(o, c, t, func(_ Role, x *tensor.Tensor) *tensor.Tensor {
			if !first {
				return x
			}
			first = false
			y := x.Clone()
			slices.Reverse(y.F32())
			return y
		})
		if m == nil {
			return "it does not take the elements in another order"
		}
		slices.Reverse(m.Out[0].F32())
		return near(m.Out[0], c.Out[0], func(int) float64 { return 1 })
	}},
	{"batch", func(t *Traits) bool { return true }, samplesApart},
}

// signed runs with data of one sign.
func signed(o *Op, c *Call, t *Traits, sign float32) string {
	m := with(o, c, t, func(role Role, x *tensor.Tensor) *tensor.Tensor {
		if role != Data {
			return x
		}
		return mapped32(x, func(_ int, v float32) float32 { return sign * float32(math.Abs(float64(v))) })
	})
	if m == nil {
		return skip
	}
	for _, v := range m.Out[0].Float64s() {
		if v*float64(sign) < 0 {
			return fmt.Sprintf("%v of data of the other sign", v)
		}
	}
	return ""
}

// near compares y with x times a factor by element.
func near(y, x *tensor.Tensor, factor func(i int) float64) string {
	a, b := y.Float64s(), x.Float64s()
	if len(a) != len(b) {
		return "another number of elements"
	}
	for i := range a {
		if want := b[i] * factor(i); math.Abs(a[i]-want) > 1e-5*math.Max(1, math.Abs(want)) {
			return fmt.Sprintf("element %d is %v, want %v", i, a[i], want)
		}
	}
	return ""
}

func channelsScale(o *Op, c *Call, t *Traits) string {
	x, out := c.In[0].Shape(), c.Out[0].Shape()
	if len(x) < 2 || len(out) < 2 || x[1] != out[1] {
		return skip
	}
	factor := func(shape []int) func(i int) float64 {
		inner := tensor.Volume(shape[2:])
		return func(i int) float64 { return math.Ldexp(1, i/inner%shape[1]%3) }
	}
	in, first := factor(x), true
	m := with(o, c, t, func(_ Role, x *tensor.Tensor) *tensor.Tensor {
		if !first {
			return x
		}
		first = false
		return mapped32(x, func(i int, v float32) float32 { return float32(in(i)) * v })
	})
	if m == nil {
		return skip
	}
	return near(m.Out[0], c.Out[0], factor(out))
}

// samplesApart takes the rows of the data as samples, and where the rule says that they
// stay apart compares the whole with each alone.
func samplesApart(o *Op, c *Call, t *Traits) string {
	if len(c.In[0].Shape()) == 0 || c.Out[0].Rank() == 0 {
		return skip
	}
	n := c.In[0].Shape()[0]
	if n < 2 || n > 8 {
		return skip
	}
	result := skip
	for _, all := range []bool{false, true} { // the first input alone, then all data
		s := &Samples{N: n, Batched: make([]bool, len(c.In)), Call: &Call{Attrs: c.Attrs, In: slices.Clone(c.In), Types: c.Types, OutType: []Type{TypeOf(c.Out[0])}}}
		for i, x := range c.In {
			s.Batched[i] = i == 0 || all && x != nil && t.Role(i) == Data && x.Rank() > 0 && x.Shape()[0] == n
			if s.Batched[i] {
				s.In[i] = nil
			}
		}
		if !t.Batch(s) {
			continue
		}
		switch why := eachAlone(o, c, s); why {
		case "":
			result = ""
		case skip:
		default:
			return why
		}
	}
	return result
}

func eachAlone(o *Op, c *Call, s *Samples) string {
	var rows [][]byte
	for k := range s.N {
		m := &Call{Attrs: c.Attrs, Version: c.Version, In: slices.Clone(c.In), Out: make([]*tensor.Tensor, len(c.Out))}
		for i, x := range c.In {
			if s.Batched[i] {
				m.In[i] = x.Rows(k, k+1)
			}
		}
		if err := o.Run(m); err != nil {
			return skip // shapes that want this many
		}
		want := slices.Clone(c.Out[0].Shape())
		if want[0] != s.N {
			return skip
		}
		if want[0] = 1; !slices.Equal(m.Out[0].Shape(), want) {
			return skip
		}
		rows = append(rows, m.Out[0].Bytes())
	}
	if !slices.Equal(slices.Concat(rows...), c.Out[0].Bytes()) {
		return "samples together are not what they are alone"
	}
	return ""
}

// TestTraitsHold checks every claim of every row against its kernel, on random calls. A
// claim that no call could check is an error as well.
func TestTraitsHold(t *testing.T) {
	limitElements(t)
	unchecked, apart := make(map[string][]string), 0
	for _, name := range Names() {
		at := strings.LastIndexByte(name, '.') + 1
		o, err := Lookup(strings.TrimSuffix(name[:at], "."), name[at:])
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(13, uint64(len(name))))
		wrong := false
		checked, claims := make(map[string]bool), make(map[string]bool)
		for _, c := range callsOf(name, o, r, 150) {
			if len(c.In) == 0 || c.In[0] == nil || c.In[0].DType() != tensor.Float32 && c.In[0].DType() != tensor.Bool || c.Out[0].DType() != tensor.Float32 || c.Out[0].Len() == 0 || c.In[0].Len() == 0 {
				continue
			}
			traits := traitsAt(o, c)
			for _, p := range properties {
				if !p.claimed(&traits) || traits.Random {
					continue
				}
				claims[p.name] = true
				switch why := p.holds(o, c, &traits); why {
				case "":
					checked[p.name] = true
				case skip: // another call may tell
				default:
					wrong = true
					t.Errorf("%s, %s: %s (%v of %v)", name, p.name, why, c.Attrs, c.In)
				}
			}
			if wrong {
				break
			}
		}
		if checked["batch"] {
			apart++
		}
		for _, p := range properties {
			if (claims[p.name] || len(claims) == 0 && p.name != "batch" && p.claimed(&o.Traits)) && !checked[p.name] && p.name != "batch" {
				unchecked[p.name] = append(unchecked[p.name], name)
			}
		}
	}
	if apart < 100 {
		t.Errorf("only %d rows were seen to keep samples apart", apart)
	}
	for name, rows := range unchecked {
		t.Errorf("%s: nothing checks it for %s", name, strings.Join(rows, " "))
	}
}
