package engine

import (
	"cmp"
	"math"
	"slices"
	"unsafe"

	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/tensor"
)

const (
	slack     = asm.ReadSlack // elements behind a buffer that a kernel may read
	alignment = 64            // bytes: a cache line
)

// layout gives every buffer its place in one arena, so that buffers that are
// not needed at the same time share memory, and returns the arena's bytes.
func layout(buffers []*buffer, steps []*step) int {
	for _, b := range buffers {
		b.root().bornAt = math.MaxInt
	}
	for i, s := range steps {
		for _, b := range slices.Concat(s.reads, s.writes) {
			r := b.root()
			r.bornAt, r.usedAt = min(r.bornAt, i), max(r.usedAt, i)
		}
	}
	roots := slices.DeleteFunc(slices.Clone(buffers), func(b *buffer) bool { return b.base != nil || b.bornAt == math.MaxInt })
	total := place1D(roots)
	for _, b := range buffers { // a view stands behind its base or, made for Concat, before it
		resolveFromRoot(b)
	}
	return total
}

// place1D places the buffers with memory of their own, the largest first, each at
// the lowest offset that is free while it lives.
func place1D(roots []*buffer) int {
	slices.SortStableFunc(roots, func(a, b *buffer) int { return cmp.Compare(b.bytes(), a.bytes()) })
	var placed []*buffer // in order of offset; off still counts bytes
	total := 0
	for _, b := range roots {
		at := 0
		for _, p := range placed {
			if p.bornAt > b.usedAt || b.bornAt > p.usedAt {
				continue
			}
			if at+b.bytes() <= p.off {
				break
			}
			at = max(at, p.off+p.bytes())
		}
		b.off = at
		total = max(total, at+b.bytes())
		i, _ := slices.BinarySearchFunc(placed, at, func(p *buffer, at int) int { return cmp.Compare(p.off, at) })
		placed = slices.Insert(placed, i, b)
	}
	for _, b := range roots {
		b.off /= b.width()
	}
	return total
}

// resolveFromRoot resolves b after the buffers it is a view of, each once.
func resolveFromRoot(b *buffer) {
	if b.pix != 0 {
		return
	}
	if b.base != nil {
		resolveFromRoot(b.base)
	}
	b.resolve()
}

func (b *buffer) width() int {
	if b.dtype == tensor.Uint8 {
		return 1
	}
	return 4
}

// bytes returns the memory of all samples, slack included.
func (b *buffer) bytes() int {
	n := (b.samples*b.size() + slack) * b.width()
	return (n + alignment - 1) / alignment * alignment
}

// newArena returns n bytes, aligned, seen as bytes and as floats.
func newArena(n int) (u8 []uint8, f32 []float32) {
	words := make([]uint64, n/8+alignment/8)
	raw := unsafe.Slice((*uint8)(unsafe.Pointer(&words[0])), len(words)*8)
	skip := int(-uintptr(unsafe.Pointer(&raw[0])) & (alignment - 1))
	u8 = raw[skip : skip+n]
	if n == 0 {
		return u8, nil
	}
	return u8, unsafe.Slice((*float32)(unsafe.Pointer(&u8[0])), n/4)
}

func bitsOf(v float32) uint32     { return math.Float32bits(v) }
func floatOf(bits uint32) float32 { return math.Float32frombits(bits) }
