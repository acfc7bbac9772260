package engine

import (
	"slices"

	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/program"
)

func bindAdd(a *program.Add) (*step, error) {
	spec, err := sumOf(&a.Sum, a.A.DType, a.B.DType, a.Out.DType)
	if err != nil {
		return nil, err
	}
	return bytesStep(viewOf(a.Out), viewOf(a.A), viewOf(a.B), func(dst, x, y []uint8) { asm.AddU8(dst, x, y, &spec) }), nil
}

func bindMul(a *program.Mul) (*step, error) {
	req, err := requantOf(a.Requant)
	if err != nil {
		return nil, err
	}
	zeroA, zeroB := stored(a.ZeroA, a.A.DType), stored(a.ZeroB, a.B.DType)
	kernel := func(dst, x, y []uint8) { asm.MulU8(dst, x, y, zeroA, zeroB, req) }
	dst, left, right := viewOf(a.Out), viewOf(a.A), viewOf(a.B)
	if !a.PerChannel {
		return bytesStep(dst, left, right, kernel), nil
	}
	return rowStep(dst, func(c *call, w *worker, s, y0, y1 int) {
		m, l, numbers := dst.u8(c, s), left.u8(c, s), right.u8(c, s).Data[:dst.c]
		for y := y0; y < y1; y++ {
			for x := range m.W {
				kernel(m.Data[y*m.RowStride+x*m.PixStride:][:m.C], l.Data[y*l.RowStride+x*l.PixStride:][:m.C], numbers)
			}
		}
	}), nil
}

// bytesStep computes bytes of pairs of bytes.
func bytesStep(dst, left, right *view, kernel func(dst, x, y []uint8)) *step {
	return rowStep(dst, func(c *call, w *worker, s, y0, y1 int) {
		m, l, r := dst.u8(c, s), left.u8(c, s), right.u8(c, s)
		for y := y0; y < y1; y++ {
			eachRun(m, l, r, y, kernel)
		}
	})
}

func bindTable(a *program.Table) *step {
	dst, src := viewOf(a.Out), viewOf(a.In)
	var table [256]uint8
	for q := range table {
		table[q] = a.Table[uint8(q)^flipOf(src.dtype)] ^ flipOf(dst.dtype)
	}
	return rowStep(dst, func(c *call, w *worker, s, y0, y1 int) {
		pairs(dst.u8(c, s), src.u8(c, s), y0, y1, func(d, x []uint8) { asm.LookupU8(d, x, &table) })
	})
}

func poolSpec(g *program.Geometry) asm.PoolSpec {
	return asm.PoolSpec{KH: g.Kernel[0], KW: g.Kernel[1], StrideH: g.Stride[0], StrideW: g.Stride[1],
		DilationH: g.Dilation[0], DilationW: g.Dilation[1], PadTop: g.Pad.Top, PadLeft: g.Pad.Left}
}

func bindMaxPool(a *program.MaxPool) *step {
	dst, src := viewOf(a.Out), viewOf(a.In)
	if !dst.bytes() {
		spec := poolSpec(&a.Geometry)
		return rowStep(dst, func(c *call, wk *worker, s, y0, y1 int) {
			asm.MaxPoolF32(dst.f32(c, s), src.f32(c, s), spec, y0, y1)
		})
	}
	spec := convSpec(&a.Geometry)
	spec.Groups = 1
	src = src.padded(a.Pad)
	return rowStep(dst, func(c *call, w *worker, s, y0, y1 int) {
		asm.MaxPoolU8(dst.u8(c, s), src.u8(c, s), spec, y0, y1)
	})
}

func (b *binder) averagePool(s *program.Step, a *program.AveragePool) (*step, error) {
	dst, src := viewOf(a.Out), viewOf(a.In)
	if a.Requant == nil {
		spec := poolSpec(&a.Geometry)
		return rowStep(dst, func(c *call, wk *worker, s, y0, y1 int) {
			asm.AveragePoolF32(dst.f32(c, s), src.f32(c, s), spec, a.CountPad, y0, y1)
		}), nil
	}
	req, err := requantOf(a.Requant)
	if err != nil {
		return nil, err
	}
	src = src.padded(a.Pad)
	zero, c := stored(a.ZeroIn, a.In.DType), dst.c
	if dst.h*dst.w == 1 && a.Kernel == [2]int{src.h, src.w} {
		return sampleStep(dst, func(cl *call, w *worker, s int) {
			asm.GlobalAvgPoolU8(dst.u8(cl, s).Data[:c], src.u8(cl, s), zero, req)
		}), nil
	}
	ones, err := packedFor(b.net, s, &program.Weights{}, func() (*asm.ConvS8, error) { // a depthwise convolution by ones
		spec := convSpec(&a.Geometry)
		spec.Groups = c
		return asm.PackConvS8(slices.Repeat([]int8{1}, c*spec.KH*spec.KW), nil, zero, c, c, spec)
	})
	if err != nil {
		return nil, err
	}
	return convS8Step(dst, src, ones, &epilogue{req: req}), nil
}

// gridOf returns the kernels that convert from and to floats.
func gridOf(c program.Coding) (*asm.Grid[uint8], error) {
	g, err := asm.NewGrid(c.Scale, stored(c.Zero, c.Type), 0, 255)
	return &g, err
}

func bindDequantize(a *program.Dequantize) (*step, error) {
	grid, err := gridOf(a.Coding)
	if err != nil {
		return nil, err
	}
	dst, src := viewOf(a.Out), viewOf(a.In)
	return rowStep(dst, func(c *call, w *worker, s, y0, y1 int) {
		pairs(dst.f32(c, s), src.u8(c, s), y0, y1, grid.Dequantize)
	}), nil
}

func bindQuantize(a *program.Quantize) (*step, error) {
	grid, err := gridOf(a.Coding)
	if err != nil {
		return nil, err
	}
	dst, src := viewOf(a.Out), viewOf(a.In)
	if a.In.Place == program.IsInput {
		return quantizeInput(dst, a.In.Index, grid), nil
	}
	return rowStep(dst, func(c *call, w *worker, s, y0, y1 int) {
		pairs(dst.u8(c, s), src.f32(c, s), y0, y1, grid.Quantize)
	}), nil
}

// quantizeInput makes bytes of input i of the run.
func quantizeInput(dst *view, i int, grid *asm.Grid[uint8]) *step {
	size := dst.elements()
	return rowStep(dst, func(cl *call, w *worker, s, y0, y1 int) {
		from := cl.in[i].F32()[(cl.first+s)*size:][:size]
		m := dst.u8(cl, s)
		if !dst.last || m.H*m.W == 1 || m.C == 1 {
			from = from[y0*m.W*m.C:]
			runs(m, y0, y1, func(at, n int) {
				grid.Quantize(m.Data[at:at+n], from[:n])
				from = from[n:]
			})
			return
		}
		// Channel by channel, then one row of all channels becomes pixels.
		area, rows := m.H*m.W, (y1-y0)*m.W
		bytes := w.bytes(m.C * rows)
		for ch := range m.C {
			grid.Quantize(bytes[ch*rows:][:rows], from[ch*area+y0*m.W:][:rows])
		}
		for y := y0; y < y1; y++ {
			asm.TransposeU8(m.Data[y*m.RowStride:], bytes[(y-y0)*m.W:], m.C, m.W, m.PixStride, rows)
		}
	})
}
