package engine

import (
	"math"
	"slices"
	"sync"

	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/program"
)

// lda returns the distance of rows of k elements of src: of samples of one row each, or
// of rows without gaps.
func lda(src *view, k int) int {
	if src.w == 1 {
		return src.sampleStep
	}
	return k
}

// rowsTogether is about how many rows of a product are a part that workers can share out: each
// part goes over all the weights.
const rowsTogether = 64

// productStep makes a step that multiplies rows of a by panels of a matrix: it
// is cut by panels where there are few rows, else by rows. first is a row, counted through all samples.
func productStep(dst *view, panels int, f func(c *call, first, rows, p0, p1 int)) *step {
	perSample := dst.w
	if perSample < 8 {
		return &step{
			units: func(int) int { return panels },
			run: func(c *call, w *worker, lo, hi int) error {
				f(c, 0, dst.count(c.n)*perSample, lo, hi)
				return nil
			},
		}
	}
	parts := func(rows int) int { return (rows + rowsTogether - 1) / rowsTogether }
	return &step{
		units: func(n int) int { return parts(dst.count(n) * perSample) },
		run: func(c *call, w *worker, lo, hi int) error {
			rows := dst.count(c.n) * perSample
			first, end := lo*rows/parts(rows), hi*rows/parts(rows) // parts of equal size, but for one row
			f(c, first, end-first, 0, panels)
			return nil
		},
	}
}

func (b *binder) matMul(s *program.Step, a *program.MatMul) (*step, error) {
	gemm, err := packedFor(b.net, s, &a.Weights, func() (*asm.ConvS8, error) {
		one := [2]int{1, 1}
		return packAffine(&a.Affine, a.In.DType, &program.Geometry{Kernel: one, Stride: one, Dilation: one, Groups: 1})
	})
	if err != nil {
		return nil, err
	}
	e, err := epilogueOf(&a.Affine, a.Out.DType)
	if err != nil {
		return nil, err
	}
	dst, src, k, n := viewOf(a.Out), viewOf(a.In), a.K, a.N
	panels := gemm.Panels()
	if e.req == nil {
		panels = 1 // floats are not made by panels
	}
	return productStep(dst, panels, func(c *call, first, rows, p0, p1 int) {
		from := src.off + first*lda(src, k)
		image := asm.Rows(c.u8[from:from+(rows-1)*lda(src, k)+k+slack], rows, k, lda(src, k))
		to := dst.off + first*n
		if e.req == nil {
			gemm.RunF32(asm.Rows(c.f32[to:to+rows*n], rows, n, n), image, e.scales, 0, 1)
			return
		}
		gemm.RunPanels(asm.Rows(c.u8[to:to+rows*n], rows, n, n), image, e.req, nil, 0, 1, p0, p1)
	}), nil
}

func (b *binder) matMulFloat(s *program.Step, a *program.MatMulFloat) (*step, error) {
	w := &a.Weights
	gemm, err := packedFor(b.net, s, w, func() (*asm.GemmF32, error) {
		return asm.PackGemmF32(w.F32, a.K, a.N, w.Steps[4] == 1 && a.N > 1, a.Bias), nil
	})
	if err != nil {
		return nil, err
	}
	dst, src, k, n := viewOf(a.Out), viewOf(a.In), a.K, a.N
	return productStep(dst, gemm.Panels(), func(c *call, first, rows, p0, p1 int) {
		from, to := src.off+first*lda(src, k), dst.off+first*n
		gemm.RunPanels(c.f32[to:to+(rows-1)*n+n], c.f32[from:], rows, lda(src, k), n, a.Lo, a.Hi, p0, p1)
	}), nil
}

