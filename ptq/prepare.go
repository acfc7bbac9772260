package ptq

import (
	"github.com/narrow-ml/narrow/graph"
)

// Prepare simplifies the network.
func Prepare(g *graph.Graph) error { return g.Sort() }
