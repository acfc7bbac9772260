package engine

import (
	"fmt"

	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/program"
	"github.com/narrow-ml/narrow/tensor"
)

// reference runs a node by its reference kernel.
func (b *binder) reference(a *program.Reference) (*step, error) {
	o, err := op.Lookup(a.Node.Domain, a.Node.Op)
	if err != nil {
		return nil, err
	}
	bodies, err := b.bodies(a)
	if err != nil {
		return nil, err
	}
	return wholeStep(func(c *call, w *worker) error {
		oc := &op.Call{Attrs: a.Node.Attrs, Version: a.Version, In: make([]*tensor.Tensor, len(a.In)), Out: make([]*tensor.Tensor, len(a.Out))}
		for i, t := range a.In {
			if t != nil {
				oc.In[i] = c.plain(t)
			}
		}
		if bodies != nil {
			runBodies(oc, c, bodies)
		}
		if err := o.Run(oc); err != nil {
			return fmt.Errorf("engine: %s: %w", a.Node, err)
		}
		for i, t := range a.Out {
			if t != nil {
				c.slots[t.Index] = oc.Out[i]
			}
		}
		return nil
	}), nil
}

// plain returns a tensor that is a slot or a constant.
func (c *call) plain(t *program.Tensor) *tensor.Tensor {
	if t.Place == program.IsConstant {
		return t.Value
	}
	return c.slots[t.Index]
}
