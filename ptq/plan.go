package ptq

import (
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/profile"
	"github.com/narrow-ml/narrow/tensor"
)

// Errors of planning.
var (
	// ErrNoGraph reports a network that is nil.
	ErrNoGraph = errors.New("ptq: there is no network")
	// ErrQuantized reports a network that holds integers already.
	ErrQuantized = errors.New("ptq: the network is quantized already")
)

// preparedOpset is the version of the operator set in which networks are planned: the first that has
// scales per channel. What needs a later one brings the network there when it is written.
const preparedOpset = 13

// Plan says of a network what quantizing will do with it: which nodes compute on integers, and of the
// others why they do not; where tensors become integers, and which of them share a scale. It is made
// once, without data; every step reads it, and what loops over choices changes the plan and not the network.
type Plan struct {
	Graph  *graph.Graph // the float network as [Prepare] leaves it: every node has a name of its own
	Nodes  []*NodePlan  // in the order of the graph
	Places []*Place     // where tensors may become integers, in the order of the graph

	learnt
	places  Places
	target  *profile.Profile // nil for none
	byNode  map[*graph.Node]*NodePlan
	byValue map[*graph.Value]*Place // of computed values
	byInput map[operand]*Place      // of constant operands
	uses    map[*graph.Value][]*graph.Node
}

// learnt is what data has shown of a network: plans with other options know it as well.
type learnt struct {
	network   uint32                   // its fingerprint
	shares    map[*graph.Value]float64 // of the range of what layers read behind a chain in float, that is best kept
	outliers  map[*graph.Node]Reason   // nodes that are left in float since they are there for a few large channels
	amplified map[*graph.Node]Reason   // layers that are left in float for what amplifies their errors; nil before that is known
	precious  map[*tensor.Tensor]bool  // weights that are not stored on 8 bits; nil before that is known
}

// learn has the plan heed what data has shown.
func (p *Plan) learn(l learnt, c *config) {
	p.learnt = l
	p.leave(l.outliers)
	if p.places != PlacesAll {
		p.leave(l.amplified)
	}
	p.keepShares(c)
}

// NodePlan says how a node takes part.
type NodePlan struct {
	Node                *graph.Node
	Float               Reason // why it stays in float; the zero value if it computes on integers
	WeightBits, ActBits int    // of its weights and of its result

	traits   op.Traits   // what the operator table says of it
	kind     op.Flow     // FloatOnly if Float says so
	able     op.Flow     // what it would be if nothing were excluded
	unable   Reason      // why that is FloatOnly
	excluded Reason      // why it is to stay in float although it could do otherwise
	clamps   *graph.Node // of an activation function: the node whose result it clamps, at no cost; nil for any other
}

// Place is a point where a tensor may become integers: a value that is computed or an input of the
// network, or a constant operand.
type Place struct {
	Value  *graph.Value
	On     bool   // whether it becomes integers, as things stand
	Choice Choice // how its integers are chosen

	operand             // that a constant is; no reader for a computed value
	maker   *graph.Node // whose bits its result has; nil for an input of the network and a constant
}

// operand is an input of a node.
type operand struct {
	reader *graph.Node
	input  int
}

// NewPlan prepares a copy of g and plans what options say. It needs no data.
func NewPlan(g *graph.Graph, options ...Option) (*Plan, error) {
	c, err := newConfig(options)
	if err != nil {
		return nil, err
	}
	return c.newPlan(g)
}

func (c *config) newPlan(g *graph.Graph) (p *Plan, err error) {
	if g, err = copied(g); err != nil {
		return nil, err
	}
	err = guarded(func() error {
		if err := graph.Infer(g); err == nil && nothingInFloat(g) {
			return fmt.Errorf("%w: narrow run and eval take it as it is; to choose anew, quantize the float network", ErrQuantized)
		}
		if err := Prepare(g, preparedOpset); err != nil {
			return err
		}
		p, err = c.planPrepared(g)
		return err
	})
	return p, err
}

