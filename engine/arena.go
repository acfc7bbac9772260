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
	var bordered, free []*buffer
	for _, b := range buffers {
		switch {
		case b.base != nil || b.bornAt == math.MaxInt:
		case b.border != sides{}:
			bordered = append(bordered, b)
		default:
			free = append(free, b)
		}
	}
	slices.SortStableFunc(bordered, func(a, b *buffer) int { return cmp.Compare(a.bornAt, b.bornAt) })
	total := placeFree(free, placeBordered(bordered))
	for _, b := range buffers {
		resolveFromRoot(b)
	}
	return total
}

// frame is what buffers with borders at the same place have in common.
type frame struct {
	dtype   tensor.DType
	h, w, c int
	border  sides
	fill    uint32
	samples int
}

// placeBordered places buffers with borders from the arena's start on and
// returns the end of the last. Memory is shared among those alone whose borders
// coincide: then a border is filled once, when the arena is made, and for good.
func placeBordered(roots []*buffer) int {
	places := make(map[frame][]*buffer) // the last user of each place so far
	end := 0
	for _, b := range roots { // in order of birth
		f := frame{b.dtype, b.h, b.w, b.c, b.border, b.fill, b.samples}
		i := slices.IndexFunc(places[f], func(user *buffer) bool { return user.usedAt < b.bornAt })
		if i >= 0 {
			b.off = places[f][i].off
			places[f][i] = b
			continue
		}
		b.off = end / b.width()
		end += b.bytes()
		places[f] = append(places[f], b)
	}
	return end
}

// placeFree places the others behind start, the largest first, each at the
// lowest offset that is free while it lives.
func placeFree(roots []*buffer, start int) int {
	slices.SortStableFunc(roots, func(a, b *buffer) int { return cmp.Compare(b.bytes(), a.bytes()) })
	var placed []*buffer // in order of offset; off still counts bytes
	total := start
	for _, b := range roots {
		at := start
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
