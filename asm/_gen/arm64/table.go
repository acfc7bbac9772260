package main

import "fmt"

// An instruction is one entry of the table: the text that GNU as takes, with a
// verb for each operand, the word with all operands zero, and where each
// operand goes.
type instruction struct {
	text   string
	word   uint32
	fields []field
}

// field says how an operand is encoded. Bit i of bias+operand (or
// bias-operand) goes to bit pos[i] of the word.
type field struct {
	pos         []int
	bias        int
	negate      bool
	least, most int // range of the operand as it is written
}

// span lists n positions from shift on.
func span(shift, n int) []int {
	pos := make([]int, n)
	for i := range pos {
		pos[i] = shift + i
	}
	return pos
}

func reg(shift int) field { return field{pos: span(shift, 5), most: 31} }

// lane is the index of an element, its bits at pos, lowest first.
func lane(pos ...int) field { return field{pos: pos, most: 1<<len(pos) - 1} }

// right is the amount of a right shift of elements of the given size: immh:immb
// holds 2*size-amount.
func right(size int) field {
	return field{pos: span(16, 7), bias: 2 * size, negate: true, least: 1, most: size}
}

// left is the amount of a left shift: immh:immb holds size+amount.
func left(size int) field {
	return field{pos: span(16, 7), bias: size, most: size - 1}
}

var (
	vd, vn, vm = reg(0), reg(5), reg(16)
	vmLow      = field{pos: span(16, 4), most: 15} // with an .h lane only V0-V15

	two     = []field{vd, vn}
	three   = []field{vd, vn, vm}
	laneS   = []field{vd, vn, vm, lane(21, 11)}
	laneH   = []field{vd, vn, vmLow, lane(20, 21, 11)}
	ofLaneS = []field{vd, vn, lane(19, 20)}
	ofLaneD = []field{vd, vn, lane(20)}
)

// encode returns the word and its text.
func (in instruction) encode(name string, operands []any) (uint32, string) {
	if len(operands) != len(in.fields) {
		panic(fmt.Sprintf("%s takes %d operands, not %d", name, len(in.fields), len(operands)))
	}
	word := in.word
	args := make([]any, len(operands))
	for i, o := range operands {
		n := number(o)
		if n < in.fields[i].least || n > in.fields[i].most {
			panic(fmt.Sprintf("%s: operand %d is %d, not in [%d, %d]", name, i, n, in.fields[i].least, in.fields[i].most))
		}
		args[i] = n
		word |= in.fields[i].encode(n)
	}
	return word, fmt.Sprintf(in.text, args...)
}

// number returns the number of a register, or an immediate.
func number(operand any) int {
	switch o := operand.(type) {
	case V:
		return o.check()
	case X:
		if o == ZR {
			return 31
		}
		return o.check()
	case int:
		return o
	}
	panic(fmt.Sprintf("operand of type %T", operand))
}

func (f field) encode(n int) uint32 {
	v := f.bias + n
	if f.negate {
		v = f.bias - n
	}
	if v < 0 || v >= 1<<len(f.pos) {
		panic(fmt.Sprintf("value %d does not fit %d bits", v, len(f.pos)))
	}
	var word uint32
	for i, p := range f.pos {
		word |= uint32(v>>i&1) << p
	}
	return word
}
