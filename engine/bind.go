package engine

import (
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/internal/mapped"
	"github.com/narrow-ml/narrow/program"
)

// binder binds steps of programs to kernels.
type binder struct {
	net     *Net
	batched bool
}

// bindAll binds steps, several at a time: packing weights takes long.
func (b *binder) bindAll(steps []*program.Step) ([]*step, error) {
	bound, errs := make([]*step, len(steps)), make([]error, len(steps))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(b.net.threads, len(steps)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(steps); i = int(next.Add(1)) - 1 {
				bound[i], errs[i] = b.bind(steps[i])
			}
		})
	}
	wg.Wait()
	for _, err := range errs { // the first in order, whoever found one first
		if err != nil {
			return nil, err
		}
	}
	return bound, nil
}

// bind returns the step with the kernel that computes it.
func (b *binder) bind(s *program.Step) (bound *step, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("engine: step %q: internal error: %v", s.Name, r)
		}
	}()
	bound, err = b.action(s)
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
	case *program.MatMulBlocks:
		return b.matMulBlocks(s, a)
	case *program.Product:
		if a.A.Bytewide() {
			return bindProductS8(a)
		}
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
		return bindObserve(a, b.net.observer, b.batched), nil
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
	if p, ok := net.packed.Load(key); ok {
		return p.(T), nil
	}
	p, err := pack()
	if n := len(w.F32); n > 0 { // what is packed is a copy
		mapped.Release(unsafe.Slice((*byte)(unsafe.Pointer(&w.F32[0])), 4*n))
	}
	if err == nil {
		net.packed.Store(key, p)
	}
	return p, err
}
