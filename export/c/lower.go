package c

import (
	"errors"
	"fmt"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/program"
)

// Lower makes the program of a graph, which it does not change, for one input, as [New] wants it: by shifts where all
// rescalings are powers of two, else by multipliers. mode says which, with [program.ModeAuto] either.
func Lower(g *graph.Graph, mode program.Mode) (*program.Program, error) {
	if mode == program.ModeFloat {
		return nil, errors.New("export: there is no rescaling by floats: use shift or multiplier")
	}
	c := g.Clone()
	if err := graph.Simplify(c); err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	types, batch := make([]op.Type, len(c.Inputs)), 1
	for i, v := range c.Inputs {
		types[i] = op.Type{DType: v.Type.DType, Known: true}
		for d, n := range v.Type.Shape {
			if d == 0 && (n < 0 || n != 1 && len(v.Type.Shape) > 1) {
				batch, n = max(batch, n), 1
			}
			if n < 0 {
				return nil, fmt.Errorf("export: input %q has no fixed size in dimension %d: export the network with one", v.Name, d)
			}
			types[i].Shape = append(types[i].Shape, n)
		}
	}
	o := program.Options{Requant: mode, Align: 1}
	if mode == program.ModeAuto {
		o.Requant = program.ModeShift
	}
	p, err := program.Lower(c, types, o)
	var notShift *program.ErrShift
	if mode == program.ModeAuto && errors.As(err, &notShift) {
		o.Requant = program.ModeMultiplier
		p, err = program.Lower(c, types, o)
	}
	if err != nil && batch > 1 {
		return nil, fmt.Errorf("export: for one input instead of a batch of %d: %w: make the ONNX file with a batch of 1", batch, err)
	}
	return p, err
}
