package c

import "github.com/narrow-ml/narrow/program"

// overlap lets the result of a step take memory of the operand that it goes over window by window, if
// nobody needs that afterwards: one begins so far behind the other that what is written has been read before.
func (p *Plan) overlap(i int, s *program.Step, l *layer) {
	in, out, g, atOnce := sweep(s, l)
	if in == nil {
		return
	}
	from, to := p.of[s.Action.Reads()[0].Root()], p.of[s.Action.Writes()[0].Root()]
	if from == nil || to == nil || from == to || from.used != i || to.born != i {
		return
	}
	for _, t := range s.Action.Reads()[1:] {
		if p.of[t.Root()] == from {
			return
		}
	}
	to.over = from
	to.ahead = roundUp(lag(g, in, out, atOnce), blockAlign)
	to.behind = roundUp(lead(g, in, out, atOnce), blockAlign)
}

// backwards reports whether a step goes from the last pixel to the first, which its operand's place asks for.
func (p *Plan) backwards(s *program.Step) bool {
	to := p.of[s.Action.Writes()[0].Root()]
	return to != nil && to.over != nil && p.steps[to.born] == s && to.offset > to.over.offset
}

// sweep returns what a step goes over in windows, what it makes of them pixel by pixel, in rows, and how many
// pixels at once; nil for other steps.
func sweep(s *program.Step, l *layer) (in, out *program.Tensor, g program.Geometry, atOnce int) {
	switch a := s.Action.(type) {
	case *program.Conv, *program.MatMul:
		return l.in, l.out, l.window, l.atOnce()
	case *program.MaxPool:
		return a.In, a.Out, a.Geometry, 1
	case *program.AveragePool:
		return a.In, a.Out, a.Geometry, 1
	}
	return nil, nil, g, 0
}

// lag returns how many bytes the memory of in must begin behind that of out so that what is written is no element
// that is still to be read, if the pixels are made from the first to the last: at each pixel, the end of what
// has been written then less the first byte that it or a later one reads.
func lag(g program.Geometry, in, out *program.Tensor, atOnce int) int {
	size, base := elementSize(out), apart(in, out)
	most, first := 0, in.Extent()
	for y := out.H - 1; y >= 0; y-- {
		for x := out.W - 1; x >= 0; x-- {
			row, pixel := max(y*g.Stride[0]-g.Pad.Top, 0), max(x*g.Stride[1]-g.Pad.Left, 0)
			first = min(first, row*in.RowStride+pixel*in.PixStride)
			end := y*out.RowStride + min(x+atOnce-1, out.W-1)*out.PixStride + out.C
			most = max(most, end*size+base-first)
		}
	}
	return most
}

// lead returns how many bytes the memory of out must begin behind that of in if the pixels are made from the last to
// the first: at each pixel, the end of what it and those before it read less the first byte that has been written.
func lead(g program.Geometry, in, out *program.Tensor, atOnce int) int {
	size, base := elementSize(out), apart(in, out)
	most, end := 0, 0
	for y := range out.H {
		for x := range out.W {
			row := min(y*g.Stride[0]-g.Pad.Top+(g.Kernel[0]-1)*g.Dilation[0], in.H-1)
			pixel := min(x*g.Stride[1]-g.Pad.Left+(g.Kernel[1]-1)*g.Dilation[1], in.W-1)
			end = max(end, row*in.RowStride+pixel*in.PixStride+in.C)
			first := y*out.RowStride + max(x-atOnce+1, 0)*out.PixStride
			most = max(most, end-base-first*size)
		}
	}
	return most
}

// apart returns how much further into its memory out begins than in, in bytes.
func apart(in, out *program.Tensor) int {
	return (out.Offset-out.Root().Offset)*elementSize(out) - (in.Offset - in.Root().Offset)
}
