package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/arch/arm64/arm64asm"
)

// word is a WORD line of the generated assembly.
type word struct {
	value uint32
	text  string
}

var wordLine = regexp.MustCompile(`WORD \$0x([0-9a-f]{8}) // (.*)`)

// generatedWords returns every distinct WORD of the generated files.
func generatedWords(t *testing.T) []word {
	t.Helper()
	paths, _ := filepath.Glob("../../*_arm64.s")
	seen := make(map[word]bool)
	var words []word
	for _, p := range paths {
		src, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range wordLine.FindAllStringSubmatch(string(src), -1) {
			v, _ := strconv.ParseUint(m[1], 16, 32)
			if w := (word{uint32(v), m[2]}); !seen[w] {
				seen[w] = true
				words = append(words, w)
			}
		}
	}
	if len(words) == 0 {
		t.Fatal("the generated files hold no WORD")
	}
	return words
}

// TestWordsAgainstGNU assembles the text of every WORD with an assembler that
// is not ours and compares the bits.
func TestWordsAgainstGNU(t *testing.T) {
	as, err := exec.LookPath("aarch64-linux-gnu-as")
	if err != nil {
		t.Skip("aarch64-linux-gnu-as is not installed (Debian: binutils-aarch64-linux-gnu)")
	}
	words := generatedWords(t)
	var src strings.Builder
	for _, w := range words {
		src.WriteString(w.text + "\n")
	}
	dir := t.TempDir()
	object, flat := filepath.Join(dir, "words.o"), filepath.Join(dir, "words.bin")
	run(t, src.String(), as, "-march=armv8.6-a+dotprod+i8mm", "-o", object, "-")
	run(t, "", "aarch64-linux-gnu-objcopy", "-O", "binary", "-j", ".text", object, flat)
	code, err := os.ReadFile(flat)
	if err != nil {
		t.Fatal(err)
	}
	if len(code) != 4*len(words) {
		t.Fatalf("%d bytes for %d instructions", len(code), len(words))
	}
	for i, w := range words {
		if got := binary.LittleEndian.Uint32(code[4*i:]); got != w.value {
			t.Errorf("%s: ours %#08x, GNU's %#08x", w.text, w.value, got)
		}
	}
	t.Logf("%d distinct words agree", len(words))
}

// TestWordsDecode decodes every WORD by golang.org/x/arch where that knows it,
// and compares mnemonics.
func TestWordsDecode(t *testing.T) {
	known := 0
	words := generatedWords(t)
	for _, w := range words {
		var b [4]byte
		binary.LittleEndian.PutUint32(b[:], w.value)
		inst, err := arm64asm.Decode(b[:])
		if err != nil {
			continue // it knows few vector instructions
		}
		known++
		ours, _, _ := strings.Cut(w.text, " ")
		if got := strings.ToLower(strings.Fields(arm64asm.GNUSyntax(inst))[0]); !sameMnemonic(got, ours) {
			t.Errorf("%#08x is %s, its text says %s", w.value, arm64asm.GNUSyntax(inst), w.text)
		}
	}
	t.Logf("golang.org/x/arch knows %d of %d words", known, len(words))
}

// sameMnemonic accepts the aliases that a disassembler prefers.
func sameMnemonic(got, ours string) bool {
	alias := map[string]string{"mov": "orr", "umov": "mov", "ins": "mov", "sxtl": "sshll", "uxtl": "ushll", "mvn": "not", "sxtl2": "sshll2", "uxtl2": "ushll2"}
	return got == ours || alias[ours] == got || alias[got] == ours
}

func run(t *testing.T, stdin string, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, bytes.TrimSpace(out))
	}
}

// TestOperandRanges asserts that the generator refuses what does not encode.
func TestOperandRanges(t *testing.T) {
	for name, bad := range map[string][]any{
		"fmul.4s":       {V(32), V(0), V(0)},
		"sdot.4s.lane":  {V(0), V(0), V(0), 4},
		"smlal.4s.lane": {V(0), V(0), V(16), 0},
		"sshr.4s":       {V(0), V(0), 33},
		"dup.4s.gp":     {V(0), X(18)},
		"fadd.4s":       {V(0), V(0)},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s takes %v", name, bad)
				}
			}()
			instructions[name].encode(name, bad)
		}()
	}
}
