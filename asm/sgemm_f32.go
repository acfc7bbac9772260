package asm

import "fmt"

// Block sizes of SgemmF32, in elements: a block of b stays in the outer cache,
// one of a in the inner.
const (
	sgemmRows  = 126
	sgemmCols  = 512
	sgemmDepth = 512
	sgemmPad   = cacheLine / 4 // keeps the rows of a packed block from colliding
)

var f32Tiles = pick[tileSet]("tileF32", active)

// SgemmF32 computes c = alpha*op(a)*op(b) + beta*c for row-major matrices: op(a) is
// m by k, op(b) k by n and c m by n; op transposes where transA, transB say so.
// lda, ldb and ldc are the elements from row to row as stored. With beta 0 the
// old content of c, NaN too, takes no part. c must not overlap a or b.
//
// It is single-threaded. Sums run over k in order, with fused multiply-adds but on the
// generic tier; blocks of k of 512 are added one after another. It panics when
// a slice is too short for its shape.
func SgemmF32(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	sgemmF32(f32Tiles, transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}

func sgemmF32(tiles tileSet, transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	op := func(name string, data []float32, ld, rows, cols int, trans bool) matrixF32 {
		if trans {
			rows, cols = cols, rows
		}
		if rows < 0 || cols < 0 || ld < cols || rows > 0 && (rows-1)*ld+cols > len(data) {
			panic(fmt.Sprintf("asm: sgemm: %s of %dx%d has %d elements with leading dimension %d", name, rows, cols, len(data), ld))
		}
		readRange(data)
		return matrixF32{data, ld, trans}
	}
	ma, mb, mc := op("a", a, lda, m, k, transA), op("b", b, ldb, k, n, transB), op("c", c, ldc, m, n, false)
	if m == 0 || n == 0 {
		return
	}
	writeRange(c[:(m-1)*ldc+n])
	if beta != 1 {
		mc.scale(m, n, beta)
	}
	if k == 0 || alpha == 0 {
		return
	}
	s := scratchesF32.Get().(*scratchF32)
	defer s.release()
	s.taps = append(s.taps[:0], 0)
	s.args = tileArgs{taps: s.taps, lo: negInfF32, hi: posInfF32}
	buf := s.floats(sgemmDepth*(sgemmCols+tiles[0].cols) + sgemmRows*(sgemmDepth+sgemmPad))
	packedA, packedB := buf[:sgemmRows*(sgemmDepth+sgemmPad)], buf[sgemmRows*(sgemmDepth+sgemmPad):]
	zeroBias := s.zeros(tiles[0].cols)
	for j := 0; j < n; j += sgemmCols {
		nc := min(sgemmCols, n-j)
		for d := 0; d < k; d += sgemmDepth {
			kc := min(sgemmDepth, k-d)
			mb.packPanels(packedB, tiles, d, j, kc, nc, alpha)
			for i := 0; i < m; i += sgemmRows {
				rows := min(sgemmRows, m-i)
				ma.packRows(packedA, i, d, rows, kc)
				g := sgemmBlock{tiles: tiles, a: packedA, b: packedB, bias: zeroBias, rows: rows, cols: nc, depth: kc}
				g.run(&s.args, mc, i, j, d > 0 || beta != 0)
			}
		}
	}
}

// matrixF32 is a row-major matrix, transposed where it says so.
type matrixF32 struct {
	data  []float32
	ld    int
	trans bool
}

// scale multiplies m by n elements by beta; 0 clears them.
func (x matrixF32) scale(m, n int, beta float32) {
	for i := range m {
		row := x.data[i*x.ld:][:n]
		if beta == 0 {
			clear(row)
		} else {
			affineF32(row, row, beta, 0)
		}
	}
}

// packRows copies the block of rows by depth elements at (i, d).
func (x matrixF32) packRows(dst []float32, i, d, rows, depth int) {
	if x.trans {
		TransposeF32(dst, x.data[d*x.ld+i:], depth, rows, depth+sgemmPad, x.ld)
		return
	}
	for r := range rows {
		copy(dst[r*(depth+sgemmPad):][:depth], x.data[(i+r)*x.ld+d:])
	}
}

// packPanels copies alpha times the block of depth by cols elements at (d, j)
// as tile weights, panel after panel.
func (x matrixF32) packPanels(dst []float32, tiles tileSet, d, j, depth, cols int, alpha float32) {
	for cols > 0 {
		n := tiles.widthFor(cols).cols
		valid := min(n, cols)
		panel := dst[:depth*n]
		if valid < n {
			clear(panel)
		}
		if x.trans {
			TransposeF32(panel, x.data[j*x.ld+d:], valid, depth, n, x.ld)
		} else {
			for r := range depth {
				copy(panel[r*n:][:valid], x.data[(d+r)*x.ld+j:])
			}
		}
		if alpha != 1 {
			affineF32(panel, panel, alpha, 0)
		}
		dst, j, cols = dst[depth*n:], j+valid, cols-valid
	}
}

// sgemmBlock is the product of packed blocks of a and b.
type sgemmBlock struct {
	tiles             tileSet
	a, b, bias        []float32
	rows, cols, depth int
}

// run adds the product to the block of c at (i, j), or sets it.
func (g *sgemmBlock) run(args *tileArgs, c matrixF32, i, j int, add bool) {
	args.src, args.srcStep, args.run = g.a, g.depth+sgemmPad, g.depth
	args.dst, args.dstStep = c.data, c.ld
	args.add, args.addStep = nil, c.ld
	if add {
		args.add = c.data
	}
	for b, at := g.b, 0; at < g.cols; {
		width := g.tiles.widthFor(g.cols - at)
		p := panelF32{cols: min(width.cols, g.cols-at), w: b, bias: g.bias, kernels: width.kernels}
		args.srcPos, args.dstPos, args.addPos = 0, i*c.ld+j+at, i*c.ld+j+at
		p.row(args, g.rows)
		b, at = b[g.depth*width.cols:], at+width.cols
	}
}
