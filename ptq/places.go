package ptq

import (
	"math"
	"slices"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
)

// The rules of this file decide which values become integers. What a node can do is found once;
// what is left of it when some are excluded is found again whenever that changes, and never more.

// rule says why a node that has an integer form must stay in float, the zero value if it need not.
type rule func(p *Plan, np *NodePlan) Reason

// rules are asked in this order, for the nodes in the order of the graph.
var rules = []rule{readsInfinite}

// readsInfinite: an infinity, as a mask holds it, has no integer.
func readsInfinite(p *Plan, np *NodePlan) Reason {
	for _, v := range np.Node.Inputs {
		if v == nil || v.Node == nil || p.node(v.Node) == nil || !p.node(v.Node).unable.spreads() {
			continue
		}
		if r := np.traits.Range; !math.IsInf(r.Lo, 0) && !math.IsInf(r.Hi, 0) {
			return Reason{StopsInfinite, v.Node.Name}
		}
		return Reason{ReadsInfinite, v.Node.Name}
	}
	return Reason{}
}

// findKinds says of every node what it can do.
func (p *Plan) findKinds() {
	for _, np := range p.Nodes {
		np.able, np.unable = kindOf(p.Graph, np.Node, &np.traits)
		if np.unable.Code == FloatAtEnd && p.target != nil && p.target.NoFloat {
			np.able, np.unable = np.traits.Flow, Reason{}
		}
		for _, r := range rules {
			if np.able == op.FloatOnly {
				break
			}
			if np.unable = r(p, np); np.unable.Code != OnIntegers {
				np.able = op.FloatOnly
			}
		}
	}
	p.weigh()
	for _, np := range p.Nodes {
		np.clamps = p.clampedBy(np)
	}
	p.leaveToTarget()
}

// clampedBy returns the node whose result an activation function clamps, nil
// if it is none or somebody else needs the result unclamped.
func (p *Plan) clampedBy(np *NodePlan) *graph.Node {
	if np.able == op.FloatOnly || !isActivationFunction(np.Node) {
		return nil
	}
	v := np.Node.In(0)
	if v == nil || v.Node == nil || p.node(v.Node) == nil || len(p.uses[v]) != 1 || p.Graph.IsOutput(v) {
		return nil
	}
	switch p.node(v.Node).able {
	case op.Affine, op.Product, op.Join:
		return v.Node
	}
	return nil
}

// findPlaces lists all values that can become integers: those that do if nothing is excluded.
// Excluding a node never adds one.
func (p *Plan) findPlaces() {
	for _, np := range p.Nodes {
		np.kind = np.able
	}
	possible := p.choose()
	for _, v := range p.Graph.Values() {
		if possible[v] {
			pl := &Place{Value: v, maker: p.maker(v)}
			p.Places, p.byValue[v] = append(p.Places, pl), pl
		}
	}
	for _, np := range p.Nodes {
		if np.able == op.Affine || np.able == op.FloatOnly {
			continue
		}
		for i, v := range np.Node.Inputs {
			if v.IsConst() && isActivation(np.Node, &np.traits, i) {
				pl := &Place{Value: v, operand: operand{np.Node, i}}
				p.Places, p.byInput[pl.operand] = append(p.Places, pl), pl
			}
		}
	}
}

// decide says how every node takes part, and which places are on, with what is excluded by now.
func (p *Plan) decide() {
	for _, np := range p.Nodes {
		np.kind, np.Float = np.able, np.unable
		if np.able == op.FloatOnly {
			continue
		}
		switch maker := p.node(np.clamps); {
		case np.excluded.Code != OnIntegers:
			np.kind, np.Float = op.FloatOnly, np.excluded
		case maker != nil && maker.excluded.Code != OnIntegers:
			np.kind, np.Float = op.FloatOnly, Reason{FollowsExcluded, maker.Node.Name}
		}
	}
	chosen := p.choose()
	for _, np := range p.Nodes {
		if np.carries() && !p.moves(np, chosen) {
			np.kind, np.Float = op.FloatOnly, Reason{Code: NothingToDo}
		}
	}
	for _, pl := range p.Places {
		if pl.reader == nil {
			pl.On = chosen[pl.Value]
		} else {
			pl.On = p.node(pl.reader).kind != op.FloatOnly
		}
	}
}

// maker returns the node whose result v is: behind an activation function the node
// that it clamps; nil for an input of the network.
func (p *Plan) maker(v *graph.Value) *graph.Node {
	if v.Node == nil || p.node(v.Node) == nil {
		return nil
	}
	if n := p.node(v.Node).clamps; n != nil {
		return n
	}
	return v.Node
}

// choose returns the values that become integers, for the kinds that nodes have by now: those that nodes on integers
// read, what is moved there, and the network's results that are made of integers alone.
func (p *Plan) choose() map[*graph.Value]bool {
	chosen := make(map[*graph.Value]bool)
	for _, np := range slices.Backward(p.Nodes) {
		if np.kind == op.FloatOnly {
			continue
		}
		for _, v := range np.Node.Outputs {
			if v != nil && (p.wantsResult(v) || p.whole(v)) {
				chosen[v] = true
			}
		}
		if np.clamps != nil || np.carries() && !p.moves(np, chosen) {
			continue
		}
		for i, v := range np.Node.Inputs {
			if isActivation(np.Node, &np.traits, i) && !v.IsConst() {
				chosen[v] = true
			}
		}
	}
	return chosen
}

// carries reports whether a node only hands values on.
func (np *NodePlan) carries() bool { return np.kind == op.Moves || np.kind == op.Concat }

// moves reports whether a node that carries values carries integers: where its result is to become integers, and
// rounding before costs nothing, or is done anyway.
func (p *Plan) moves(np *NodePlan, chosen map[*graph.Value]bool) bool {
	n := np.Node
	for _, v := range n.Outputs {
		if !chosen[v] {
			continue
		}
		whole := np.kind == op.Concat || np.traits.View || np.traits.Permutes
		return whole || chosen[n.In(0)] || p.integral(n.In(0)) && (len(n.Outputs) == 1 || !p.sums(n.In(0)))
	}
	return false
}

// wantsResult reports whether v, if it is a result of the network, is one of integers: not
// a sum of products, of which the full precision is kept.
func (p *Plan) wantsResult(v *graph.Value) bool {
	return p.Graph.IsOutput(v) && p.integral(v) && !p.sums(v)
}
