package program

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
)

// Text prints the program for people and golden files: inputs and outputs, then
// a line for each step with the tensors it writes and reads, where they lie, and what
// it does. Long lists are shown by their first elements and a checksum of all.
func (p *Program) Text() string {
	var s strings.Builder
	for _, q := range p.Inputs {
		fmt.Fprintf(&s, "input  %s\n", q.text())
	}
	for _, q := range p.Outputs {
		fmt.Fprintf(&s, "output %s\n", q.text())
	}
	fmt.Fprintf(&s, "arena  %d bytes for %d samples", p.Arena, p.Samples)
	if p.Batched {
		s.WriteString(" at a time")
	}
	s.WriteByte('\n')
	for i, step := range p.Steps {
		fmt.Fprintf(&s, "%3d %s %q: %s <- %s%s\n", i, step.Label, step.Name, tensorsText(step.Action.Writes()), tensorsText(step.Action.Reads()), actionText(step.Action))
	}
	return s.String()
}

func (q *Port) text() string {
	s := fmt.Sprintf("%q %s%v", q.Name, q.Type.DType, q.Type.Shape)
	if q.Coding.Scale != 0 {
		s += " of " + q.Coding.text()
	}
	return s
}

func (c Coding) text() string { return fmt.Sprintf("%s scale %g zero %d", c.Type, c.Scale, c.Zero) }

func tensorsText(ts []*Tensor) string {
	if len(ts) == 0 {
		return "-"
	}
	var parts []string
	for _, t := range ts {
		parts = append(parts, t.text())
	}
	return strings.Join(parts, ", ")
}

func (t *Tensor) text() string {
	switch t.Place {
	case IsInput:
		return fmt.Sprintf("input %d", t.Index)
	case IsOutput:
		return fmt.Sprintf("output %d", t.Index)
	case InSlot:
		return fmt.Sprintf("slot %d", t.Index)
	case IsConstant:
		return fmt.Sprintf("constant %v", t.Value)
	}
	s := fmt.Sprintf("t%d %s %dx%dx%d", t.ID, t.DType, t.H, t.W, t.C)
	if t.Layout == Plain {
		s = fmt.Sprintf("t%d %s plain %dx%d", t.ID, t.DType, t.H*t.W, t.C)
	}
	if v := t.View; v != nil {
		s += fmt.Sprintf(" in t%d", v.Base.ID)
	}
	s += fmt.Sprintf(" @%d", t.Offset*t.Width())
	if t.Border != (Sides{}) {
		s += fmt.Sprintf(" border %s of %d", t.Border.text(), t.Fill)
	}
	return s
}

func (s Sides) text() string { return fmt.Sprintf("%d,%d,%d,%d", s.Top, s.Left, s.Bottom, s.Right) }

// actionText describes what the tensors do not say.
func actionText(a Action) string {
	switch a := a.(type) {
	case *Conv:
		return a.Geometry.text() + a.Affine.text()
	case *MatMul:
		return a.Affine.text()
	case *Add:
		return "; " + a.Sum.text()
	case *Mul:
		return fmt.Sprintf("; zeros %d and %d; %s", a.ZeroA, a.ZeroB, a.Requant.text())
	case *MaxPool:
		return a.Geometry.text()
	case *AveragePool:
		if a.Requant == nil {
			return a.Geometry.text()
		}
		return a.Geometry.text() + fmt.Sprintf("; zero %d; %s", a.ZeroIn, a.Requant.text())
	case *Table:
		return fmt.Sprintf("; table %08x", crc32.ChecksumIEEE(a.Table[:]))
	case *Quantize:
		return "; to " + a.Coding.text()
	case *Dequantize:
		return "; from " + a.Coding.text()
	case *Transpose:
		return fmt.Sprintf("; shape %v strides %v", a.Shape, a.Strides)
	case *Repeat:
		return fmt.Sprintf("; %d rows %d columns", a.Rows, a.Cols)
	case *Pad:
		return fmt.Sprintf("; at %d,%d,%d of %d", a.At.Y, a.At.X, a.At.C, a.Fill)
	}
	return floatText(a)
}