// nothingInFloat reports whether a network has integers and no sum of products with an operand in float.
func nothingInFloat(g *graph.Graph) bool {
	integers := false
	for _, n := range g.Nodes {
		t := n.Traits()
		integers = integers || t.Coding
		if t.MACs == nil {
			continue
		}
		for i, v := range n.Inputs {
			if r := t.Role(i); v != nil && (r == op.Data || r == op.Weights) && v.Type.DType.IsFloat() && (v.Node == nil || !v.Node.Traits().Coding) {
				return false
			}
		}
		integers = true
	}
	return integers
}

// planPrepared plans for a network that is prepared already and may be shared by several plans.
func (c *config) planPrepared(g *graph.Graph) (*Plan, error) {
	p := &Plan{Graph: g, places: c.placesToTake(), target: c.profile, byNode: make(map[*graph.Node]*NodePlan), byValue: make(map[*graph.Value]*Place), byInput: make(map[operand]*Place), uses: g.Uses()}
	for _, n := range g.Nodes {
		np := &NodePlan{Node: n, traits: traitsOf(n)}
		p.Nodes, p.byNode[n] = append(p.Nodes, np), np
	}
	p.findKinds()
	p.findPlaces()
	if err := p.apply(c); err != nil {
		return nil, err
	}
	p.decide()
	return p, nil
}

// Exclude leaves the nodes that have one of these names in float, besides those that already are.
func (p *Plan) Exclude(reason Reason, names ...string) {
	for _, np := range p.Nodes {
		if np.excluded.Code == OnIntegers && slices.Contains(names, np.Node.Name) {
			np.excluded = reason
		}
	}
	p.decide()
}

// node returns how a node of the plan's graph takes part.
func (p *Plan) node(n *graph.Node) *NodePlan { return p.byNode[n] }

// Float returns why nodes stay in float, by name.
func (p *Plan) Float() map[string]string {
	float := make(map[string]string)
	for _, np := range p.Nodes {
		if np.Float.Code != OnIntegers {
			float[np.Node.Name] = np.Float.String()
		}
	}
	return float
}

// wide reports whether a place that is on has more than 8 bits.
func (p *Plan) wide() bool {
	return slices.ContainsFunc(p.Places, func(pl *Place) bool { return pl.On && pl.Choice.Bits > 8 })
}

// fingerprint tells networks apart by their nodes, names and weights, whatever the version of the
// operator set and the options.
func fingerprint(g *graph.Graph) uint32 {
	bare := *g
	bare.Opset, bare.Meta = nil, nil
	return crc32.ChecksumIEEE([]byte(graph.Format(&bare)))
}

var flowNames = map[op.Flow]string{
	op.FloatOnly: "float", op.Affine: "affine", op.Product: "product", op.Join: "join", op.Concat: "concat",
	op.Moves: "moves", op.OneToOne: "one-to-one", op.Bounded: "bounded",
}

// String returns the plan as text, one line for each node and place, for golden files and for people.
func (p *Plan) String() string {
	var b strings.Builder
	for _, np := range p.Nodes {
		fmt.Fprintf(&b, "node %s %s %s", np.Node.Name, np.Node.Op, flowNames[np.kind])
		switch {
		case np.Float.Code != OnIntegers:
			fmt.Fprintf(&b, ": %s", np.Float)
		case np.clamps != nil:
			fmt.Fprintf(&b, " of %s", np.clamps.Name)
		case np.kind == op.Affine:
			fmt.Fprintf(&b, " %d/%d bits", np.WeightBits, np.ActBits)
		}
		b.WriteByte('\n')
	}
	number := make(map[*Place]int)
	for i, tied := range p.groups() {
		for _, pl := range tied.places {
			number[pl] = i
		}
	}
	for _, pl := range p.Places {
		fmt.Fprintf(&b, "place %s", pl.Value.Name)
		if pl.reader != nil {
			fmt.Fprintf(&b, " of %s", pl.reader.Name)
		}
		if pl.On {
			fmt.Fprintf(&b, " %d bits, scale %d\n", pl.Choice.Bits, number[pl])
		} else {
			b.WriteString(" float\n")
		}
	}
	return b.String()
}
