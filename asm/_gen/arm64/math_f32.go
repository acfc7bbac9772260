package main

import (
	"fmt"
	"math"

	"github.com/narrow-ml/narrow/asm/_gen/fit"
)

// mathF32 writes the transcendental functions, one vector at a time. Formulas
// and polynomials are those of amd64, and so are the results.
func mathF32(f *file) {
	c := &constants{name: "mathF32"}
	for _, k := range []struct {
		name string
		body func(m *math32, x V) V
	}{
		{"exp", (*math32).exp}, {"sigmoid", (*math32).sigmoid}, {"tanh", (*math32).tanh}, {"erf", (*math32).erf}, {"gelu", (*math32).gelu}, {"hardSwish", (*math32).hardSwish},
	} {
		fn := f.function(k.name+"F32NEON", "is "+k.name+"F32.", "dst, x []float32, p, q float32", "")
		s := arguments(fn, "dst", "x")
		const base X = 5
		fn.line("MOVD $%s<>(SB), %s", c.name, base)
		s.run(func(u int) V {
			m := &math32{fn: fn, constants: c, base: base, next: 4 + V(u%2)*14} // results of two vectors are stored together
			return k.body(m, vIn(0, u))
		})
	}
	c.write(f)
}

// constants is a table in read-only memory of numbers, each in four lanes.
type constants struct {
	name  string
	words []uint32
}

// offset returns where the word is in the table.
func (c *constants) offset(word uint32) int {
	for i, w := range c.words {
		if w == word {
			return 16 * i
		}
	}
	c.words = append(c.words, word)
	return 16 * (len(c.words) - 1)
}

func (c *constants) write(f *file) {
	f.asm.WriteString("\n")
	for i, w := range c.words {
		for half := range 2 {
			fmt.Fprintf(&f.asm, "DATA %s<>+%d(SB)/8, $0x%08x%08x\n", c.name, 16*i+8*half, w, w)
		}
	}
	fmt.Fprintf(&f.asm, "GLOBL %s<>(SB), RODATA|NOPTR, $%d\n", c.name, 16*len(c.words))
}

// math32 writes the functions of one vector. Registers from next on are free.
type math32 struct {
	*fn
	*constants
	base X
	next V
}

func (m *math32) vec() V {
	m.next++
	return m.next - 1
}

// bits and number return a new register with a constant in all lanes.
func (m *math32) bits(word uint32) V {
	v := m.vec()
	m.ldrQ(v, m.base, m.offset(word))
	return v
}

func (m *math32) number(x float64) V { return m.bits(math.Float32bits(float32(x))) }

func (m *math32) copyOf(x V) V {
	v := m.vec()
	m.op("orr.16b", v, x, x)
	return v
}

// of writes an instruction that sets a new register from those given.
func (m *math32) of(name string, from ...any) V {
	v := m.vec()
	m.op(name, append([]any{v}, from...)...)
	return v
}

// polynomial returns the polynomial in x. It uses up one register.
func (m *math32) polynomial(x V, coefficients []float64) V {
	last := len(coefficients) - 1
	r, spare := m.number(coefficients[last]), m.vec()
	for i := last - 1; i >= 0; i-- {
		m.ldrQ(spare, m.base, m.offset(math.Float32bits(float32(coefficients[i]))))
		m.op("fmla.4s", spare, r, x)
		r, spare = spare, r
	}
	return r
}

// exp returns e^x and changes x: see amd64.
func (m *math32) exp(x V) V {
	const magic = 3 << 22
	free := m.next + 1 // what is above the result is free again afterwards
	p := m.vec()
	m.op("fmax.4s", x, x, m.number(-104))
	m.op("fmin.4s", x, x, m.number(89))
	m.next = free
	shifted, bias := m.number(magic), m.number(magic)
	m.op("fmla.4s", shifted, x, m.number(1/math.Ln2))
	n := m.of("fsub.4s", shifted, bias)
	high := float64(math.Float32frombits(math.Float32bits(math.Ln2) &^ 0xfff))
	m.op("fmls.4s", x, n, m.number(high))
	m.op("fmls.4s", x, n, m.number(math.Ln2-high))
	m.op("sub.4s", shifted, shifted, m.bits(math.Float32bits(magic)))
	m.next = shifted + 1
	poly := m.polynomial(x, fit.Exp)
	square := m.of("fmul.4s", x, x)
	m.op("fmla.4s", x, poly, square)
	one := m.number(1)
	m.op("fadd.4s", p, x, one)
	half := m.of("sshr.4s", shifted, 1)
	m.op("sub.4s", shifted, shifted, half)
	for _, exponent := range []V{half, shifted} {
		m.op("shl.4s", exponent, exponent, 23)
		m.op("add.4s", exponent, exponent, one)
		m.op("fmul.4s", p, p, exponent)
	}
	m.next = free
	return p
}

