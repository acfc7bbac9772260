package engine

import (
	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/program"
)

// chainElements is about how many elements a chain takes through its links at
// a time: they stay in the first-level cache.
const chainElements = 2048

// spot is the run of pixels that a chain is at.
type spot struct {
	c            *call
	s, y, x0, x1 int
}

// linkFunc computes dst from x, the elements at a spot.
type linkFunc func(at *spot, dst, x []float32)

// bindChain binds a chain to the kernels of its links.
func bindChain(a *program.Chain) (*step, error) {
	dst, src := viewOf(a.Out), viewOf(a.In)
	links := a.Links
	load, err := loaderOf(src, links[0])
	if err != nil {
		return nil, err
	}
	if src.bytes() {
		links = links[1:]
	}
	store, direct := storeFloats(dst), !dst.bytes() && dst.pix == dst.c
	if q, ok := links[len(links)-1].(*program.Quantize); ok {
		if store, err = storeBytes(dst, q.Coding); err != nil {
			return nil, err
		}
		links = links[:len(links)-1]
	}
	funcs, err := linksOf(links)
	if err != nil {
		return nil, err
	}
	together := max(1, chainElements/dst.c)
	return pixelStep(dst, together, func(c *call, w *worker, s, y, x0, x1 int) {
		at := spot{c, s, y, x0, x1}
		var scratch [2][]float32
		scratch[0], scratch[1] = w.floats((x1 - x0) * dst.c)
		x := load(&at, scratch[0])
		for i, f := range funcs {
			to := scratch[1-i%2]
			if direct && i == len(funcs)-1 {
				m := dst.f32(c, s)
				to = m.Data[y*m.RowStride+x0*m.PixStride:][:len(x)]
			}
			f(&at, to, x)
			x = to
		}
		if !direct {
			store(&at, x)
		}
	}), nil
}

// linksOf returns the kernels of what is between a chain's ends.
func linksOf(links []program.Action) ([]linkFunc, error) {
	var funcs []linkFunc
	for i := 0; i < len(links); i++ {
		switch a := links[i].(type) {
		case *program.Quantize: // and the Dequantize behind it
			grid, err := gridOf(a.Coding)
			if err != nil {
				return nil, err
			}
			funcs = append(funcs, func(_ *spot, dst, x []float32) { grid.QuantizeDequantize(dst, x) })
			i++
		case *program.Binary:
			funcs = append(funcs, binaryLink(a))
		default:
			f := mapperOfAction(a)
			funcs = append(funcs, func(_ *spot, dst, x []float32) { f(dst, x) })
		}
	}
	return funcs, nil
}

// binaryLink computes with another tensor, or with its only pixel.
func binaryLink(a *program.Binary) linkFunc {
	kernel, right, c := binaryKernels[a.Op], viewOf(a.B), a.Out.C
	f := func(at *spot, dst, x []float32) {
		m := right.f32(at.c, at.s)
		if !a.PerChannel && m.PixStride == c {
			kernel(dst, x, m.Data[at.y*m.RowStride+at.x0*c:][:len(dst)])
			return
		}
		for i := range at.x1 - at.x0 {
			from := 0
			if !a.PerChannel {
				from = at.y*m.RowStride + (at.x0+i)*m.PixStride
			}
			kernel(dst[i*c:][:c], x[i*c:][:c], m.Data[from:][:c])
		}
	}
	if a.Lo == -inf && a.Hi == inf {
		return f
	}
	return func(at *spot, dst, x []float32) {
		f(at, dst, x)
		asm.ClampF32(dst, dst, a.Lo, a.Hi)
	}
}

// loaderOf returns what a chain starts from: bytes, which its first link dequantizes, or floats.
func loaderOf(src *view, first program.Action) (func(at *spot, scratch []float32) []float32, error) {
	d, ok := first.(*program.Dequantize)
	if !ok {
		return func(at *spot, scratch []float32) []float32 {
			if src.pix == src.c { // where they are
				m := src.f32(at.c, at.s)
				return m.Data[at.y*m.RowStride+at.x0*m.PixStride:][:len(scratch)]
			}
			spotRuns(src.f32(at.c, at.s), at, func(m []float32, i int) { copy(scratch[i:], m) })
			return scratch
		}, nil
	}
	grid, err := gridOf(d.Coding)
	return func(at *spot, scratch []float32) []float32 {
		spotRuns(src.u8(at.c, at.s), at, func(m []uint8, i int) { grid.Dequantize(scratch[i:][:len(m)], m) })
		return scratch
	}, err
}

func storeFloats(dst *view) func(at *spot, x []float32) {
	return func(at *spot, x []float32) {
		spotRuns(dst.f32(at.c, at.s), at, func(m []float32, i int) { copy(m, x[i:]) })
	}
}

func storeBytes(dst *view, c program.Coding) (func(at *spot, x []float32), error) {
	grid, err := gridOf(c)
	return func(at *spot, x []float32) {
		spotRuns(dst.u8(at.c, at.s), at, func(m []uint8, i int) { grid.Quantize(m, x[i:][:len(m)]) })
	}, err
}

// spotRuns calls f with each run of an image's elements at a spot, i elements of it being before.
func spotRuns[T any](m asm.Image[T], at *spot, f func(run []T, i int)) {
	first := at.y*m.RowStride + at.x0*m.PixStride
	if m.PixStride == m.C {
		f(m.Data[first:][:(at.x1-at.x0)*m.C], 0)
		return
	}
	for i := range at.x1 - at.x0 {
		f(m.Data[first+i*m.PixStride:][:m.C], i*m.C)
	}
}
