package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// avxVNNI rewrites VPDPBUSD in functions for AVX-VNNI, which Go's assembler would encode
// for AVX-512, as the bytes of its VEX encoding.
func avxVNNI(file *ir.File) error {
	for _, f := range file.Functions() {
		if !strings.HasSuffix(f.Name, "AVXVNNI") {
			continue
		}
		var nodes []ir.Node
		for _, n := range f.Nodes {
			i, ok := n.(*ir.Instruction)
			if !ok || i.Opcode != "VPDPBUSD" {
				nodes = append(nodes, n)
				continue
			}
			var r [3]int
			for j, op := range i.Operands {
				p, ok := op.(reg.Physical)
				if !ok || p.Size() != 32 || p.PhysicalIndex() > 15 {
					return fmt.Errorf("%s: VPDPBUSD of %s is not in VEX encoding", f.Name, op.Asm())
				}
				r[j] = int(p.PhysicalIndex())
			}
			word, last := vexDotProduct(r[2], r[1], r[0])
			nodes = append(nodes, ir.NewComment(vexText(r[2], r[1], r[0])),
				&ir.Instruction{Opcode: "LONG", Operands: []operand.Op{operand.U32(word)}},
				&ir.Instruction{Opcode: "BYTE", Operands: []operand.Op{operand.U8(last)}})
		}
		f.Nodes = nodes
		f.ISA = append(slices.DeleteFunc(f.ISA, func(s string) bool { return strings.HasPrefix(s, "AVX512") }), "AVXVNNI")
	}
	return nil
}

// vexDotProduct encodes vpdpbusd sum, u, s: VEX.256.66.0F38.W0 50 /r, the
// first four bytes as a little-endian word, then the last.
func vexDotProduct(sum, u, s int) (word uint32, last uint8) {
	b := [5]uint8{
		0xc4,
		uint8(1-sum>>3)<<7 | 1<<6 | uint8(1-s>>3)<<5 | 0b00010,
		uint8(15-u)<<3 | 0b101,
		0x50,
		uint8(0b11<<6 | sum&7<<3 | s&7),
	}
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24, b[4]
}

// vexText is the same for the GNU assembler.
func vexText(sum, u, s int) string {
	return fmt.Sprintf("{vex} vpdpbusd %%ymm%d, %%ymm%d, %%ymm%d", s, u, sum)
}
