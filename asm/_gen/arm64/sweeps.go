package main

// Offsets of the parameters in gridParams, which holds numbers, and
// channelParams, which holds pointers to as many.
var (
	gridOffsets    = [...]int{gridLo: 0, gridHi: 4, gridInv: 8, gridScale: 12, gridZero: 16}
	channelOffsets = [...]int{gridLo: 0, gridHi: 8, gridInv: 16, gridScale: 24, gridZero: 32}
)

const (
	channelCount = 40 // the number of channels
	channelStep  = 48 // 16 modulo that
)

// The parameters of quantization, and the vectors that hold them.
const (
	gridLo = iota
	gridHi
	gridInv
	gridScale
	gridZero

	vGrid    V = 16 // five registers
	vOdd     V = 21 // and five more, for every second vector of a channels kernel
	vScratch V = 26
)

// An element is an integer type of quantized data.
type element struct {
	name, goType string
	size         int       // bytes
	widen        [2]string // from a vector of bytes or 16-bit numbers to twice the width: lower and upper half
}

var (
	s8  = element{"S8", "int8", 1, [2]string{"sxtl.8h", "sxtl2.8h"}}
	u8  = element{"U8", "uint8", 1, [2]string{"uxtl.8h", "uxtl2.8h"}}
	s16 = element{"S16", "int16", 2, [2]string{"sxtl.4s", "sxtl2.4s"}}
	u16 = element{"U16", "uint16", 2, [2]string{"uxtl.4s", "uxtl2.4s"}}
	s32 = element{"S32", "int32", 4, [2]string{}}
	f32 = element{"F32", "float32", 4, [2]string{}}
)

// sweeps writes the kernels that quantize, dequantize, and do both, 16
// elements at once. Division is by multiplication with the reciprocal and one
// correction, as on amd64.
func sweeps(f *file) {
	for _, channels := range []bool{false, true} {
		for _, e := range []element{s8, u8, s16, u16} {
			quantize(f, e, channels)
		}
		for _, e := range []element{s8, u8, s16, u16, s32} {
			dequantize(f, e, channels)
		}
		quantizeDequantize(f, channels)
	}
}

func quantize(f *file, e element, channels bool) {
	l := startSweep(f, "quantize", "F32"+e.name, e, f32, channels)
	l.run([]int{gridLo, gridHi, gridInv, gridScale, gridZero}, func() {
		loadWide(l.fn, f32, sweepX)
	}, func(i, p V) {
		toInteger(l.fn, i, 4+i, p)
		l.fn.op("add.4s", i, 4+i, p+gridZero)
	}, func() {
		storeNarrow(l.fn, e, sweepDst)
	})
}

func dequantize(f *file, e element, channels bool) {
	l := startSweep(f, "dequantize", e.name+"F32", f32, e, channels)
	l.run([]int{gridScale, gridZero}, func() {
		loadWide(l.fn, e, sweepX)
	}, func(i, p V) {
		l.fn.op("sub.4s", i, i, p+gridZero)
		l.fn.op("scvtf.4s", i, i)
		l.fn.op("fmul.4s", i, i, p+gridScale)
	}, func() {
		storeNarrow(l.fn, f32, sweepDst)
	})
}

func quantizeDequantize(f *file, channels bool) {
	l := startSweep(f, "quantizeDequantize", "F32", f32, f32, channels)
	l.run([]int{gridLo, gridHi, gridInv, gridScale}, func() {
		loadWide(l.fn, f32, sweepX)
	}, func(i, p V) {
		toInteger(l.fn, i, 4+i, p)
		l.fn.op("scvtf.4s", i, 4+i)
		l.fn.op("fmul.4s", i, i, p+gridScale)
	}, func() {
		storeNarrow(l.fn, f32, sweepDst)
	})
}

