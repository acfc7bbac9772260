package engine

import (
	"math"

	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/program"
	"github.com/narrow-ml/narrow/tensor"
)

var inf = float32(math.Inf(1))

// residual is where a worker keeps what is to be added, which kernels take by
// reference: here it need not be allocated.
type residual struct {
	image      asm.Image[float32]
	bytesToAdd asm.Residual
}

func convSpec(g *program.Geometry) asm.ConvSpec {
	return asm.ConvSpec{KH: g.Kernel[0], KW: g.Kernel[1], StrideH: g.Stride[0], StrideW: g.Stride[1],
		DilationH: g.Dilation[0], DilationW: g.Dilation[1], Groups: g.Groups}
}

// ordered returns weights in ONNX's order [m][c/groups][kh][kw]: x itself if they are so already.
func ordered[T any](w *program.Weights, x []T) []T {
	area := w.Kernel[0] * w.Kernel[1]
	steps := [5]int{w.PerGroup * w.In * area, w.In * area, w.Kernel[1], 1, area}
	same := w.First == 0
	for i, n := range []int{w.Groups, w.PerGroup, w.Kernel[0], w.Kernel[1], w.In} {
		same = same && (n == 1 || w.Steps[i] == steps[i])
	}
	if same {
		return x
	}
	out := make([]T, 0, w.Len())
	if w.Groups*area == 1 && w.Steps[1] == 1 { // a matrix: by blocks, whose lines stay in the cache
		return transposed(out[:w.Len()], x[w.First:], w.PerGroup, w.In, w.Steps[4])
	}
	for o := range w.Channels() {
		for i := range w.In {
			for ky := range w.Kernel[0] {
				for kx := range w.Kernel[1] {
					out = append(out, x[w.Index(o, ky, kx, i)])
				}
			}
		}
	}
	return out
}

// transposed sets dst[o][i] = x[i*step+o] for o < m, i < n.
func transposed[T any](dst, x []T, m, n, step int) []T {
	const block = 64
	for o0 := 0; o0 < m; o0 += block {
		for i0 := 0; i0 < n; i0 += block {
			for o := o0; o < min(o0+block, m); o++ {
				for i := i0; i < min(i0+block, n); i++ {
					dst[o*n+i] = x[i*step+o]
				}
			}
		}
	}
	return dst
}

// packAffine packs the weights of an integer step.
func packAffine(a *program.Affine, in tensor.DType, g *program.Geometry) (*asm.ConvS8, error) {
	w := &a.Weights
	zeroIn, m, c, spec := stored(a.ZeroIn, in), w.Channels(), w.In*w.Groups, convSpec(g)
	if w.S8 != nil && w.Zeros == nil {
		return asm.PackConvS8(ordered(w, w.S8), a.Bias, zeroIn, m, c, spec)
	}
	zeros := make([]uint8, m)
	for i, z := range w.Zeros {
		zeros[i] = uint8(z)
	}
	u8 := ordered(w, w.U8)
	if w.U8 == nil { // signed with zero points: the same moved up by 128
		u8 = make([]uint8, w.Len())
		for i, v := range ordered(w, w.S8) {
			u8[i] = uint8(v) ^ 0x80
		}
		for i := range zeros {
			zeros[i] ^= 0x80
		}
	}
	return asm.PackConvU8(u8, zeros, a.Bias, zeroIn, m, c, spec)
}

// requantOf returns the kernel's form of a rescaling.
func requantOf(r *program.Requant) (*asm.Requant, error) {
	zero, lo, hi := stored(r.Zero, r.Type), stored(r.Lo, r.Type), stored(r.Hi, r.Type)
	switch r.Mode {
	case program.ModeShift:
		return asm.RequantByShift(r.Shift, zero, lo, hi)
	case program.ModeMultiplier:
		shift := make([]uint8, len(r.Shift))
		for i, n := range r.Shift {
			shift[i] = uint8(n)
		}
		return asm.RequantByMultiplier(r.Mul, shift, zero, lo, hi)
	}
	return asm.RequantByFloat(r.Scale, zero, lo, hi)
}

