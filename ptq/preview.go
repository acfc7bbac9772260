package ptq

import "github.com/narrow-ml/narrow/graph"

// Preview returns the network as [Quantize] prepares it, and by name the nodes
// that would stay in float, each with its reason. It needs no data and does not
// change g.
func Preview(g *graph.Graph) (prepared *graph.Graph, float map[string]string, err error) {
	c := newConfig(nil)
	prepared = g.Clone()
	if err := Prepare(prepared, c.opset()); err != nil {
		return nil, nil, err
	}
	return prepared, newReport(prepared, c).Float, nil
}