// matMulBlocks brings the rows of a part to bytes for all of its panels.
func (b *binder) matMulBlocks(s *program.Step, a *program.MatMulBlocks) (*step, error) {
	w := &a.Weights
	packed, err := packedFor(b.net, s, new(program.Weights), func() (*asm.BlockWeights, error) {
		return asm.PackBlocks(w.N, w.K, max(w.Bits, 4), w.Block, w.Row, w.Scale, w.Zero, a.Bias)
	})
	if err != nil {
		return nil, err
	}
	dst, src, k, n, lo, hi := viewOf(a.Out), viewOf(a.In), w.K, w.N, a.Lo, a.Hi
	clamps := !math.IsInf(float64(lo), -1) || !math.IsInf(float64(hi), 1)
	pool := sync.Pool{New: func() any { return new(asm.BlockRows) }}
	return productStep(dst, packed.Panels(), func(c *call, first, rows, p0, p1 int) {
		bytes := pool.Get().(*asm.BlockRows)
		defer pool.Put(bytes)
		bytes.Set(packed, c.f32[src.off+first*lda(src, k):], rows, lda(src, k))
		out := c.f32[dst.off+first*n:][:rows*n]
		packed.Run(out, n, bytes, p0, p1)
		if from, to := packed.Outputs(p0, p1); clamps {
			for i := range rows {
				asm.ClampF32(out[i*n+from:i*n+to], out[i*n+from:i*n+to], lo, hi)
			}
		}
	}), nil
}

// bindProduct is cut by matrices.
func bindProduct(a *program.Product) *step {
	dst, left, right := viewOf(a.Out), viewOf(a.A), viewOf(a.B)
	count, rows, inner, cols := a.Count, a.Rows, a.Inner, a.Cols
	return &step{
		units: func(samples int) int { return dst.count(samples) * count },
		run: func(c *call, w *worker, lo, hi int) error {
			for i := lo; i < hi; i++ {
				s, m := i/count, i%count
				p, q, out := left.f32(c, s).Data[m*rows*inner:], right.f32(c, s).Data[m*inner*cols:], dst.f32(c, s).Data[m*rows*cols:]
				asm.SgemmF32(false, false, rows, cols, inner, 1, p[:rows*inner], inner, q[:inner*cols], cols, 0, out[:rows*cols], cols)
			}
			return nil
		},
	}
}

// bindProductS8 is cut by matrices. Workers take turns with the memory for packed ones.
func bindProductS8(a *program.Product) (*step, error) {
	count, rows, inner, cols := a.Count, a.Rows, a.Inner, a.Cols
	if _, err := asm.NewProductS8(inner, cols); err != nil {
		return nil, err
	}
	pool := sync.Pool{New: func() any {
		p, err := asm.NewProductS8(inner, cols)
		if err != nil {
			panic(err) // it was possible a moment ago
		}
		return p
	}}
	var req *asm.Requant
	if a.Requant != nil {
		var err error
		if req, err = requantOf(a.Requant.Repeated(cols)); err != nil {
			return nil, err
		}
	}
	scales := slices.Repeat([]float32{a.Scale}, cols)
	dst, left, right := viewOf(a.Out), viewOf(a.A), viewOf(a.B)
	zeroA, zeroB := stored(a.ZeroA, a.A.DType), stored(a.ZeroB, a.B.DType)
	return &step{
		units: func(samples int) int { return dst.count(samples) * count },
		run: func(c *call, w *worker, lo, hi int) error {
			g := pool.Get().(*asm.ProductS8)
			defer pool.Put(g)
			for i := lo; i < hi; i++ {
				s, m := i/count, i%count
				g.Set(right.u8(c, s).Data[m*inner*cols:][:inner*cols], cols, zeroA, zeroB)
				image := asm.Rows(left.u8(c, s).Data[m*rows*inner:][:rows*inner+slack], rows, inner, inner)
				if req == nil {
					g.RunF32(asm.Rows(dst.f32(c, s).Data[m*rows*cols:][:rows*cols], rows, cols, cols), image, scales)
					continue
				}
				g.Run(asm.Rows(dst.u8(c, s).Data[m*rows*cols:][:rows*cols], rows, cols, cols), image, req)
			}
			return nil
		},
	}, nil
}
