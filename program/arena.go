package program

import (
	"cmp"
	"math"
	"slices"

	"github.com/narrow-ml/narrow/tensor"
)

// layout gives every tensor its place in one arena, so that tensors that are
// not needed at the same time share memory.
func (p *Program) layout(align, slack int) {
	for _, t := range p.Tensors {
		t.Born, t.Used = math.MaxInt, 0
	}
	for i, s := range p.Steps {
		for _, t := range slices.Concat(s.Action.Reads(), s.Action.Writes()) {
			r := t.Root()
			r.Born, r.Used = min(r.Born, i), max(r.Used, i)
		}
	}
	var bordered, free []*Tensor
	for _, t := range p.Tensors {
		switch {
		case t.View != nil || t.Place != InArena || t.Born == math.MaxInt:
		case t.Border != Sides{}:
			bordered = append(bordered, t)
		default:
			free = append(free, t)
		}
	}
	slices.SortStableFunc(bordered, func(a, b *Tensor) int { return cmp.Compare(a.Born, b.Born) })
	bytes := func(t *Tensor) int {
		n := (t.Samples*t.Size() + slack) * t.Width()
		return (n + align - 1) / align * align
	}
	p.Arena = placeFree(free, placeBordered(bordered, bytes), bytes)
	for _, t := range p.Tensors {
		if t.Place == InArena {
			resolveFromRoot(t)
		}
	}
	for _, t := range p.Tensors {
		t.Born, t.Used = t.Root().Born, t.Root().Used
	}
}

// frame is what tensors with borders at the same place have in common.
type frame struct {
	dtype   tensor.DType
	h, w, c int
	border  Sides
	fill    uint32
	samples int
}

// placeBordered places tensors with borders from the arena's start on and
// returns the end of the last. Memory is shared among those alone whose borders
// coincide: then a border is filled once, when the arena is made, and for good.
func placeBordered(roots []*Tensor, bytes func(*Tensor) int) int {
	places := make(map[frame][]*Tensor) // the last user of each place so far
	end := 0
	for _, t := range roots { // in order of birth
		f := frame{t.DType, t.H, t.W, t.C, t.Border, t.Fill, t.Samples}
		i := slices.IndexFunc(places[f], func(user *Tensor) bool { return user.Used < t.Born })
		if i >= 0 {
			t.Offset = places[f][i].Offset
			places[f][i] = t
			continue
		}
		t.Offset = end / t.Width()
		end += bytes(t)
		places[f] = append(places[f], t)
	}
	return end
}

// placeFree places the others behind start, the largest first, each at the
// lowest offset that is free while it lives.
func placeFree(roots []*Tensor, start int, bytes func(*Tensor) int) int {
	slices.SortStableFunc(roots, func(a, b *Tensor) int { return cmp.Compare(bytes(b), bytes(a)) })
	var placed []*Tensor // in order of offset, which still counts bytes
	total := start
	for _, t := range roots {
		at := start
		for _, p := range placed {
			if p.Born > t.Used || t.Born > p.Used {
				continue
			}
			if at+bytes(t) <= p.Offset {
				break
			}
			at = max(at, p.Offset+bytes(p))
		}
		t.Offset = at
		total = max(total, at+bytes(t))
		i, _ := slices.BinarySearchFunc(placed, at, func(p *Tensor, at int) int { return cmp.Compare(p.Offset, at) })
		placed = slices.Insert(placed, i, t)
	}
	for _, t := range roots {
		t.Offset /= t.Width()
	}
	return total
}

// resolveFromRoot resolves t after the tensors it is a view of, each once.
func resolveFromRoot(t *Tensor) {
	if t.PixStride != 0 {
		return
	}
	if t.View != nil {
		resolveFromRoot(t.View.Base)
	}
	t.resolve()
}

// Width returns the bytes of an element in the arena.
func (t *Tensor) Width() int {
	if t.Bytewide() {
		return 1
	}
	return 4
}
