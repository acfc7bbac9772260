package graph

import "maps"

// Clone returns a copy that shares only constant tensors and attribute values
// with g, neither of which a pass may change in place. Subgraphs and scalings are copied.
func (g *Graph) Clone() *Graph {
	c := cloner{values: make(map[*Value]*Value), nodes: make(map[*Node]*Node)}
	return c.graph(g)
}

// cloner remembers what it copied: subgraphs read values of graphs around them.
type cloner struct {
	values map[*Value]*Value
	nodes  map[*Node]*Node
}

func (c cloner) graph(g *Graph) *Graph {
	out := &Graph{Name: g.Name, Opset: maps.Clone(g.Opset), Meta: maps.Clone(g.Meta)}
	for _, n := range g.Nodes {
		c.nodes[n] = new(Node)
	}
	out.Inputs = c.all(g.Inputs)
	for _, n := range g.Nodes {
		m := c.nodes[n]
		*m = *n
		m.Inputs, m.Outputs = c.all(n.Inputs), c.all(n.Outputs)
		m.Attrs = maps.Clone(n.Attrs)
		if n.Scaling != nil {
			m.Scaling = n.Scaling.Clone()
		}
		for name, a := range n.Attrs {
			if sub, ok := a.(*Graph); ok {
				m.Attrs[name] = c.graph(sub)
			}
		}
		out.Nodes = append(out.Nodes, m)
	}
	out.Outputs = c.all(g.Outputs)
	return out
}

func (c cloner) all(vs []*Value) []*Value {
	out := make([]*Value, len(vs))
	for i, v := range vs {
		if v == nil {
			continue
		}
		if c.values[v] == nil {
			copied := *v
			copied.Node = c.nodes[v.Node]
			c.values[v] = &copied
		}
		out[i] = c.values[v]
	}
	return out
}
