package op

// count returns the number of elements, a dimension that is not known being 1.
func count(shape []int) int64 {
	n := int64(1)
	for _, d := range shape {
		if d != Unknown {
			n *= int64(d)
		}
	}
	return n
}

// convMACs: each output is a sum over weights [in/group, kernel...]; they are
// input w.
func convMACs(w int) func(*Call) int64 {
	return func(c *Call) int64 {
		if len(c.typ(w).Shape) < 1 {
			return 0
		}
		return count(c.OutType[0].Shape) * count(c.typ(w).Shape[1:])
	}
}

// transposedMACs: each input goes to [out/group, kernel...].
func transposedMACs(c *Call) int64 {
	if len(c.typ(1).Shape) < 1 {
		return 0
	}
	return count(c.typ(0).Shape) * count(c.typ(1).Shape[1:])
}

// matMulMACs: each output is a sum over the last axis of the first operand; the
// second is input w.
func matMulMACs(w int) func(*Call) int64 {
	return func(c *Call) int64 {
		x := c.typ(0).Shape
		if len(x) < 1 || len(c.typ(w).Shape) < 1 {
			return 0
		}
		return count(c.OutType[0].Shape) * count(x[len(x)-1:])
	}
}

func gemmMACs(w int) func(*Call) int64 {
	return func(c *Call) int64 {
		x := c.typ(0).Shape
		if c.Attrs.Int("transA", 0) == 0 {
			return matMulMACs(w)(c)
		}
		if len(x) < 1 || len(c.typ(w).Shape) < 1 {
			return 0
		}
		return count(c.OutType[0].Shape) * count(x[:1])
	}
}

// recurrentMACs: at every step of [steps, batch, input] each gate of each direction is a sum over the input and one over the state.
func recurrentMACs(c *Call) int64 {
	x := c.typ(0).Shape
	if len(x) != 3 || len(c.typ(1).Shape) != 3 || len(c.typ(2).Shape) != 3 {
		return 0
	}
	return count(x[:2]) * (count(c.typ(1).Shape) + count(c.typ(2).Shape))
}
