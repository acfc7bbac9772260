package op

import (
	"math"
	"slices"

	"github.com/narrow-ml/narrow/tensor"
)

var _ = register(
	spec{name: "Det", min: 1, infer: inferDet, run: runDet}.is(plain, inputs(Data), tensors, batch(detSamples)),
)

func inferDet(c *Call) error {
	x := c.Types[0]
	c.OutType[0] = Type{DType: x.DType}
	if err := c.wantType(0, floatTypes...); err != nil || !x.Known {
		return err
	}
	r := len(x.Shape)
	if r < 2 || !compatible(x.Shape[r-1], x.Shape[r-2]) {
		return badInput("shape %v is not of square matrices", x.Shape)
	}
	c.setType(x.DType, slices.Clone(x.Shape[:r-2]))
	return nil
}

func detSamples(s *Samples) bool { return firstInput(s) && s.rank(0) > 2 }

// runDet multiplies the pivots of Gauss' elimination.
func runDet(c *Call) error {
	shape := c.Types[0].Shape
	n := shape[len(shape)-1]
	x := c.In[0].Float64s()
	y := make([]float64, tensor.Volume(shape[:len(shape)-2]))
	for i := range y {
		y[i] = determinant(x[i*n*n:][:n*n], n)
	}
	setFloats(c.out(0), y)
	return nil
}

func determinant(a []float64, n int) float64 {
	det := 1.0
	for k := range n {
		best := k
		for i := k + 1; i < n; i++ {
			if math.Abs(a[i*n+k]) > math.Abs(a[best*n+k]) {
				best = i
			}
		}
		if a[best*n+k] == 0 {
			return 0
		}
		if best != k {
			det = -det
			for j := range n {
				a[k*n+j], a[best*n+j] = a[best*n+j], a[k*n+j]
			}
		}
		det *= a[k*n+k]
		for i := k + 1; i < n; i++ {
			addScaled(a[i*n+k:(i+1)*n], -a[i*n+k]/a[k*n+k], a[k*n+k:])
		}
	}
	return det
}
