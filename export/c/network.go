package c

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/program"
	"github.com/narrow-ml/narrow/tensor"
)

// ErrNotInteger is wrapped by the errors about steps that are computed in float.
var ErrNotInteger = errors.New("the network is not all integer")

// port is an input or output of the C function.
type port struct {
	name    string // of the graph's value
	arg     string // of the C function
	tensor  *program.Tensor
	coding  program.Coding // of bytes
	lo, hi  int            // the bounds of an input's bytes
	clamp   [2]float32     // of an input's numbers
	scales  []float32      // of sums, by channel; nil for bytes
	softmax bool           // the graph has a softmax behind it, which the C leaves out
	copied  bool           // the tensor lies elsewhere and is copied at the end
}

// ctype returns the type of its elements.
func (p *port) ctype() string {
	switch {
	case p.scales != nil:
		return "int32_t"
	case p.tensor.DType == tensor.Int8:
		return "int8_t"
	}
	return "uint8_t"
}

func (p *port) size() int { t := p.tensor; return t.H * t.W * t.C }

// network is the integer part of a program: between the bytes that its inputs become and those, or
// the sums, that its outputs are made from.
type network struct {
	steps           []*program.Step
	inputs, outputs []*port
	held            map[*program.Tensor]*port // tensors that lie in the caller's memory
}

// newNetwork finds the integer part; an error if it does not reach from input to output.
func newNetwork(p *program.Program) (*network, error) {
	n, err := between(p)
	if !errors.Is(err, ErrNotInteger) {
		return n, err
	}
	// The first step that computes in float tells more than where that was noticed, and it more than one that moves floats.
	for _, moves := range []bool{false, true} {
		for _, s := range p.Steps {
			if cause := integer(s); s.Kind == program.Float && cause != nil && !converts(s) && moves == all(s, movesElements) {
				return nil, cause
			}
		}
	}
	return nil, err
}

func all(s *program.Step, is func(*graph.Node) bool) bool {
	return !slices.ContainsFunc(s.Nodes, func(n *graph.Node) bool { return !is(n) })
}

func movesElements(n *graph.Node) bool { return n.Traits().Flow == op.Moves }

// converts reports whether a step does nothing but quantize to bytes or back.
func converts(s *program.Step) bool {
	return all(s, func(n *graph.Node) bool { return isQuantization(n) && otherIntegers(n) == tensor.Undefined })
}

func isQuantization(n *graph.Node) bool {
	return n.Op == "QuantizeLinear" || n.Op == "DequantizeLinear"
}

// otherIntegers returns the type of the integers that a QuantizeLinear makes, or a DequantizeLinear reads, if they are no bytes.
func otherIntegers(n *graph.Node) tensor.DType {
	for _, v := range slices.Concat(n.Inputs[:1], n.Outputs) {
		if t := v.Type.DType; v.Type.Known && t != tensor.Float32 && t != tensor.Int8 && t != tensor.Uint8 {
			return t
		}
	}
	return tensor.Undefined
}

// between finds what is between the bytes of the inputs and the integers of the outputs.
func between(p *program.Program) (*network, error) {
	n := &network{held: make(map[*program.Tensor]*port)}
	outer := make(map[*program.Step]bool)
	for i := range p.Inputs {
		if err := n.input(p, &p.Inputs[i], outer); err != nil {
			return nil, err
		}
	}
	for i := range p.Outputs {
		if err := n.output(p, &p.Outputs[i], outer); err != nil {
			return nil, err
		}
	}
	for _, s := range p.Steps {
		if outer[s] {
			continue
		}
		if err := integer(s); err != nil {
			return nil, err
		}
		n.steps = append(n.steps, s)
	}
	name := func(ports []*port, arg string) {
		for i, p := range ports {
			if p.arg = arg; len(ports) > 1 {
				p.arg = fmt.Sprintf("%s%d", arg, i)
			}
		}
	}
	name(n.inputs, "in")
	name(n.outputs, "out")
	return n, nil
}

