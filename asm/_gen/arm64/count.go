package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A product is a kernel whose inner loop should be little but one instruction.
type product struct {
	function, what string
	multiply       []string
}

var products = []product{
	{"tileS8M5DotProd", "integer GEMM and convolution, 5 pixels x 16 channels", []string{"sdot"}},
	{"tileS8M5I8MM", "the same with mixed signs", []string{"sudot"}},
	{"tileS8M4NEON", "the same without dot product, 4 pixels x 8 channels", []string{"smlal", "smlal2"}},
	{"tileS16M6NEON", "the products of 3x3 convolutions by F(2x2, 3x3), 6 tiles x 16 channels", []string{"smlal", "smlal2"}},
	{"depthwiseS8NEON", "integer depthwise, 16 channels", []string{"smlal", "smlal2"}},
	{"tileF32M8N8NEON", "float GEMM and convolution, 8 pixels x 8 channels", []string{"fmla"}},
}

// A streaming kernel goes over a slice, 16 elements in a turn. least is the
// hand-counted minimum of instructions for that, as a sum that says of what.
type streaming struct {
	function string
	least    []int
	of       string
}

var streams = []streaming{
	{"minMaxF32NEON", []int{2, 16, 2}, "2 LDP; FMINNM, FMAXNM, FCMEQ, SUB a vector; loop"},
	{"momentsF32NEON", []int{2, 60, 2}, "2 LDP; finite 2, three counts 5, masked extremes 2, sums 6 a vector; loop"},
	{"histogramF32NEON", []int{2, 44, 64, 2}, "2 LDP; range 3, zeros 2, bin 4, spare 1, address 1 a vector; UMOV, LDRH, ADD, STRH an element; loop"},
	{"histogramMagF32NEON", []int{2, 48, 64, 2}, "the same with range 1, magnitude 1, sign 3 a vector"},
	{"quantizeF32S8NEON", []int{2, 8, 10, 3, 2}, "2 LDP; FDIV, FCVTNS a vector; narrowing with zero point and clamp; STR; loop"},
	{"quantizeF32U8NEON", []int{2, 8, 10, 3, 2}, "the same"},
	{"quantizeF32S16NEON", []int{2, 12, 8, 1, 2}, "the same, zero point before narrowing"},
	{"quantizeF32U16NEON", []int{2, 12, 8, 1, 2}, "the same"},
	{"dequantizeS8F32NEON", []int{1, 2, 4, 8, 2, 2}, "LDR; subtract and widen; widen; SCVTF, FMUL a vector; 2 STP; loop"},
	{"dequantizeU8F32NEON", []int{1, 2, 4, 8, 2, 2}, "the same"},
	{"dequantizeS16F32NEON", []int{1, 4, 8, 2, 2}, "LDP; subtract and widen; SCVTF, FMUL a vector; 2 STP; loop"},
	{"dequantizeU16F32NEON", []int{1, 4, 8, 2, 2}, "the same"},
	{"dequantizeS32F32NEON", []int{2, 12, 2, 2}, "2 LDP; SUB, SCVTF, FMUL a vector; 2 STP; loop"},
	{"quantizeDequantizeF32NEON", []int{2, 20, 2, 2}, "2 LDP; FDIV, FRINTN, FMAX, FMIN, FMUL a vector; 2 STP; loop"},
	{"errorSquareF32NEON", []int{2, 40, 2}, "2 LDP; FDIV, FRINTN, FMAX, FMIN, FMUL, FSUB, 2 FCVTL, 2 FMLA a vector; loop"},
	{"addF32NEON", []int{4, 4, 2, 2}, "4 LDP; FADD a vector; 2 STP; loop"},
}

// count writes a table of the instructions in the inner loops of the generated
// assembly in dir.
func count(dir, to string) error {
	loops, err := innerLoops(dir)
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("# arm64: instructions in the inner loops\n\n" +
		"Counted in the generated assembly by `make count-arm64`; no speed was measured on arm64 hardware.\n\n" +
		"## Products\n\n| kernel | what | loop | multiplications | instructions for each |\n|---|---|---|---|---|\n")
	for _, p := range products {
		loop := loops.with(p.function, p.multiply)
		n := occurrences(loop, p.multiply)
		if n == 0 {
			return fmt.Errorf("%s has no loop with %v", p.function, p.multiply)
		}
		fmt.Fprintf(&b, "| %s | %s | %d | %d %s | %.2f |\n", p.function, p.what, len(loop), n, strings.ToUpper(p.multiply[0]), float64(len(loop))/float64(n))
	}
	b.WriteString("\n## Sweeps, for 16 elements\n\nThe least is counted by hand for the same contract; where it divides, ours multiplies by the reciprocal and\n" +
		"corrects (three instructions that together take less time than FDIV).\n\n| kernel | loop | least | ratio | of what |\n|---|---|---|---|---|\n")
	for _, s := range streams {
		loop, least := loops.longest(s.function), 0
		for _, n := range s.least {
			least += n
		}
		if len(loop) == 0 {
			return fmt.Errorf("%s has no loop", s.function)
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %.2f | %s |\n", s.function, len(loop), least, float64(len(loop))/float64(least), s.of)
	}
	return os.WriteFile(to, []byte(b.String()), 0o644)
}

// loopsOf holds the innermost loops of each function, as mnemonics.
type loopsOf map[string][][]string

var (
	textLine   = regexp.MustCompile(`^TEXT ·(\w+)\(SB\)`)
	labelLine  = regexp.MustCompile(`^(\w+):$`)
	branchLine = regexp.MustCompile(`^\tB\w* (?:.*, )?(\w+\d)$`)
	gnuText    = regexp.MustCompile(`// (\w+)`)
)

func innerLoops(dir string) (loopsOf, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*_arm64.s"))
	if err != nil {
		return nil, err
	}
	loops := loopsOf{}
	for _, path := range paths {
		src, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		var name string
		var code []string
		labels := map[string]int{}
		inner := 0 // no loop from before this instruction is innermost any more
		for _, line := range strings.Split(string(src), "\n") {
			if m := textLine.FindStringSubmatch(line); m != nil {
				name, code, labels, inner = m[1], nil, map[string]int{}, 0
				continue
			}
			if m := labelLine.FindStringSubmatch(line); m != nil {
				labels[m[1]] = len(code)
				continue
			}
			if !strings.HasPrefix(line, "\t") {
				continue
			}
			code = append(code, mnemonic(line))
			if m := branchLine.FindStringSubmatch(line); m != nil {
				if start, back := labels[m[1]]; back && start >= inner {
					loops[name] = append(loops[name], slices.Clone(code[start:]))
					inner = len(code)
				}
			}
		}
	}
	return loops, nil
}

// mnemonic returns the GNU name of a WORD, the Go one of another instruction.
func mnemonic(line string) string {
	if m := gnuText.FindStringSubmatch(line); m != nil {
		return m[1]
	}
	return strings.Fields(line)[0]
}

func occurrences(loop, names []string) (n int) {
	for _, m := range loop {
		if slices.Contains(names, m) {
			n++
		}
	}
	return n
}

// with returns the function's loop with the most of the named instructions.
func (l loopsOf) with(function string, names []string) []string {
	return l.best(function, func(loop []string) int { return occurrences(loop, names) })
}

func (l loopsOf) longest(function string) []string {
	return l.best(function, func(loop []string) int { return len(loop) })
}

func (l loopsOf) best(function string, by func([]string) int) (best []string) {
	for _, loop := range l[function] {
		if best == nil || by(loop) > by(best) {
			best = loop
		}
	}
	return best
}
