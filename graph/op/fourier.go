package op

import (
	"math"
	"math/cmplx"
	"slices"

	"github.com/narrow-ml/narrow/tensor"
)

var _ = register(
	spec{name: "DFT", min: 1, max: 3, infer: inferDFT, run: runDFT, anyType: true}.
		is(plain, inputs(Data, Index), tensors, tensorScale, batch(dftSamples)),
	spec{name: "STFT", min: 2, max: 4, infer: inferSTFT, run: runSTFT, anyType: true}.
		is(plain, inputs(Data, Index, Param, Index), tensors, tensorScale, batch(firstInput)),
	taperWindow("HannWindow", 0.5, 0.5, 0),
	taperWindow("HammingWindow", 25.0/46, 21.0/46, 0),
	taperWindow("BlackmanWindow", 0.42, 0.5, 0.08),
)

// taperWindow makes an operator that gives a - b*cos(t) + c*cos(2t) over one turn.
func taperWindow(name string, a, b, c2 float64) spec {
	return spec{name: name, min: 1, anyType: true, infer: func(c *Call) error {
		d, ok := fileTypes[c.Attrs.Int("output_datatype", 1)]
		if !ok {
			return badAttr("output_datatype: element type %d is not supported", c.Attrs.Int("output_datatype", 1))
		}
		size, known, err := c.intsInput(0)
		switch {
		case err != nil:
			return err
		case !known:
			c.setType(d, []int{Unknown})
			return nil
		case len(size) != 1 || size[0] < 0:
			return badInput("a window of size %v", size)
		}
		c.setType(d, size)
		return nil
	}, run: func(c *Call) error {
		n := c.OutType[0].Shape[0]
		turn := float64(n)
		if c.Attrs.Int("periodic", 1) == 0 {
			turn = float64(n - 1)
		}
		values := make([]float64, n)
		for i := range values {
			t := 2 * math.Pi * float64(i) / turn
			values[i] = a - b*math.Cos(t) + c2*math.Cos(2*t)
		}
		setFloats(c.out(0), values)
		return nil
	}}.is(plain, inputs(Shape), batch(never))
}

// transform returns the sums of x times e^(sign*2*pi*i*k*n/len): in halves as
// long as the length is even.
func transform(x []complex128, sign float64) []complex128 {
	n := len(x)
	out := make([]complex128, n)
	if n%2 == 1 {
		for k := range out {
			for i, v := range x {
				out[k] += v * cmplx.Rect(1, sign*2*math.Pi*float64(i*k%n)/float64(n))
			}
		}
		return out
	}
	if n == 0 {
		return out
	}
	parts := [2][]complex128{make([]complex128, n/2), make([]complex128, n/2)}
	for i, v := range x {
		parts[i%2][i/2] = v
	}
	even, odd := transform(parts[0], sign), transform(parts[1], sign)
	for k := range even {
		v := odd[k] * cmplx.Rect(1, sign*2*math.Pi*float64(k)/float64(n))
		out[k], out[k+n/2] = even[k]+v, even[k]-v
	}
	return out
}

// dft is what attributes and inputs ask of a DFT.
type dft struct {
	axis, length, bins int
	inverse, oneSided  bool
}

// dftOf reads them; ok is false if one is not known yet.
func dftOf(c *Call) (d dft, ok bool, err error) {
	x := c.Types[0]
	d.inverse, d.oneSided = c.Attrs.Int("inverse", 0) != 0, c.Attrs.Int("onesided", 0) != 0
	axis := []int{c.Attrs.Int("axis", 1)}
	if c.version() >= 20 {
		if axis = []int{-2}; c.has(2) {
			v, known, err := c.intsInput(2)
			if err != nil || !known {
				return d, false, err
			}
			axis = v
		}
	}
	if len(axis) != 1 {
		return d, false, badInput("axis is %v", axis)
	}
	if !x.Static() {
		return d, false, nil
	}
	if d.axis, err = normAxis(axis[0], len(x.Shape)); err != nil || d.axis == len(x.Shape)-1 {
		return d, false, badInput("axis %d of shape %v", axis[0], x.Shape)
	}
	parts := x.Shape[len(x.Shape)-1]
	if parts != 1 && parts != 2 {
		return d, false, badInput("shape %v does not end with real and imaginary parts", x.Shape)
	}
	d.length = x.Shape[d.axis]
	if d.oneSided && d.inverse {
		d.length = 2 * (d.length - 1)
	}
	if c.has(1) {
		v, known, err := c.intsInput(1)
		if err != nil || !known {
			return d, false, err
		}
		if len(v) != 1 || v[0] < 1 {
			return d, false, badInput("dft_length is %v", v)
		}
		d.length = v[0]
	}
	if d.length < 1 || d.length > maxElements {
		return d, false, badInput("a transform of length %d", d.length)
	}
	if d.bins = d.length; d.oneSided && !d.inverse {
		d.bins = d.length/2 + 1
	}
	return d, true, nil
}