// input takes the bytes that an input becomes at once, or after it is clamped.
func (n *network) input(p *program.Program, in *program.Port, outer map[*program.Step]bool) error {
	if in.Tensor == nil {
		return fmt.Errorf("export: input %q is not used: remove it", in.Name)
	}
	at := &port{name: in.Name, tensor: in.Tensor, coding: in.Tensor.Coding, lo: -128, hi: 127}
	from, lo, hi := in.Tensor, float32(math.Inf(-1)), float32(math.Inf(1))
	for _, s := range p.Steps {
		switch a := s.Action.(type) {
		case *program.Map:
			if a.In == from && a.Func == program.Clamp {
				outer[s], from, lo, hi = true, a.Out, a.A, a.B
			}
		case *program.Copy:
			if a.In == from && !from.Bytewide() { // to another layout
				outer[s], from = true, a.Out
			}
		case *program.Quantize:
			if a.In.Root() != from.Root() {
				continue
			}
			if at.tensor != in.Tensor {
				return fmt.Errorf("export: input %q is quantized twice, by %q as well: quantize it once and let both readers have that", in.Name, s.Name)
			}
			outer[s], at.tensor, at.coding = true, a.Out, a.Coding
		}
	}
	if !at.tensor.Bytewide() {
		return fmt.Errorf("export: input %q is not quantized, %w: quantize with --places all or --shift, and with 8-bit activations", in.Name, ErrNotInteger)
	}
	if at.tensor.View != nil || !at.tensor.Gapless() {
		return fmt.Errorf("export: input %q does not lie in memory as one piece", in.Name)
	}
	if at.tensor.DType == tensor.Uint8 {
		at.lo, at.hi = 0, 255
	}
	if at.coding.Scale > 0 && lo <= hi {
		at.lo, at.hi = max(at.lo, at.coding.Code(lo)), min(at.hi, at.coding.Code(hi))
	}
	at.clamp = [2]float32{lo, hi}
	n.inputs = append(n.inputs, at)
	n.held[at.tensor] = at
	return nil
}

// output follows an output back to what integers it is made from.
func (n *network) output(p *program.Program, out *program.Port, outer map[*program.Step]bool) error {
	at := &port{name: out.Name}
	for t := out.Tensor; at.tensor == nil; {
		s := writer(p, t)
		if s == nil && t.Bytewide() {
			at.tensor, at.coding = t, t.Coding
			break
		}
		if s == nil {
			return fmt.Errorf("export: output %q is no result of a step, %w", out.Name, ErrNotInteger)
		}
		switch a := s.Action.(type) {
		case *program.Copy:
			t, outer[s] = a.In, true
		case *program.Softmax:
			t, outer[s], at.softmax = a.In, true, true
		case *program.Dequantize:
			at.tensor, at.coding, outer[s] = a.In, a.Coding, true
		case *program.Conv:
			at.tensor, at.scales = a.Out, a.Scales
		case *program.MatMul:
			at.tensor, at.scales = a.Out, a.Scales
		default:
			return integer(s)
		}
		if at.tensor == nil && t.Bytewide() {
			at.tensor, at.coding = t, t.Coding
		}
	}
	if at.tensor.Bytewide() {
		at.scales = nil
	}
	n.outputs = append(n.outputs, at)
	root := at.tensor.Root()
	at.copied = n.held[root] != nil || !root.Gapless() || root.Size() != at.size()
	if !at.copied {
		n.held[root] = at
	}
	return nil
}

// writer returns the step that makes t, or what t is a view of as a whole.
func writer(p *program.Program, t *program.Tensor) *program.Step {
	for ; t != nil; t = t.View.Base {
		for _, s := range p.Steps {
			for _, w := range s.Action.Writes() {
				if w == t {
					return s
				}
			}
		}
		if t.View == nil || !t.View.Recast {
			return nil
		}
	}
	return nil
}

// integer returns an error for a step that C cannot be written for.
func integer(s *program.Step) error {
	whole := func(r *program.Requant) bool { return r == nil || r.Mode != program.ModeFloat }
	ok := false
	switch a := s.Action.(type) {
	case *program.Conv:
		ok = whole(a.Requant) && (a.Residual == nil || a.Residual.Sum.Mode != program.ModeFloat)
	case *program.MatMul:
		ok = whole(a.Requant) && (a.Residual == nil || a.Residual.Sum.Mode != program.ModeFloat)
	case *program.Add:
		ok = a.Sum.Mode != program.ModeFloat
	case *program.Mul:
		ok = whole(a.Requant)
	case *program.MaxPool, *program.Table, *program.Copy, *program.Transpose, *program.Repeat, *program.Pad:
		ok = true
		for _, t := range s.Action.Reads() {
			ok = ok && t.Bytewide()
		}
	case *program.AveragePool:
		ok = a.Requant != nil && whole(a.Requant)
	}
	for _, t := range s.Action.Reads() { // neither a constant nor what a step in float has made
		ok = ok && (t.Root().Place == program.InArena || t.Root().Place == program.IsInput)
	}
	if ok {
		return nil
	}
	return notInteger(s)
}

// notInteger says which node is in float, why, and what to do about it.
func notInteger(s *program.Step) error {
	why := s.Why
	if why == "" {
		why = "it has no integer form"
	}
	way := "quantize with --places all or --shift; if that was done, replace the node, or let the network end before or begin behind it (narrow inspect says what stays float and why)"
	var nodes []string
	for _, n := range s.Nodes {
		if isQuantization(n) {
			if t := otherIntegers(n); t != tensor.Undefined {
				why, way = fmt.Sprintf("its integers are %s", t), "quantize with 8-bit activations and weights"
			} else if len(s.Nodes) > 1 {
				continue // the node that it is part of says more
			}
		}
		nodes = append(nodes, n.String())
	}
	return fmt.Errorf("export: %s is computed in float (%s), %w: %s", strings.Join(nodes, ", "), why, ErrNotInteger, way)
}
