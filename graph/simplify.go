package graph

// A pass rewrites a graph whose shapes have been inferred, without changing
// what it computes, reports how many places it changed, and leaves the nodes
// sorted, those dropped that nothing needs any more. Constants are never
// changed in place, as two nodes may share one.
type pass struct {
	name string
	run  func(*Graph) (int, error)
}

// simplifications are the passes of Simplify in their order: what only gets in
// the way of the others goes first.
var simplifications = []pass{
	{"remove identities", RemoveIdentities},
	{"fold constants", FoldConstants},
	{"fold shapes", FoldShapes},
	{"inline If", InlineIfs},
	{"fuse functions", FuseFunctions},
	{"fuse MatMul and Add", FuseGemm},
	{"fold BatchNormalization", FoldBatchNorm},
	{"fuse Pad", FusePad},
}

// maxRounds bounds how often the passes are repeated, as each may make work
// for another.
const maxRounds = 8

// Simplify rewrites g into what quantization and the engine like to see:
// constants folded, BatchNormalization and Pad part of the convolution beside
// them, MatMul and Add one Gemm, no Identity or Dropout, no nodes that nothing
// needs. Shapes are inferred.
func Simplify(g *Graph) error {
	for range maxRounds {
		if err := g.Sort(); err != nil {
			return err
		}
		if err := Infer(g); err != nil {
			return err
		}
		changes := 0
		for _, p := range simplifications {
			n, err := p.run(g)
			if err != nil {
				return err
			}
			changes += n
		}
		if changes == 0 {
			break
		}
	}
	return g.Sort()
}