// sumOf returns the kernel's form of an addition of tensors of types a and b.
func sumOf(s *program.Sum, a, b, out tensor.DType) (asm.AddU8Spec, error) {
	spec := asm.AddU8Spec{ZeroA: stored(s.ZeroA, a), ZeroB: stored(s.ZeroB, b), ScaleA: s.ScaleA, ScaleB: s.ScaleB, Divisor: s.Divisor,
		Zero: stored(s.Zero, out), Lo: stored(s.Lo, out), Hi: stored(s.Hi, out)}
	if s.Divisor == 1 {
		spec.Divisor = 0 // nothing is divided
	}
	if s.Mode != program.ModeFloat {
		spec.Mode, spec.MulA, spec.MulB, spec.Shift = asm.ByMultiplier, s.MulA, s.MulB, uint8(s.Shift)
	}
	return spec, spec.Check()
}

// epilogue is what happens to the sums of an integer step.
type epilogue struct {
	req    *asm.Requant // to bytes; nil: to floats by scales
	scales []float32
	add    *view // the residual
	spec   asm.AddU8Spec
}

func epilogueOf(a *program.Affine, out tensor.DType) (*epilogue, error) {
	e := &epilogue{scales: a.Scales}
	if a.Requant == nil {
		return e, nil
	}
	var err error
	if e.req, err = requantOf(a.Requant); err != nil {
		return nil, err
	}
	if r := a.Residual; r != nil {
		e.add = viewOf(r.In)
		e.spec, err = sumOf(&r.Sum, a.Requant.Type, r.In.DType, out)
	}
	return e, err
}

// residual returns what is added to sample s.
func (e *epilogue) residual(c *call, w *worker, s int) *asm.Residual {
	if e.add == nil {
		return nil
	}
	w.bytesToAdd = asm.Residual{Image: e.add.u8(c, s), Add: e.spec}
	return &w.bytesToAdd
}

// conv is cut by rows or, where there is one row only, by output channels.
func (b *binder) conv(s *program.Step, a *program.Conv) (*step, error) {
	conv, err := packedFor(b.net, s, &a.Weights, func() (*asm.ConvS8, error) { return packAffine(&a.Affine, a.In.DType, &a.Geometry) })
	if err != nil {
		return nil, err
	}
	e, err := epilogueOf(&a.Affine, a.Out.DType)
	if err != nil {
		return nil, err
	}
	return convS8Step(viewOf(a.Out), viewOf(a.In).padded(a.Pad), conv, e), nil
}

func convS8Step(dst, src *view, conv *asm.ConvS8, e *epilogue) *step {
	if e.req == nil {
		return rowStep(dst, func(c *call, w *worker, s, y0, y1 int) {
			conv.RunF32(dst.f32(c, s), src.u8(c, s), e.scales, y0, y1)
		})
	}
	if dst.h > 1 {
		return rowStep(dst, func(c *call, w *worker, s, y0, y1 int) {
			conv.Run(dst.u8(c, s), src.u8(c, s), e.req, e.residual(c, w, s), y0, y1)
		})
	}
	return panelStep(dst, conv.Panels(), func(c *call, w *worker, s, p0, p1 int) {
		conv.RunPanels(dst.u8(c, s), src.u8(c, s), e.req, e.residual(c, w, s), 0, 1, p0, p1)
	})
}

// convFloat is cut by rows or, where there is one row only, by output channels.
func (b *binder) convFloat(s *program.Step, a *program.ConvFloat) (*step, error) {
	w := &a.Weights
	conv, err := packedFor(b.net, s, w, func() (*asm.ConvF32, error) {
		return asm.PackConvF32(ordered(w, w.F32), a.Bias, w.Channels(), w.In*w.Groups, convSpec(&a.Geometry)), nil
	})
	if err != nil {
		return nil, err
	}
	dst, src := viewOf(a.Out), viewOf(a.In).padded(a.Pad)
	var add *view
	if a.Add != nil {
		add = viewOf(a.Add)
	}
	image := func(c *call, w *worker, s int) *asm.Image[float32] {
		if add == nil {
			return nil
		}
		w.image = add.f32(c, s)
		return &w.image
	}
	if dst.h > 1 {
		return rowsStep(dst, conv.RowsTogether(), func(c *call, w *worker, s, y0, y1 int) {
			conv.Run(dst.f32(c, s), src.f32(c, s), image(c, w, s), a.Lo, a.Hi, y0, y1)
		}), nil
	}
	return panelStep(dst, conv.Panels(), func(c *call, w *worker, s, p0, p1 int) {
		conv.RunPanels(dst.f32(c, s), src.f32(c, s), image(c, w, s), a.Lo, a.Hi, 0, 1, p0, p1)
	}), nil
}