// toInteger sets q to round(v/scale) within the grid whose parameters are in p
// and up, and changes v. NaN goes through all of it, and FCVTNS makes it 0.
func toInteger(fn *fn, v, q, p V) {
	fn.op("fmax.4s", v, v, p+gridLo)
	fn.op("fmin.4s", v, v, p+gridHi)
	fn.op("fmul.4s", q, v, p+gridInv)
	fn.op("fmls.4s", v, q, p+gridScale) // the remainder
	fn.op("fmla.4s", q, v, p+gridInv)
	fn.op("fcvtns.4s", q, q)
}

// loadWide loads 16 elements as 32-bit numbers into V0-V3.
func loadWide(fn *fn, e element, from X) {
	switch e.size {
	case 4:
		fn.line("FLDPQ.P 32(%s), (F0, F1)", from)
		fn.line("FLDPQ.P 32(%s), (F2, F3)", from)
		return
	case 2:
		fn.line("FLDPQ.P 32(%s), (%s, %s)", from, vScratch.F(), (vScratch + 1).F())
		widen(fn, e, 0, vScratch)
		widen(fn, e, 2, vScratch+1)
	case 1:
		fn.line("FMOVQ.P 16(%s), F0", from)
		widen(fn, e, vScratch, 0)
		e16 := s16
		if e == u8 {
			e16 = u16
		}
		widen(fn, e16, 0, vScratch)
		widen(fn, e16, 2, vScratch+1)
	}
}

// widen sets to and the register after it to the halves of from.
func widen(fn *fn, e element, to, from V) {
	fn.op(e.widen[0], to, from)
	fn.op(e.widen[1], to+1, from)
}

// storeNarrow stores 16 32-bit numbers, which fit in the element, from V0-V3.
func storeNarrow(fn *fn, e element, to X) {
	if e.size == 4 {
		fn.line("FSTPQ.P (F0, F1), 32(%s)", to)
		fn.line("FSTPQ.P (F2, F3), 32(%s)", to)
		return
	}
	fn.op("uzp1.8h", V(0), V(0), V(1))
	fn.op("uzp1.8h", V(1), V(2), V(3))
	if e.size == 2 {
		fn.line("FSTPQ.P (F0, F1), 32(%s)", to)
		return
	}
	fn.op("uzp1.16b", V(0), V(0), V(1))
	fn.line("FMOVQ.P F0, 16(%s)", to)
}

// Registers of the sweeps.
const (
	sweepDst X = iota
	sweepX
	sweepN
	sweepP
	sweepFirst // the channel of the next element
	sweepCount
	sweepStep
	sweepT
)

// sweepBase points at each parameter of the channels, sweepAt at those of the
// next element.
var (
	sweepBase = [...]X{8, 9, 10, 11, 12}
	sweepAt   = [...]X{13, 14, 15, 19, 20}
)

// A sweepLoop is a kernel that goes through two slices side by side.
type sweepLoop struct {
	fn       *fn
	channels bool
}

func startSweep(f *file, op, types string, dst, x element, channels bool) sweepLoop {
	params := "p *gridParams"
	if channels {
		op, params = op+"Channels", "p *channelParams, first int"
	}
	name := op + types
	fn := f.function(name+"NEON", "is "+name+" for a length that is a multiple of 16.", "dst []"+dst.goType+", x []"+x.goType+", "+params, "")
	fn.arg("dst", "base", sweepDst)
	fn.arg("x", "base", sweepX)
	fn.arg("x", "len", sweepN)
	fn.arg("p", "", sweepP)
	if channels {
		fn.arg("first", "", sweepFirst)
	}
	return sweepLoop{fn, channels}
}

