package asm

// setTile fills in what all tiles of a panel have in common.
func (s *s8Scratch) setTile(p *panelS8, srcStep int) {
	a := &s.tile
	a.weights, a.weights16, a.bias, a.taps = p.weights, p.weights16, p.bias, s.taps
	a.srcStep, a.quads, a.width = srcStep, p.quads, p.width
	a.bytes = 0
}

// tileBytes reports whether the panel's kernels can make bytes, requantized by r, at once.
func (p *panelS8) tileBytes(r *Requant) bool {
	k := p.kernel
	return k != nil && k.bytes && !(k.whole && p.channels < p.width) && r.plain()
}

// runTiles computes rows [y0, y1) of panel p of dst by kernels that make bytes. A flat output is
// walked as if its rows were one.
func (f *ConvS8) runTiles(s *s8Scratch, dst, src Image[uint8], p *panelS8, r *Requant, flat bool, y0, y1 int) {
	step, w := f.spec.StrideW*src.PixStride, dst.W
	if flat {
		w, y1 = w*(y1-y0), y0+1
	}
	s.setTile(p, step)
	s.tile.setBytes(r, p, dst.PixStride)
	for y := y0; y < y1; y++ {
		for x := 0; x < w; {
			s.tile.dst = dst.Data[y*dst.RowStride+x*dst.PixStride+p.first:]
			x += tilesOf(p.kernel.kernels[p.kind], &s.tile, src.Data[y*f.spec.StrideH*src.RowStride+x*step+p.input:], w-x)
		}
	}
}

// plainBytes stands for ByFloat with zero point 0 and the whole range, as behind most Relus:
// saturation is all that has to be done.
const plainBytes = 4

// setBytes fills in the rescaling of a panel's channels.
func (a *tileArgsS8) setBytes(r *Requant, p *panelS8, dstStep int) {
	a.mask = 1<<p.channels - 1
	a.bytes, a.dstStep = int(r.mode)+1, dstStep
	if r.mode == ByFloat && r.zero == 0 && r.lo == 0 && r.hi == 255 {
		a.bytes = plainBytes
	}
	for i := range a.lo {
		a.lo[i], a.hi[i] = uint8(r.lo), uint8(r.hi)
	}
	for i := range a.zero {
		a.zero[i] = int16(r.zero)
	}
	if r.mode == ByFloat {
		copy(a.scale[:], r.scale[p.first:])
		return
	}
	copy(a.shift[:], r.shift[p.first:])
	for i, n := range a.shift {
		a.before[i], a.half[i] = n-1, min(n, 1)
	}
}
