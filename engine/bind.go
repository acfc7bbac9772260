package engine

import (
	"fmt"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/program"
)

// binder binds steps of programs to kernels.
type binder struct {
	net     *Net
	batched bool
}

// bind returns the step with the kernel that computes it.
func (b *binder) bind(s *program.Step) (*step, error) {
	bound, err := b.action(s)
	if err != nil {
		return nil, fmt.Errorf("engine: step %q: %w", s.Name, err)
	}
	bound.Step = s
	return bound, nil
}

func (b *binder) action(s *program.Step) (*step, error) {
	switch a := s.Action.(type) {
	case *program.Conv:
		return b.conv(s, a)
	case *program.MatMul:
		return b.matMul(s, a)
	case *program.ConvFloat:
		return b.convFloat(s, a)
	case *program.MatMulFloat:
		return b.matMulFloat(s, a)
	case *program.Product:
		return bindProduct(a), nil
	case *program.Add:
		return bindAdd(a)
	case *program.Mul:
		return bindMul(a)
	case *program.Table:
		return bindTable(a), nil
	case *program.MaxPool:
		return bindMaxPool(a), nil
	case *program.AveragePool:
		return b.averagePool(s, a)
	case *program.Chain:
		return bindChain(a)
	case *program.Reference:
		return b.reference(a)
	case *program.Observe:
		return bindObserve(a, b.net.observer), nil
	}
	if bound := bindFloat(s.Action); bound != nil {
		return bound, nil
	}
	return b.move(s.Action)
}

// move binds steps that convert, copy or reorder.
func (b *binder) move(a program.Action) (*step, error) {
	switch a := a.(type) {
	case *program.Quantize:
		return bindQuantize(a)
	case *program.Dequantize:
		return bindDequantize(a)
	case *program.Copy:
		return b.copy(a), nil
	case *program.Transpose:
		return bindTranspose(a), nil
	case *program.Repeat:
		return bindRepeat(a), nil
	case *program.Pad:
		return bindPad(a), nil
	}
	return nil, fmt.Errorf("there is no kernel for %T", a)
}

// packKey names packed weights: plans of one network for different shapes share them.
type packKey struct {
	node  *graph.Node
	first int // weight, of the parts that a node's weights fall into
	kind  string
}

// packedFor returns weights that were packed for the step, packing them the
// first time.
func packedFor[T any](net *Net, s *program.Step, w *program.Weights, pack func() (T, error)) (T, error) {
	var kind T
	key := packKey{s.Nodes[0], w.First, fmt.Sprintf("%T", kind)}
	if p, ok := net.packed[key].(T); ok {
		return p, nil
	}
	p, err := pack()
	if err == nil {
		net.packed[key] = p
	}
	return p, err
}
