package program

import (
	"errors"
	"fmt"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
)

// Program is a network made ready for inputs of given shapes.
type Program struct {
	Inputs, Outputs []Port
	Tensors         []*Tensor // all of them, views too
	Steps           []*Step   // in the order in which they run

	Batched bool // whether the inputs may hold any number of samples, of which the program takes up to Samples at a time
	Samples int
	Slots   int // plain tensors made while it runs
	Arena   int // bytes of memory for the tensors of one piece
}

// Port is an input or output of a program.
type Port struct {
	Name   string
	Type   op.Type // with a batch of Samples, if the program is batched
	Tensor *Tensor // of place IsInput or IsOutput

	// Coding of the bytes that the floats of this port become at once, or are
	// made from: with them a run needs no floats here. Its Scale is 0 where there
	// is no one such coding.
	Coding Coding
}

// Options say how a graph is lowered.
type Options struct {
	Requant Mode
	Float   bool // computes quantized files in float, as their operators mean it

	// Borders lets a tensor hold the padding that its readers need around its
	// images. Without, a step sees padding where its window leaves the image.
	Borders bool

	// Batched says that the samples of axis 0 do not depend on each other; the program takes Samples at a time.
	Batched bool
	Samples int

	// Observed are values that the run shows to an observer.
	Observed []*graph.Value

	// Chains puts steps on floats that follow each other into one, a [Chain].
	Chains bool

	// Slack is how many elements behind a tensor a kernel may read, Align the
	// bytes that tensors' places are a multiple of, 4 at least.
	Slack, Align int
}

// Lower makes the program of a graph, which it does not change, for inputs of these types.
func Lower(g *graph.Graph, inputs []op.Type, o Options) (*Program, error) {
	if err := g.Check(); err != nil {
		return nil, fmt.Errorf("program: %w", err)
	}
	f, err := infer(g, inputs)
	if err != nil {
		return nil, err
	}
	requant := o.Requant
	if requant == ModeAuto { // settled by trying shifts first
		requant = ModeShift
	}
	b := newBuilder(f, o, requant)
	err = b.build()
	var notShift *ErrShift
	if o.Requant == ModeAuto && errors.As(err, &notShift) {
		b = newBuilder(f, o, ModeFloat)
		err = b.build()
	}
	if err != nil {
		return nil, err
	}
	return b.program(), nil
}

// program makes the finished program of what was built.
func (b *builder) program() *Program {
	p := &Program{Tensors: b.tensors, Steps: b.steps, Batched: b.Batched, Samples: b.samples, Slots: b.slots}
	p.layout(max(b.Align, 4), b.Slack)
	for i, t := range p.Tensors {
		t.ID = i
	}
	for i, v := range b.graph.Inputs {
		p.Inputs = append(p.Inputs, Port{Name: v.Name, Type: b.typeOf(v), Tensor: b.inputs[i], Coding: p.codingOfInput(b.inputs[i])})
	}
	for i, v := range b.graph.Outputs {
		p.Outputs = append(p.Outputs, Port{Name: v.Name, Type: b.typeOf(v), Tensor: b.outputs[i], Coding: p.codingOfOutput(b.outputs[i])})
	}
	return p
}

// codingOfInput returns the coding of an input that is only quantized, always in this way.
func (p *Program) codingOfInput(t *Tensor) Coding {
	var c Coding
	for _, s := range p.Steps {
		for _, r := range s.Action.Reads() {
			if r != t {
				continue
			}
			q, ok := s.Action.(*Quantize)
			if !ok || c.Scale != 0 && q.Coding != c {
				return Coding{}
			}
			c = q.Coding
		}
	}
	return c
}

// codingOfOutput returns the coding of the bytes that an output is made from.
func (p *Program) codingOfOutput(t *Tensor) Coding {
	from := t
	for i := len(p.Steps) - 1; i >= 0; i-- {
		switch a := p.Steps[i].Action.(type) {
		case *Copy:
			if a.Out == from {
				if from = a.In; from.Bytewide() {
					return from.Coding
				}
			}
		case *Dequantize:
			if a.Out == from.Root() {
				return a.Coding
			}
		}
	}
	return Coding{}
}