// sigmoid returns 1/(1+e^-x).
func (m *math32) sigmoid(x V) V {
	m.op("fneg.4s", x, x)
	return m.reciprocal(m.exp(x))
}

// reciprocal returns 1/(1+x).
func (m *math32) reciprocal(x V) V {
	one := m.number(1)
	m.op("fadd.4s", x, x, one)
	m.op("fdiv.4s", x, one, x)
	return x
}

// tanh returns x+x³P(x²) for small |x| and 1-2/(1+e^2|x|), with the sign of x,
// beyond.
func (m *math32) tanh(x V) V {
	near, abs := m.copyOf(x), m.of("fabs.4s", x)
	twice := m.of("fadd.4s", abs, abs)
	square := m.of("fmul.4s", x, x)
	p := m.polynomial(square, fit.Tanh)
	m.op("fmul.4s", p, p, square)
	m.op("fmla.4s", near, x, p)
	m.next = square
	far := m.reciprocal(m.exp(twice))
	m.op("fadd.4s", far, far, far)
	m.op("fsub.4s", far, m.number(1), far)
	return m.choose(x, abs, fit.TanhSmall, near, far)
}

// erf returns x*P(x²) for small |x| and 1-e^-Q(|x|), with the sign of x,
// beyond.
func (m *math32) erf(x V) V {
	near, abs := m.vec(), m.of("fabs.4s", x)
	square := m.of("fmul.4s", x, x)
	m.op("fmul.4s", near, m.polynomial(square, fit.Erf), x)
	m.next = square
	limited := m.of("fmin.4s", abs, m.number(fit.ErfOne))
	q := m.polynomial(limited, fit.ErfTail)
	m.op("fneg.4s", limited, q)
	m.next = limited + 1
	far := m.exp(limited)
	m.op("fsub.4s", far, m.number(1), far)
	return m.choose(x, abs, fit.ErfSmall, near, far)
}

// gelu returns max(x, 0) - |x|/2 * e^-Q(|x|): see amd64.
func (m *math32) gelu(x V) V {
	const magic = 3 << 22
	half := m.of("fabs.4s", x)
	m.op("fmin.4s", half, half, m.number(fit.GeluLimit))
	m.next = half + 1
	near := m.of("fmin.4s", half, m.number(fit.GeluEnd))
	q := m.polynomial(near, fit.GeluTail)
	m.op("fsub.4s", near, half, near)
	m.op("fmla.4s", q, near, m.number(fit.GeluGrowth))
	r := near
	m.op("fneg.4s", r, q)
	m.next = r + 1
	if q == r+1 {
		m.next = q + 1
	}
	n, bias := m.number(magic), m.number(magic)
	m.op("fmla.4s", n, q, m.number(1/math.Ln2))
	shift := m.of("shl.4s", n, 23)
	m.op("fsub.4s", n, n, bias)
	high := float64(math.Float32frombits(math.Float32bits(math.Ln2) &^ 0xfff))
	m.op("fmla.4s", r, n, m.number(high))
	m.op("fmla.4s", r, n, m.number(math.Ln2-high))
	m.next = shift + 1
	poly := m.polynomial(r, fit.Exp)
	square := m.of("fmul.4s", r, r)
	m.op("fmla.4s", r, poly, square)
	m.op("fadd.4s", r, r, m.number(1))
	m.op("sub.4s", r, r, shift)
	m.next = shift + 1
	m.op("fmul.4s", half, half, m.number(0.5))
	zero := m.number(0)
	m.op("fmax.4s", x, x, zero)
	m.op("fmls.4s", x, half, r)
	return x
}

// choose returns near where abs < limit, and far with the sign of x elsewhere.
func (m *math32) choose(x, abs V, limit float64, near, far V) V {
	m.op("bit.16b", far, x, m.bits(1<<31))
	below := m.of("fcmgt.4s", m.number(limit), abs)
	m.op("bsl.16b", below, near, far)
	return below
}

// hardSwish returns x*clamp(x/6+1/2, 0, 1), with x no less than -3 so that the
// product for minus infinity is 0.
func (m *math32) hardSwish(x V) V {
	m.op("fmax.4s", x, x, m.number(-3))
	gate := m.number(0.5)
	m.op("fmla.4s", gate, x, m.number(1.0/6))
	m.op("fmax.4s", gate, gate, m.bits(0))
	m.op("fmin.4s", gate, gate, m.number(1))
	m.op("fmul.4s", x, x, gate)
	return x
}
