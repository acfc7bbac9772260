package op

import (
	"slices"

	"github.com/narrow-ml/narrow/tensor"
)

// normAxis returns axis counted from the front: -1 is the last dimension.
func normAxis(axis, rank int) (int, error) {
	if axis < -rank || axis >= rank {
		return 0, badAttr("axis %d for %d dimensions", axis, rank)
	}
	if axis < 0 {
		axis += rank
	}
	return axis, nil
}

// normAxes does the same for several axes, none of which may come twice.
func normAxes(axes []int, rank int) ([]int, error) {
	out := make([]int, len(axes))
	seen := make([]bool, rank)
	for i, a := range axes {
		n, err := normAxis(a, rank)
		if err != nil {
			return nil, err
		}
		if seen[n] {
			return nil, badAttr("axis %d is given twice", a)
		}
		seen[n], out[i] = true, n
	}
	return out, nil
}

// broadcast returns the shape that shapes have together by NumPy's rule.
func broadcast(shapes ...[]int) ([]int, error) {
	rank := 0
	for _, s := range shapes {
		rank = max(rank, len(s))
	}
	out := make([]int, rank)
	for i := range out {
		out[i] = 1
		for _, s := range shapes {
			k := i - rank + len(s)
			if k < 0 || s[k] == 1 || s[k] == out[i] {
				continue
			}
			switch {
			case out[i] == 1, out[i] == Unknown:
				out[i] = s[k]
			case s[k] != Unknown:
				return nil, badInput("shapes %v do not broadcast", shapes)
			}
		}
	}
	return out, nil
}

// broadcastStrides returns strides for reading a tensor as if it had the
// broadcast shape out: 0 where it repeats.
func broadcastStrides(shape, out []int) []int {
	strides := make([]int, len(out))
	s := tensor.Strides(shape)
	for i := range shape {
		if shape[i] != 1 {
			strides[len(out)-len(shape)+i] = s[i]
		}
	}
	return strides
}

// eachRow walks a shape in row-major order, whole rows along its last
// dimension at a time. off gives, for each list of strides, the place of the
// row's first element. Dimensions that all the strides run through evenly are
// joined first, so that rows are long. step is the stride of each list along
// the row.
func eachRow(shape []int, strides [][]int, row func(off []int, n int, step []int)) {
	if n, ok := tensor.CheckedVolume(shape); !ok || n == 0 {
		return
	}
	shape, strides = joinDims(shape, strides)
	last := len(shape) - 1
	step := make([]int, len(strides))
	for k := range strides {
		step[k] = strides[k][last]
	}
	off := make([]int, len(strides))
	index := make([]int, last)
	for {
		row(off, shape[last], step)
		d := last - 1
		for ; d >= 0; d-- {
			index[d]++
			for k := range strides {
				off[k] += strides[k][d]
			}
			if index[d] < shape[d] {
				break
			}
			for k := range strides {
				off[k] -= strides[k][d] * shape[d]
			}
			index[d] = 0
		}
		if d < 0 {
			return
		}
	}
}

// joinDims merges neighbouring dimensions and drops those of size 1; it leaves
// at least one dimension.
func joinDims(shape []int, strides [][]int) ([]int, [][]int) {
	outShape := make([]int, 0, len(shape)+1)
	out := make([][]int, len(strides))
	for d, n := range shape {
		if n == 1 {
			continue
		}
		last := len(outShape) - 1
		joins := last >= 0
		for k := range strides {
			joins = joins && out[k][last] == strides[k][d]*n
		}
		if joins {
			outShape[last] *= n
			for k := range strides {
				out[k][last] = strides[k][d]
			}
			continue
		}
		outShape = append(outShape, n)
		for k := range strides {
			out[k] = append(out[k], strides[k][d])
		}
	}
	if len(outShape) == 0 {
		outShape = append(outShape, 1)
		for k := range strides {
			out[k] = append(out[k], 0)
		}
	}
	return outShape, out
}

// same is the rule of operators whose output has the type and shape of input 0.
func same(c *Call) error {
	c.OutType[0] = c.Types[0]
	return nil
}

// sameFloat is same for floating-point types only.
func sameFloat(c *Call) error {
	if err := c.wantType(0, floatTypes...); err != nil {
		return err
	}
	return same(c)
}

// sameNumeric is same for numbers.
func sameNumeric(c *Call) error {
	if err := c.wantType(0, numericTypes...); err != nil {
		return err
	}
	return same(c)
}

// unknownShape returns a shape of which only the rank is known.
func unknownShape(rank int) []int {
	return slices.Repeat([]int{Unknown}, rank)
}

// product multiplies dimensions; it is Unknown if one of them is.
func product(dims []int) int {
	if slices.Contains(dims, Unknown) {
		return Unknown
	}
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

// compatible reports whether two dimensions may be the same.
func compatible(a, b int) bool { return a == b || a == Unknown || b == Unknown }