// run writes the loop: load, then body for each vector i with the parameters
// named in p and up, then store.
func (l sweepLoop) run(params []int, load func(), body func(i, p V), store func()) {
	fn := l.fn
	for _, p := range params {
		if l.channels {
			fn.line("MOVD %d(%s), %s", channelOffsets[p], sweepP, sweepBase[p])
			continue
		}
		fn.line("ADD $%d, %s, %s", gridOffsets[p], sweepP, sweepT)
		fn.line("VLD1R (%s), [%s.S4]", sweepT, vGrid+V(p))
	}
	if l.channels {
		fn.line("MOVD %d(%s), %s", channelCount, sweepP, sweepCount)
		fn.line("MOVD %d(%s), %s", channelStep, sweepP, sweepStep)
	}
	loop, done := fn.newLabel("loop"), fn.newLabel("done")
	fn.line("CBZ %s, %s", sweepN, done)
	fn.at(loop)
	load()
	if l.channels {
		for _, p := range params {
			fn.line("ADD %s<<2, %s, %s", sweepFirst, sweepBase[p], sweepAt[p])
		}
	}
	for i := range V(4) {
		p := vGrid
		if l.channels && i%2 == 1 {
			p = vOdd
		}
		if l.channels && i%2 == 0 {
			for _, param := range params {
				fn.ldpQ(vGrid+V(param), vOdd+V(param), sweepAt[param], 16*int(i))
			}
		}
		body(i, p)
	}
	store()
	if l.channels {
		fn.line("ADD %s, %s, %s", sweepStep, sweepFirst, sweepFirst)
		fn.line("SUBS %s, %s, %s", sweepCount, sweepFirst, sweepT)
		fn.line("CSEL GE, %s, %s, %s", sweepT, sweepFirst, sweepFirst)
	}
	fn.line("SUBS $16, %s, %s", sweepN, sweepN)
	fn.line("BNE %s", loop)
	fn.at(done)
	fn.done()
}

// sweepError writes the kernels that add up what quantization loses, in 16
// lanes of float64, V8-V15.
func sweepError(f *file) {
	errorPower(f, "errorAbsF32", func(fn *fn, acc, d V) {
		fn.op("fabs.2d", d, d)
		fn.op("fadd.2d", acc, acc, d)
	})
	errorPower(f, "errorSquareF32", func(fn *fn, acc, d V) {
		fn.op("fmla.2d", acc, d, d) // the square is exact
	})
	errorPower(f, "errorFourthF32", func(fn *fn, acc, d V) {
		fn.op("fmul.2d", d, d, d)
		fn.op("fmul.2d", d, d, d)
		fn.op("fadd.2d", acc, acc, d)
	})
}

func errorPower(f *file, name string, add func(fn *fn, acc, d V)) {
	const (
		acc  V = 8
		x    V = 4
		wide V = vScratch
		sum    = sweepDst
	)
	fn := f.function(name+"NEON", "is "+name+" for a length that is a multiple of 16.", "sum *[16]float64, x []float32, p *gridParams", "")
	fn.arg("sum", "", sum)
	fn.arg("x", "base", sweepX)
	fn.arg("x", "len", sweepN)
	fn.arg("p", "", sweepP)
	for _, p := range []int{gridLo, gridHi, gridInv, gridScale} {
		fn.line("ADD $%d, %s, %s", gridOffsets[p], sweepP, sweepT)
		fn.line("VLD1R (%s), [%s.S4]", sweepT, vGrid+V(p))
	}
	for i := V(0); i < 8; i += 2 {
		fn.ldpQ(acc+i, acc+i+1, sum, 16*int(i))
	}
	loop, done := fn.newLabel("loop"), fn.newLabel("done")
	fn.line("CBZ %s, %s", sweepN, done)
	fn.at(loop)
	fn.line("FLDPQ.P 32(%s), (F0, F1)", sweepX)
	fn.line("FLDPQ.P 32(%s), (F2, F3)", sweepX)
	for i := range V(4) {
		q := vScratch + 1
		fn.op("orr.16b", x, i, i)
		toInteger(fn, i, q, vGrid)
		fn.op("scvtf.4s", q, q)
		fn.op("fmul.4s", q, q, vGrid+gridScale)
		fn.op("fsub.4s", x, x, q)
		for half, widen := range []string{"fcvtl.2d", "fcvtl2.2d"} {
			fn.op(widen, wide, x)
			add(fn, acc+2*i+V(half), wide)
		}
	}
	fn.line("SUBS $16, %s, %s", sweepN, sweepN)
	fn.line("BNE %s", loop)
	fn.at(done)
	for i := V(0); i < 8; i += 2 {
		fn.stpQ(acc+i, acc+i+1, sum, 16*int(i))
	}
	fn.done()
}
