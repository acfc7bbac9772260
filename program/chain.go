package program

import "slices"

// Chain is several steps on floats one after the other, computed together:
// each link reads what the one before it has made, which is kept nowhere, pixel
// by pixel. The first link reads In, the last writes Out. Links are [Dequantize],
// [Quantize], [Map], [ChannelAffine], [ChannelDivide], [LayerNorm], [Softmax] and
// [Binary], whose other operand, B, is a tensor in the arena; a Quantize that is not the last is
// followed by the Dequantize of the same coding. All tensors have one size and layout.
type Chain struct {
	In, Out *Tensor
	Links   []Action
}

// Reads returns In and the other operands of links.
func (a *Chain) Reads() []*Tensor {
	reads := list(a.In)
	for _, l := range a.Links {
		if b, ok := l.(*Binary); ok {
			reads = append(reads, b.B)
		}
	}
	return reads
}

// Writes returns Out.
func (a *Chain) Writes() []*Tensor { return list(a.Out) }

// link returns what a link reads from the one before it and writes; false if a is none.
func link(a Action) (in, out *Tensor, ok bool) {
	switch a := a.(type) {
	case *Dequantize:
		in, out = a.In, a.Out
	case *Quantize:
		in, out = a.In, a.Out
	case *Map:
		in, out = a.In, a.Out
	case *ChannelAffine:
		in, out = a.In, a.Out
	case *ChannelDivide:
		in, out = a.In, a.Out
	case *LayerNorm:
		in, out = a.In, a.Out
	case *Softmax:
		in, out = a.In, a.Out
	case *Binary:
		if a.Swap || !a.PerChannel && a.A == a.B {
			return nil, nil, false
		}
		in, out = a.A, a.Out
	default:
		return nil, nil, false
	}
	ok = in.Place == InArena && in.H == out.H && in.W == out.W && in.C == out.C && in.Layout == out.Layout
	return in, out, ok
}

// chain puts steps that can be computed together into one.
func (b *builder) chain() {
	readers := make(map[*Tensor]int) // of a tensor and the views of it
	for _, s := range b.steps {
		for _, t := range s.Action.Reads() {
			readers[t.Root()]++
		}
	}
	open := make(map[*Tensor]*Step) // the step that may go on behind a tensor
	var out []*Step
	for _, s := range b.steps {
		if a, ok := s.Action.(*Binary); ok && open[a.A] == nil && open[a.B] != nil && !a.PerChannel && (a.Op == "Add" || a.Op == "Mul") {
			a.A, a.B = a.B, a.A
		}
		in, to, ok := link(s.Action)
		if !ok {
			out = append(out, s)
			continue
		}
		if before := open[in]; before != nil && readers[in.Root()] == 1 && in.View == nil && continues(before, s) {
			join(before, s)
			out = slices.DeleteFunc(out, func(o *Step) bool { return o == before })
			s = before // it runs where its last link does: all that is read is there then
		}
		out = append(out, s)
		open[to] = s
	}
	b.steps = out
}

// continues reports whether s can be the next link of before.
func continues(before, s *Step) bool {
	last := before.Action
	if c, ok := last.(*Chain); ok {
		last = c.Links[len(c.Links)-1]
	}
	q, ok := last.(*Quantize)
	if !ok {
		return true
	}
	d, ok := s.Action.(*Dequantize)
	return ok && d.Coding == q.Coding
}

// join makes s the last link of before.
func join(before, s *Step) {
	c, ok := before.Action.(*Chain)
	if !ok {
		in, _, _ := link(before.Action)
		c = &Chain{In: in, Links: []Action{before.Action}}
		before.Action = c
	}
	_, c.Out, _ = link(s.Action)
	c.Links = append(c.Links, s.Action)
	before.Label += "+" + s.Label
	before.Nodes = append(before.Nodes, s.Nodes...)
	before.Ops += s.Ops
	if before.Why == "" {
		before.Why = s.Why
	}
}
