package op

// WeightAxes says how an operator reads constants that are worth storing on fewer bits: of input i with so many
// dimensions the axis of the outputs and the axis that is summed over. Rows that are looked up are outputs, and their
// elements lie along the sum. ok is false if the input is none of them.
type WeightAxes func(c *Call, i, rank int) (output, sum int, ok bool)

func weightAxes(f WeightAxes) trait { return func(t *Traits) { t.WeightAxes = f } }

func dynamicAs(operator string) trait { return func(t *Traits) { t.Dynamic = operator } }

func convWeightAxes(_ *Call, i, rank int) (output, sum int, ok bool) {
	return 0, 1, i == 1 && rank >= 3
}

func convTransposeWeightAxes(c *Call, i, rank int) (output, sum int, ok bool) {
	return 1, 0, i == 1 && rank >= 3 && c.Attrs.Int("group", 1) == 1
}

func gemmWeightAxes(c *Call, i, rank int) (output, sum int, ok bool) {
	if c.Attrs.Int("transB", 0) != 0 {
		return 0, 1, i == 1 && rank == 2
	}
	return 1, 0, i == 1 && rank == 2
}

// matMulWeightAxes takes weights on either side, but not two constants.
func matMulWeightAxes(c *Call, i, rank int) (output, sum int, ok bool) {
	if rank < 2 || c.in(1-i) != nil {
		return 0, 0, false
	}
	if i == 0 {
		return rank - 2, rank - 1, true
	}
	return rank - 1, rank - 2, true
}

func gatherWeightAxes(c *Call, i, rank int) (output, sum int, ok bool) {
	return 0, 1, i == 0 && rank == 2 && c.Attrs.Int("axis", 0) == 0
}

// recurrentWeightAxes takes [directions, gates*hidden, inputs].
func recurrentWeightAxes(_ *Call, i, rank int) (output, sum int, ok bool) {
	return 1, 2, (i == 1 || i == 2) && rank == 3
}
