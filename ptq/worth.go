package ptq

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
)

// Places says what is worth the error of becoming integers.
type Places int

const (
	// PlacesAuto rounds what weighted layers read and what is moved to them. What is computed element by element in between is
	// computed in float and rounded once; but where there is nothing in between except sums, pools and clamping, as in a
	// plain convolutional network, integers go on through these.
	PlacesAuto Places = iota
	// PlacesWeighted computes these in float as well.
	PlacesWeighted
	// PlacesAll has everything on integers that has an integer form: nothing but integers for hardware without floats.
	PlacesAll
)

var placesNames = []string{"auto", "weighted", "all"}

// ErrPlaces reports a choice of places that does not exist.
var ErrPlaces = errors.New("ptq: unknown choice of places")

// ParsePlaces reads auto, weighted or all.
func ParsePlaces(s string) (Places, error) {
	if i := slices.Index(placesNames, s); i >= 0 {
		return Places(i), nil
	}
	return 0, fmt.Errorf("%w: %q is none of auto, weighted, all", ErrPlaces, s)
}

// WithPlaces chooses which tensors become integers: by default [PlacesAuto].
func WithPlaces(places Places) Option { return func(c *config) { c.places = places } }

// weigh leaves the nodes in float that integers are not worth it for.
func (p *Plan) weigh() {
	if p.places == PlacesAll {
		return
	}
	for changed := true; changed; {
		changed = false
		for _, np := range p.Nodes {
			switch np.able {
			case op.Join, op.OneToOne, op.Bounded:
				if !p.goesOn(np) { // which its neighbours may depend on
					np.able, np.unable, changed = op.FloatOnly, Reason{Code: BetweenLayers}, true
				}
			}
		}
	}
}

// goesOn reports whether a node between layers computes on integers: a sum, which commutes with a factor, an
// average or a clamp, with nothing but such nodes to the layers before and behind. What can be added in float as it
// comes is not rounded for a sum.
func (p *Plan) goesOn(np *NodePlan) bool {
	n, v := np.Node, np.Node.Outputs[0]
	if isActivationFunction(n) {
		return p.integral(n.In(0))
	}
	if p.places == PlacesWeighted || np.traits.Scale == op.Bilinear || np.traits.Scale == op.NoScale {
		return false
	}
	for i, in := range n.Inputs {
		if !isActivation(n, &np.traits, i) {
			continue
		}
		if !p.integral(in) || np.able == op.Join && (p.sums(in) || !slices.Equal(in.Type.Shape, v.Type.Shape)) {
			return false
		}
	}
	return (np.able == op.Join || np.traits.Channels != 0) && p.reachesLayers(v)
}

// integral reports whether v comes from layers with nothing in between but what goes on on integers.
func (p *Plan) integral(v *graph.Value) bool {
	if v == nil || v.Node == nil || p.node(v.Node) == nil {
		return false
	}
	np := p.node(v.Node)
	switch np.able {
	case op.Affine, op.Join, op.OneToOne, op.Bounded:
		return true
	case op.Moves:
		return p.integral(v.Node.In(0))
	case op.Concat:
		return !slices.ContainsFunc(v.Node.Inputs, func(in *graph.Value) bool { return !p.integral(in) })
	}
	return false
}

// sums reports whether v is sums of products that can stay in float, moved or not.
func (p *Plan) sums(v *graph.Value) bool {
	for v.Node != nil && p.node(v.Node) != nil {
		np := p.node(p.maker(v))
		if np.able != op.Moves {
			return np.traits.FloatSums
		}
		v = np.Node.In(0)
	}
	return false
}

// reachesLayers reports whether what reads v are layers, or sums, pools and clamping before them, or the end of the network.
func (p *Plan) reachesLayers(v *graph.Value) bool {
	return !slices.ContainsFunc(p.uses[v], func(n *graph.Node) bool {
		np := p.node(n)
		switch t := &np.traits; np.able {
		case op.Affine:
			return false
		case op.Moves, op.Concat:
			return !p.reachesLayers(n.Outputs[0])
		case op.Join, op.OneToOne:
			return t.Scale == op.NoScale || t.Scale == op.Bilinear || !p.reachesLayers(n.Outputs[0])
		}
		return np.able != op.FloatOnly || np.unable.Code != FloatAtEnd
	})
}

// apart is how many times larger than another's the range of a part may be with which it is to share a scale.
const apart = 8

// separate leaves in float what would have a part share a scale that is far too coarse for it: joins of parts of very different
// ranges, and nodes that select small values of a tensor.
func (p *Plan) separate(stats *Statistics) {
	if p.places == PlacesAll {
		return
	}
	var names []string
	for _, np := range p.Nodes {
		first, others := p.ties(np)
		if first == nil {
			continue
		}
		least, most := math.Inf(1), 0.0
		for _, pl := range append(others, first) {
			if pl.reader == nil && stats.Tensors[pl.Value.Name] != nil {
				if r := stats.Tensors[pl.Value.Name].MaxAbs(); r > 0 {
					least, most = min(least, r), max(most, r)
				}
			}
		}
		if most > apart*least {
			names = append(names, np.Node.Name)
		}
	}
	if len(names) > 0 {
		p.Exclude(Reason{Code: RangesDiffer}, names...)
	}
}
