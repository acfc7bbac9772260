package ptq

import (
	"slices"

	"github.com/narrow-ml/narrow/graph"
)

// apply carries over to the plan what the options say of nodes. A name that no node has is an error.
func (p *Plan) apply(c *config) error {
	for _, text := range c.exclude {
		found, err := p.find(text)
		if err != nil {
			return err
		}
		for _, np := range found {
			np.excluded = Reason{Code: Excluded}
		}
	}
	for _, op := range c.excludeOps {
		found, err := p.findOp(op)
		if err != nil {
			return err
		}
		for _, np := range found {
			np.excluded = Reason{Code: Excluded}
		}
	}
	if err := p.applyBits(c); err != nil {
		return err
	}
	p.choosePlaces(c)
	return nil
}

// applyBits gives the nodes their bits: first what operators have, then what patterns say, then
// what names do, in the order of the options.
func (p *Plan) applyBits(c *config) error {
	for _, np := range p.Nodes {
		np.WeightBits, np.ActBits = c.weightBits, c.actBits
	}
	rules := slices.Clone(c.bits)
	rank := func(r bitsRule) int {
		switch {
		case r.op != "":
			return 0
		case newPattern(r.nodes).wild != nil:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(rules, func(a, b bitsRule) int { return rank(a) - rank(b) })
	for _, r := range rules {
		find, text := p.find, r.nodes
		if r.op != "" {
			find, text = p.findOp, r.op
		}
		found, err := find(text)
		if err != nil {
			return err
		}
		for _, np := range found {
			np.WeightBits, np.ActBits = r.bits[0], r.bits[1]
		}
	}
	return nil
}

// find returns the nodes that a name or pattern means.
func (p *Plan) find(text string) ([]*NodePlan, error) {
	pattern := newPattern(text)
	return p.findAll("node", text, func(n *graph.Node) string { return n.Name }, pattern.matches)
}

// findOp returns the nodes of an operator.
func (p *Plan) findOp(text string) ([]*NodePlan, error) {
	return p.findAll("operator", text, func(n *graph.Node) string { return n.Op }, func(op string) bool { return op == text })
}

func (p *Plan) findAll(what, text string, name func(*graph.Node) string, matches func(string) bool) ([]*NodePlan, error) {
	var found []*NodePlan
	var names []string
	for _, np := range p.Nodes {
		names = append(names, name(np.Node))
		if matches(name(np.Node)) {
			found = append(found, np)
		}
	}
	if len(found) == 0 {
		slices.Sort(names)
		return nil, unknown(what, text, slices.Compact(names))
	}
	return found, nil
}
