package asm

import "fmt"

// GemmF32 is a matrix product by a packed right-hand side: the float32 fully
// connected layer. It is safe for concurrent use.
type GemmF32 struct {
	k, n   int
	panels []panelF32
}

// PackGemmF32 packs b, which is k by n (n by k with transB), row-major and
// without gaps, and the bias (n long, or nil). It copies both. It panics when a
// length disagrees.
func PackGemmF32(b []float32, k, n int, transB bool, bias []float32) *GemmF32 {
	return packGemmF32(b, k, n, transB, bias, f32Tiles)
}

func packGemmF32(b []float32, k, n int, transB bool, bias []float32, tiles tileSet) *GemmF32 {
	if k < 1 || n < 1 || len(b) != k*n || bias != nil && len(bias) != n {
		panic(fmt.Sprintf("asm: product by a %dx%d matrix with %d elements, %d biases", k, n, len(b), len(bias)))
	}
	row, col := n, 1
	if transB {
		row, col = 1, k
	}
	return &GemmF32{k, n, tiles.panels(0, n, 0, k, bias, func(o, d int) float32 { return b[d*row+o*col] })}
}

// Panels returns how many parts the columns fall into, for [GemmF32.RunPanels].
func (g *GemmF32) Panels() int { return len(g.panels) }

// Run computes dst = clamp(a*b + bias, lo, hi) for a of m by k, with lda
// elements from row to row, and dst of m by n with ldd. Rows are independent:
// threads may share them out. dst must not overlap a. Order of summation,
// clamp and NaN are those of [ConvF32.Run].
func (g *GemmF32) Run(dst, a []float32, m, lda, ldd int, lo, hi float32) {
	g.RunPanels(dst, a, m, lda, ldd, lo, hi, 0, len(g.panels))
}

// RunPanels is [GemmF32.Run] for the columns of panels [p0, p1) only.
func (g *GemmF32) RunPanels(dst, a []float32, m, lda, ldd int, lo, hi float32, p0, p1 int) {
	if m == 0 {
		return
	}
	if m < 0 || lda < 0 || ldd < 0 || (m-1)*lda+g.k > len(a) || (m-1)*ldd+g.n > len(dst) {
		panic(fmt.Sprintf("asm: %dx%dx%d product: %d and %d elements with leading dimensions %d and %d", m, g.n, g.k, len(a), len(dst), lda, ldd))
	}
	if p0 == p1 {
		return
	}
	panels := g.panels[p0:p1]
	readRange(a[:(m-1)*lda+g.k])
	writeRows(Image[float32]{dst, m, 1, g.n, ldd, 0}, 0, m, panels[0].first, panels[len(panels)-1].first+panels[len(panels)-1].cols)
	s := scratchesF32.Get().(*scratchF32)
	defer s.release()
	s.taps = append(s.taps[:0], 0)
	s.args = tileArgs{src: a, dst: dst, taps: s.taps, run: g.k, srcStep: lda, dstStep: ldd, lo: lo, hi: hi}
	pack := collide(lda) && len(panels) >= compactPanels
	rowBlocks(m, lda, func(first, count int) {
		at := first * lda
		if pack {
			at, s.args.srcStep = 0, g.k+sgemmPad
			s.args.src = s.floats(count * s.args.srcStep)
			matrixF32{data: a, ld: lda}.packRows(s.args.src, first, 0, count, g.k)
		}
		for i := range panels {
			p := &panels[i]
			s.args.srcPos, s.args.dstPos = at, first*ldd+p.first
			p.row(&s.args, count)
		}
	})
}

// rowBlocks calls do for blocks of the rows [0, m) that fit the cache.
func rowBlocks(m, lda int, do func(first, count int)) {
	size := m
	if lda > 0 {
		size = max(24, sourceBlockF32/lda)
	}
	for first := 0; first < m; first += size {
		do(first, min(size, m-first))
	}
}
