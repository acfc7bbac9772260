package c

import (
	"fmt"
	"slices"
	"strings"

	"github.com/narrow-ml/narrow/program"
)

// Plan is where the tensors of a program lie in RAM.
type Plan struct {
	Arena int // bytes, scratch memory included
	Lower int // bytes that its steps need in any plan: the most at one step, what lies on its operand counted once

	blocks  []*block
	scratch map[*program.Step]*block // for one window of a step
	of      map[*program.Tensor]*block
	steps   []*program.Step
}

// block is memory of one or, where steps work in place, several tensors.
type block struct {
	id         int
	tensors    []*program.Tensor // none for scratch memory
	size       int
	born, used int // first and last step
	offset     int

	over          *block // what dies where this is born, and may lie on it; nil if nothing may
	ahead, behind int    // bytes that over must begin behind this, or this behind over
}

// span returns the bytes of b in which o, which lives at the same time, must not begin.
func (b *block) span(o *block) int {
	switch {
	case b.over == o:
		return min(b.ahead, b.size)
	case o.over == b:
		return min(o.behind, b.size)
	}
	return b.size
}

// both returns the bytes that b and what it lies on take.
func (b *block) both() int {
	return min(max(b.size, b.span(b.over)+b.over.size), max(b.over.size, b.over.span(b)+b.size))
}

const blockAlign = 8

// newPlan lays out the tensors that the steps touch and that are not held elsewhere.
func newPlan(steps []*program.Step, elsewhere func(*program.Tensor) bool, layers map[*program.Step]*layer) *Plan {
	p := &Plan{of: make(map[*program.Tensor]*block), scratch: make(map[*program.Step]*block), steps: steps}
	for i, s := range steps {
		if l := layers[s]; l != nil && l.scratch() > 0 {
			p.scratch[s] = &block{size: l.scratch(), born: i, used: i}
			p.blocks = append(p.blocks, p.scratch[s])
		}
		for _, t := range s.Action.Reads() {
			p.touch(t.Root(), i, elsewhere)
		}
		for _, t := range s.Action.Writes() {
			p.touch(t.Root(), i, elsewhere)
		}
	}
	for i, s := range steps {
		p.inPlace(i, s)
	}
	for i, s := range steps {
		p.overlap(i, s, layers[s])
	}
	p.place()
	for _, b := range p.blocks {
		p.Arena = max(p.Arena, roundUp(b.offset+b.size, blockAlign))
	}
	p.Lower = p.live(p.peak())
	return p
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }

func (p *Plan) touch(t *program.Tensor, step int, elsewhere func(*program.Tensor) bool) {
	if elsewhere(t) {
		return
	}
	b := p.of[t]
	if b == nil {
		b = &block{tensors: []*program.Tensor{t}, size: bytesOf(t), born: step}
		p.of[t] = b
		p.blocks = append(p.blocks, b)
	}
	b.used = step
}

func bytesOf(t *program.Tensor) int { return t.Size() * elementSize(t) }

// elementSize returns the bytes of an element: what is no byte is a sum.
func elementSize(t *program.Tensor) int {
	if t.Bytewide() {
		return 1
	}
	return 4
}

// inPlace lets the result of a step take the memory of an operand that nobody
// needs afterwards, if each element of the result depends on the operand's element at the same place alone.
func (p *Plan) inPlace(i int, s *program.Step) {
	out := s.Action.Writes()
	if len(out) != 1 || p.of[out[0]] == nil || p.of[out[0]].born != i {
		return
	}
	to := p.of[out[0]]
	for _, t := range elementwise(s.Action) {
		from := p.of[t]
		if from == nil || from == to || from.used != i || from.size < to.size || t.PixStride != out[0].PixStride || t.RowStride != out[0].RowStride {
			continue
		}
		for _, x := range to.tensors {
			p.of[x] = from
		}
		from.tensors = append(from.tensors, to.tensors...)
		from.used = to.used
		p.blocks = slices.DeleteFunc(p.blocks, func(b *block) bool { return b == to })
		return
	}
}