// floatText is actionText of steps on floats.
func floatText(a Action) string {
	switch a := a.(type) {
	case *ConvFloat:
		return a.Geometry.text() + "; " + a.Weights.text() + biasText(a.Bias) + clampText(a.Lo, a.Hi)
	case *MatMulFloat:
		return "; " + a.Weights.text() + biasText(a.Bias) + clampText(a.Lo, a.Hi)
	case *MatMulBlocks:
		w := &a.Weights
		return fmt.Sprintf("; weights uint%d %dx%d by %d %08x", w.Bits, w.N, w.K, w.Block, crc32.ChecksumIEEE(w.Codes)) + biasText(a.Bias) + clampText(a.Lo, a.Hi)
	case *Product:
		s := fmt.Sprintf("; %d of %dx%d by %dx%d", a.Count, a.Rows, a.Inner, a.Inner, a.Cols)
		if a.Requant != nil {
			s += fmt.Sprintf("; zeros %d %d; %s", a.ZeroA, a.ZeroB, a.Requant.text())
		} else if a.Scale != 0 {
			s += fmt.Sprintf("; zeros %d %d; scale %g", a.ZeroA, a.ZeroB, a.Scale)
		}
		return s
	case *Map:
		return fmt.Sprintf("; %s %g %g", a.Func, a.A, a.B)
	case *Binary:
		if a.PerChannel {
			return "; " + a.Op + " by channel" + clampText(a.Lo, a.Hi)
		}
		return "; " + a.Op + clampText(a.Lo, a.Hi)
	case *ChannelAffine:
		return "; scale " + listText(a.Scale) + " shift " + listText(a.Shift) + clampText(a.Lo, a.Hi)
	case *ChannelDivide:
		return "; by " + listText(a.By)
	case *LayerNorm:
		return fmt.Sprintf("; scale %s shift %s epsilon %g", listText(a.Scale), listText(a.Shift), a.Epsilon)
	case *Reference:
		return "; reference kernel"
	case *Chain:
		s := ""
		for _, l := range a.Links {
			s += actionText(l)
		}
		return s
	}
	return ""
}

func (g *Geometry) text() string {
	s := fmt.Sprintf("; window %dx%d", g.Kernel[0], g.Kernel[1])
	if g.Stride != [2]int{1, 1} {
		s += fmt.Sprintf(" stride %d,%d", g.Stride[0], g.Stride[1])
	}
	if g.Dilation != [2]int{1, 1} {
		s += fmt.Sprintf(" dilation %d,%d", g.Dilation[0], g.Dilation[1])
	}
	if g.Groups > 1 {
		s += fmt.Sprintf(" groups %d", g.Groups)
	}
	if g.Pad != (Sides{}) {
		s += " pad " + g.Pad.text()
	}
	return s
}

func (a *Affine) text() string {
	s := fmt.Sprintf("; %s%s; zero %d", a.Weights.text(), biasText(a.Bias), a.ZeroIn)
	if a.Requant == nil {
		return s + "; scales " + listText(a.Scales)
	}
	s += "; " + a.Requant.text()
	if a.Residual != nil {
		s += "; + " + a.Residual.Sum.text()
	}
	return s
}

func (w *Weights) text() string {
	s := fmt.Sprintf("weights %s %dx%dx%dx%d", w.DType(), w.Channels(), w.Kernel[0], w.Kernel[1], w.In)
	if w.F32 != nil {
		return s
	}
	var sum uint32
	for _, q := range w.Ints() {
		sum = crc32.Update(sum, crc32.IEEETable, binary.LittleEndian.AppendUint16(nil, uint16(q)))
	}
	return s + fmt.Sprintf(" %08x", sum)
}

func biasText[T int32 | float32](bias []T) string {
	if bias == nil {
		return ""
	}
	return " bias " + listText(bias)
}

func clampText(lo, hi float32) string {
	if lo == -inf && hi == inf {
		return ""
	}
	return fmt.Sprintf(" in %g..%g", lo, hi)
}

func (r *Requant) text() string {
	s := ""
	switch r.Mode {
	case ModeShift:
		s = "shift " + listText(r.Shift)
	case ModeMultiplier:
		s = "multiplier " + listText(r.Mul) + " shift " + listText(r.Shift)
	default:
		s = "scale " + listText(r.Scale)
	}
	return fmt.Sprintf("%s zero %d in %d..%d", s, r.Zero, r.Lo, r.Hi)
}

func (s *Sum) text() string {
	if s.Mode == ModeFloat {
		return fmt.Sprintf("scales %g and %g by %g zeros %d and %d zero %d in %d..%d", s.ScaleA, s.ScaleB, s.Divisor, s.ZeroA, s.ZeroB, s.Zero, s.Lo, s.Hi)
	}
	return fmt.Sprintf("multipliers %d and %d shift %d zeros %d and %d zero %d in %d..%d", s.MulA, s.MulB, s.Shift, s.ZeroA, s.ZeroB, s.Zero, s.Lo, s.Hi)
}

// listText prints a list: one number for equal ones, at most four, then a checksum of all.
func listText[T int8 | int32 | float32](x []T) string {
	if len(x) > 0 && !slices.ContainsFunc(x, func(v T) bool { return v != x[0] }) {
		return fmt.Sprint(x[0])
	}
	if len(x) <= 4 {
		return fmt.Sprint(x)
	}
	var sum uint32
	for _, v := range x {
		sum = crc32.Update(sum, crc32.IEEETable, []byte(fmt.Sprint(v)))
	}
	return strings.TrimSuffix(fmt.Sprint(x[:4]), "]") + fmt.Sprintf(" ...] %08x", sum)
}