func inferDFT(c *Call) error {
	if err := c.wantType(0, floatTypes...); err != nil {
		return err
	}
	d, ok, err := dftOf(c)
	c.OutType[0] = Type{DType: c.Types[0].DType}
	if err != nil || !ok {
		return err
	}
	shape := slices.Clone(c.Types[0].Shape)
	shape[d.axis], shape[len(shape)-1] = d.bins, 2
	if d.oneSided && d.inverse {
		shape[len(shape)-1] = 1
	}
	c.setType(c.Types[0].DType, shape)
	return nil
}

func runDFT(c *Call) error {
	d, _, err := dftOf(c)
	if err != nil {
		return err
	}
	shape, out := c.Types[0].Shape, c.OutType[0].Shape
	last := len(shape) - 1
	x, y := c.In[0].Float64s(), make([]float64, tensor.Volume(out))
	n, parts, outParts, inner := shape[d.axis], shape[last], out[last], tensor.Volume(shape[d.axis+1:last])
	lanes := tensor.Volume(shape[:d.axis]) * inner
	sign, factor := -1.0, 1.0
	if d.inverse {
		sign, factor = 1, 1/float64(d.length)
	}
	signal := make([]complex128, d.length)
	for lane := range lanes {
		clear(signal)
		for i := range min(n, d.length) {
			at := ((lane/inner*n+i)*inner + lane%inner) * parts
			signal[i] = complex(x[at], 0)
			if parts == 2 {
				signal[i] = complex(x[at], x[at+1])
			}
		}
		if d.oneSided && d.inverse { // the other half mirrors this one
			for i := d.length/2 + 1; i < d.length; i++ {
				signal[i] = cmplx.Conj(signal[d.length-i])
			}
		}
		for k, v := range transform(signal, sign)[:d.bins] {
			at := ((lane/inner*d.bins+k)*inner + lane%inner) * outParts
			y[at] = real(v) * factor
			if outParts == 2 {
				y[at+1] = imag(v) * factor
			}
		}
	}
	setFloats(c.out(0), y)
	return nil
}

func dftSamples(s *Samples) bool {
	d, ok, err := dftOf(s.Call)
	return ok && err == nil && d.axis != 0 && firstInput(s)
}

// stft is what the inputs of a STFT ask for.
type stft struct{ step, length, frames, bins int }

func stftOf(c *Call) (f stft, ok bool, err error) {
	x := c.Types[0]
	one := func(i, def int) int {
		v, known, e := c.intsInput(i)
		switch {
		case e != nil:
			err = e
		case known && (len(v) != 1 || v[0] < 1):
			err = badInput("input %d is %v, one number from 1 up is needed", i, v)
		case known:
			return v[0]
		case c.has(i):
			return Unknown
		}
		return def
	}
	if !x.Static() || c.has(2) && !c.typ(2).Static() {
		return f, false, nil
	}
	if len(x.Shape) != 2 && len(x.Shape) != 3 {
		return f, false, badInput("a signal of shape %v", x.Shape)
	}
	def := x.Shape[1]
	if c.has(2) {
		def = tensor.Volume(c.typ(2).Shape)
	}
	f.step, f.length = one(1, Unknown), one(3, def)
	if err != nil || f.step == Unknown || f.length == Unknown {
		return f, false, err
	}
	if f.step < 1 || f.length < 1 || f.length > x.Shape[1] || c.has(2) && tensor.Volume(c.typ(2).Shape) != f.length || len(x.Shape) == 3 && x.Shape[2] != 1 && x.Shape[2] != 2 {
		return f, false, badInput("frames of %d elements every %d of a signal of shape %v", f.length, f.step, x.Shape)
	}
	f.frames = (x.Shape[1]-f.length)/f.step + 1
	if f.bins = f.length; c.Attrs.Int("onesided", 1) != 0 {
		f.bins = f.length/2 + 1
	}
	return f, true, nil
}

func inferSTFT(c *Call) error {
	if err := c.wantType(0, floatTypes...); err != nil {
		return err
	}
	f, ok, err := stftOf(c)
	c.OutType[0] = Type{DType: c.Types[0].DType}
	if err == nil && ok {
		c.setType(c.Types[0].DType, []int{c.Types[0].Shape[0], f.frames, f.bins, 2})
	}
	return err
}

func runSTFT(c *Call) error {
	f, _, err := stftOf(c)
	if err != nil {
		return err
	}
	shape, x := c.Types[0].Shape, c.In[0].Float64s()
	parts := 1
	if len(shape) == 3 {
		parts = shape[2]
	}
	var taper []float64
	if t := c.in(2); t != nil {
		taper = t.Float64s()
	}
	y := make([]float64, 0, shape[0]*f.frames*f.bins*2)
	frame := make([]complex128, f.length)
	for i := range shape[0] * f.frames {
		start := i/f.frames*shape[1] + i%f.frames*f.step
		for k := range frame {
			v := complex(x[(start+k)*parts], 0)
			if parts == 2 {
				v = complex(real(v), x[(start+k)*2+1])
			}
			if taper != nil {
				v *= complex(taper[k], 0)
			}
			frame[k] = v
		}
		for _, v := range transform(frame, -1)[:f.bins] {
			y = append(y, real(v), imag(v))
		}
	}
	setFloats(c.out(0), y)
	return nil
}