// elementwise returns the operands that a step reads only where it writes.
func elementwise(a program.Action) []*program.Tensor {
	switch a := a.(type) {
	case *program.Add:
		return []*program.Tensor{a.A, a.B}
	case *program.Mul:
		return []*program.Tensor{a.A}
	case *program.Table:
		return []*program.Tensor{a.In}
	case *program.Conv:
		if a.Residual != nil && a.Residual.In.Root() != a.In.Root() {
			return []*program.Tensor{a.Residual.In}
		}
	}
	return nil
}

// live returns the bytes of the blocks that step i needs or must keep.
func (p *Plan) live(i int) int {
	sum := 0
	for _, b := range p.blocks {
		if b.born <= i && i <= b.used {
			sum += b.size
		}
		if b.born == i && b.over != nil {
			sum -= b.size + b.over.size - b.both()
		}
	}
	return sum
}

// place gives each block the lowest offset that is free while it lives. Of several orders the one
// with the least memory is taken: by size, by time, and around the step that needs most.
func (p *Plan) place() {
	for i, b := range p.blocks {
		b.id = i
	}
	peak := p.peak()
	orders := []func(a, b *block) int{
		func(a, b *block) int { return b.size - a.size },
		func(a, b *block) int { return a.born - b.born },
		func(a, b *block) int { return b.born - a.born },
		func(a, b *block) int { return b.used - a.used },
		func(a, b *block) int { return distance(a, peak) - distance(b, peak) },
		func(a, b *block) int { return (b.used-b.born)*b.size - (a.used-a.born)*a.size },
	}
	var best []int
	least := -1
	for _, order := range orders {
		slices.SortStableFunc(p.blocks, order)
		if top := p.firstFit(); least < 0 || top < least {
			least, best = top, p.offsets()
		}
		slices.SortFunc(p.blocks, func(a, b *block) int { return a.id - b.id })
	}
	for i, b := range p.blocks {
		b.offset = best[i]
	}
}

func distance(b *block, step int) int { return max(b.born-step, step-b.used, 0) }

func (p *Plan) peak() int {
	most := 0
	for i := range p.steps {
		if p.live(i) > p.live(most) {
			most = i
		}
	}
	return most
}

// offsets returns the offsets of the blocks by their numbers.
func (p *Plan) offsets() []int {
	out := make([]int, len(p.blocks))
	for _, b := range p.blocks {
		out[b.id] = b.offset
	}
	return out
}

// past moves b behind o if they lie on each other and must not, and reports whether it did.
func (b *block) past(o *block) bool {
	if b.offset+b.span(o) <= o.offset || o.offset+o.span(b) <= b.offset {
		return false
	}
	b.offset = roundUp(o.offset+o.span(b), blockAlign)
	return true
}

// firstFit places the blocks in their order and returns the bytes that they take.
func (p *Plan) firstFit() int {
	top := 0
	for i, b := range p.blocks {
		b.offset = 0
		others := slices.DeleteFunc(slices.Clone(p.blocks[:i]), func(o *block) bool { return o.used < b.born || b.used < o.born })
		for slices.ContainsFunc(others, b.past) {
		}
		top = max(top, b.offset+b.size)
	}
	return top
}

// Check returns an error if the arena is larger than limit bytes: it names the step that
// needs most, what it holds then, and what would lower it.
func (p *Plan) Check(limit int) error {
	if p.Arena <= limit {
		return nil
	}
	i := p.peak()
	var held []string
	way := "a smaller input, a larger stride or fewer channels there would lower it"
	for _, b := range p.blocks {
		switch {
		case b.born > i || i > b.used:
		case b.tensors == nil:
			held = append(held, fmt.Sprintf("one window (%d bytes)", b.size))
		default:
			held = append(held, fmt.Sprintf("%s (%d bytes)", tensorName(b.tensors[len(b.tensors)-1]), b.size))
			if b.born < i && i < b.used {
				way += fmt.Sprintf(", or that no step after it reads %s", tensorName(b.tensors[len(b.tensors)-1]))
			}
		}
	}
	return fmt.Errorf("export: the network needs %d bytes of RAM, which is more than %d: step %q holds %s: %s",
		p.Arena, limit, p.steps[i].Name, strings.Join(held, ", "), way)
}

func tensorName(t *program.Tensor) string {
	if t.Name != "" {
		return fmt.Sprintf("%q", t.Name)
	}
	return fmt.Sprintf("tensor %d", t.ID)
}
