package main

import (
	"fmt"
	"strings"
)

// V is a vector register, X a general one. X16-X18 and X27-X30 belong to the
// linker, the platform and Go.
type (
	V int
	X int
)

// ZR is the zero register.
const ZR X = 31

func (v V) String() string { return fmt.Sprintf("V%d", v.check()) }
func (v V) F() string      { return fmt.Sprintf("F%d", v.check()) }

func (v V) check() int {
	if v < 0 || v > 31 {
		panic(fmt.Sprintf("no vector register %d", int(v)))
	}
	return int(v)
}

func (x X) String() string {
	if x == ZR {
		return "ZR"
	}
	return fmt.Sprintf("R%d", x.check())
}

func (x X) check() int {
	if x < 0 || x > 26 || x >= 16 && x <= 18 {
		panic(fmt.Sprintf("general register %d is not ours to use", int(x)))
	}
	return int(x)
}

// file collects one assembly file and its Go stubs.
type file struct {
	asm, stubs strings.Builder
	label      int
}

// param is a parameter or result of a function: its name, Go type and offset
// in the frame.
type param struct {
	name, typ string
	offset    int
}

// sizes of the parameter types that kernels use.
var sizes = map[string]int{"float32": 4, "int32": 4, "uint32": 4, "uint8": 1, "int": 8, "uint64": 8, "int64": 8, "uintptr": 8}

func sizeOf(typ string) (size, align int) {
	switch {
	case strings.HasPrefix(typ, "[]"):
		return 24, 8
	case strings.HasPrefix(typ, "*"), typ == "unsafe.Pointer":
		return 8, 8
	}
	s, ok := sizes[typ]
	if !ok {
		panic("no size for type " + typ)
	}
	return s, s
}

// layout gives offsets to the declarations "x []float32, n int", from offset on.
func layout(decl string, offset int) ([]param, int) {
	var ps []param
	if decl == "" {
		return nil, offset
	}
	parts := strings.Split(decl, ", ")
	typ := ""
	types := make([]string, len(parts))
	for i := len(parts) - 1; i >= 0; i-- { // "lo, hi float32": the type stands with the last name
		if _, t, ok := strings.Cut(parts[i], " "); ok {
			typ = t
		}
		types[i] = typ
	}
	for i, p := range parts {
		name, _, _ := strings.Cut(p, " ")
		size, align := sizeOf(types[i])
		offset = (offset + align - 1) &^ (align - 1)
		ps = append(ps, param{name, types[i], offset})
		offset += size
	}
	return ps, offset
}

// fn is a function that is being written.
type fn struct {
	f      *file
	params map[string]param
}

// function starts a function; doc is its Go comment without the name, params
// and results are declarations like "x []float32, n int".
func (f *file) function(name, doc, params, results string) *fn {
	in, end := layout(params, 0)
	var out []param
	if results != "" {
		out, end = layout(results, (end+7)&^7)
	}
	fn := &fn{f: f, params: map[string]param{}}
	for _, p := range append(in, out...) {
		fn.params[p.name] = p
	}
	sig := "(" + params + ")"
	if results != "" {
		sig += " (" + results + ")"
	}
	fmt.Fprintf(&f.stubs, "\n// %s %s\n//\n//go:noescape\nfunc %s%s\n", name, doc, name, sig)
	fmt.Fprintf(&f.asm, "\n// func %s%s\nTEXT ·%s(SB), NOSPLIT, $0-%d\n", name, sig, name, end)
	return fn
}

// line writes one line of Go assembly.
func (fn *fn) line(format string, args ...any) {
	fmt.Fprintf(&fn.f.asm, "\t"+format+"\n", args...)
}

// newLabel returns a label that is unique in the file.
func (fn *fn) newLabel(name string) string {
	fn.f.label++
	return fmt.Sprintf("%s%d", name, fn.f.label)
}

// at places a label.
func (fn *fn) at(label string) { fmt.Fprintf(&fn.f.asm, "\n%s:\n", label) }

// arg loads a parameter into a general register; of a slice, part is "base" or
// "len".
func (fn *fn) arg(name, part string, r X) {
	p, ok := fn.params[name]
	if !ok {
		panic("no parameter " + name)
	}
	offset := p.offset
	if part == "len" {
		offset += 8
	}
	if part != "" {
		name += "_" + part
	}
	mov := "MOVD"
	if s, _ := sizeOf(p.typ); s == 4 {
		mov = "MOVWU"
	} else if s == 1 {
		mov = "MOVBU"
	}
	fn.line("%s %s+%d(FP), %s", mov, name, offset, r)
}

// argF loads a float32 parameter into lane 0 of a vector register.
func (fn *fn) argF(name string, v V) {
	fn.line("FMOVS %s+%d(FP), %s", name, fn.params[name].offset, v.F())
}

// ret stores a general register as a result.
func (fn *fn) ret(r X, name string) {
	p := fn.params[name]
	mov := "MOVD"
	if s, _ := sizeOf(p.typ); s == 4 {
		mov = "MOVW"
	}
	fn.line("%s %s, %s+%d(FP)", mov, r, name, p.offset)
}

// retF stores lane 0 of a vector register as a float32 result.
func (fn *fn) retF(v V, name string) {
	fn.line("FMOVS %s, %s+%d(FP)", v.F(), name, fn.params[name].offset)
}

// op writes an instruction of the table as a WORD.
func (fn *fn) op(name string, operands ...any) {
	in, ok := instructions[name]
	if !ok {
		panic("no instruction " + name)
	}
	word, text := in.encode(name, operands)
	fn.line("WORD $0x%08x // %s", word, text)
}

// post-indexed and plain 128-bit loads and stores, which Go's assembler knows.

func (fn *fn) ldrQ(v V, base X, disp int) { fn.line("FMOVQ %d(%s), %s", disp, base, v.F()) }
func (fn *fn) strQ(v V, base X, disp int) { fn.line("FMOVQ %s, %d(%s)", v.F(), disp, base) }
func (fn *fn) ldpQ(a, b V, base X, d int) { fn.line("FLDPQ %d(%s), (%s, %s)", d, base, a.F(), b.F()) }
func (fn *fn) stpQ(a, b V, base X, d int) { fn.line("FSTPQ (%s, %s), %d(%s)", a.F(), b.F(), d, base) }
func (fn *fn) add(imm int, r X)           { fn.line("ADD $%d, %s, %s", imm, r, r) }
func (fn *fn) done()                      { fn.line("RET") }
