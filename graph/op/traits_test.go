package op

import "testing"

// TestTraitsStated goes through every row: each must say everything.
func TestTraitsStated(t *testing.T) {
	for key, o := range table {
		r := o.Traits
		missing := map[string]bool{
			"inputs": len(r.Inputs) == 0, "flow": r.Flow == 0, "integer form": r.Integer == 0, "range": r.Range == Interval{},
			"sign": r.Sign == 0, "scale": r.Scale == 0, "QOperator form": r.Q.Form == 0, "batch": r.Batch == nil,
			"rank 0": r.Scalar == 0, "empty": r.Empty == 0,
			"products": r.Flow == Affine && r.Products == nil,
		}
		for what, miss := range missing {
			if miss {
				t.Errorf("%v does not state its %s", key, what)
			}
		}
	}
}
