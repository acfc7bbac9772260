package export

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// cmsis has the instructions of CMSIS-NN (July 2026, -O3) for one inference, in millions, by network and board.
var cmsis = map[string]map[string]float64{
	"resnet8": {"cortex-m3": 41.8, "cortex-m4": 29.8, "cortex-m55": 4.80},
	"dscnn":   {"cortex-m3": 10.5, "cortex-m4": 7.84, "cortex-m55": 1.78},
}

// tflm has the bytes that tflite_micro (October 2026, x86-64) needs for networks of the same shapes, as bench/tflm.py prints them: of
// tensors and scratch memory, and of its whole arena with the interpreter's records.
var tflm = map[string][2]int{
	"resnet8": {49152, 55904}, "dscnn": {16000, 24352}, "vww": {73728, 103536}, "autoencoder": {768, 17360}, "mobilenetv2": {147456, 182112},
}

// goals are the largest shares of CMSIS-NN's instructions that networks of shifts may take.
var goals = map[string]float64{"cortex-m3": 0.8, "cortex-m4": 0.8, "cortex-m55": 0.9}

// TestInstructions holds the networks of shifts to the goals, and their flash to that of the weights.
func TestInstructions(t *testing.T) {
	toolchains(t)
	for _, n := range networks[:2] {
		g, _ := n.quantized(t, form{true, true}, 1)
		s := newSubject(t, g, nil)
		for _, b := range boards {
			if goals[b.name] == 0 {
				continue
			}
			dir, p := s.export(t, b.cpu, 0)
			millions := b.instructions(t, dir) / 1e6
			t.Logf("%s on %s: %.2f million instructions", n.name, b.name, millions)
			if share := millions / cmsis[n.name][b.name]; share > goals[b.name] {
				t.Errorf("%s on %s: %.2f million instructions, %.2f of CMSIS-NN's", n.name, b.name, millions, share)
			}
			if size, most := b.code(t, dir), p.Weights+p.Weights*15/100+12<<10; size > most {
				t.Errorf("%s on %s: %d bytes of flash, more than %d", n.name, b.name, size, most)
			}
		}
	}
}

// TestTable writes bench/results/export.md to NARROW_EXPORT_TABLE.
func TestTable(t *testing.T) {
	toolchains(t)
	path := os.Getenv("NARROW_EXPORT_TABLE")
	if path == "" {
		t.Skip("NARROW_EXPORT_TABLE is not set: make bench-export sets it")
	}
	var b strings.Builder
	b.WriteString(`# Networks as C

` + "`make bench-export`" + ` writes this page: what ` + "`narrow export`" + ` gives, compiled with -O3 by Debian's gcc 12.2 and counted by qemu
(` + "`-icount shift=0`" + `, SysTick or mcycle), per channel. Instructions are not cycles: a load from slow flash takes several.
CMSIS-NN (July 2026, -O3, the same compiler and count) has its own quantization of the same networks. Flash is code and constants of the
network, RAM its arena; "least" is what its steps need in any plan: the most that is alive at one step, what lies on its operand counted once.
What was compared bit for bit, and where: [export-test.md](export-test.md).

| network | board | million instructions, shifts | CMSIS-NN | share | million instructions, multipliers | flash | weights | RAM | least |
|---|---|---|---|---|---|---|---|---|---|
`)
	for _, n := range networks {
		g, _ := n.quantized(t, form{true, true}, 1)
		shifts := newSubject(t, g, nil)
		g, _ = n.quantized(t, form{false, true}, 1)
		multipliers := newSubject(t, g, nil)
		for _, board := range boards {
			if board.name == "cortex-m7" || board.name == "cortex-m33" {
				continue // the C of cortex-m4
			}
			dir, p := shifts.export(t, board.cpu, 0)
			other, _ := multipliers.export(t, board.cpu, 0)
			millions := board.instructions(t, dir) / 1e6
			peer, share := "", ""
			if v := cmsis[n.name][board.name]; v > 0 {
				peer, share = fmt.Sprintf("%.2f", v), fmt.Sprintf("%.2f", millions/v)
			}
			size := board.code(t, dir)
			if most := p.Weights + p.Weights*15/100 + 12<<10; size > most {
				t.Errorf("%s on %s: %d bytes of flash, more than %d", n.name, board.name, size, most)
			}
			if p.Plan.Arena > p.Plan.Lower+p.Plan.Lower/20+8 {
				t.Errorf("%s on %s: the arena has %d bytes, the steps need %d", n.name, board.name, p.Plan.Arena, p.Plan.Lower)
			}
			fmt.Fprintf(&b, "| %s | %s | %.2f | %s | %s | %.2f | %d | %d | %d | %d |\n", n.name, board.name, millions, peer, share,
				board.instructions(t, other)/1e6, size, p.Weights, p.Plan.Arena, p.Plan.Lower)
		}
	}
	b.WriteString(`
## RAM beside an interpreter

Bytes for C of cortex-m4, shifts. TensorFlow Lite for Microcontrollers ("tflite_micro" of PyPI, October 2026, x86-64, ` + "`bench/tflm.py`" + `) keeps input and output
in its arena, so they are added to narrow's; the records of its interpreter are smaller on a 32-bit machine. The result of the autoencoder
is 640 sums of 32 bits here, and bytes there.

| network | arena | input and output | together | tflite_micro: tensors and scratch | share | its whole arena |
|---|---|---|---|---|---|---|
`)
	for _, n := range networks {
		peer, ok := tflm[n.name]
		if !ok {
			continue // bench/tflm.py has no counterpart for the slices of resnet20
		}
		g, _ := n.quantized(t, form{true, true}, 1)
		_, p := newSubject(t, g, nil).export(t, "cortex-m4", 0)
		all := p.Plan.Arena + p.Ports
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %.2f | %d |\n", n.name, p.Plan.Arena, p.Ports, all, peer[0], float64(all)/float64(peer[0]), peer[1])
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o666); err != nil {
		t.Fatal(err)
	}
}
