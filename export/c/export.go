package c

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/narrow-ml/narrow/program"
)

// Options say how C is written.
type Options struct {
	Name  string    // prefix of all names and files; "net" if empty
	CPU   CPU       // the zero value is the first of CPUs
	From  string    // what is exported, for comments
	Tests []*Vector // for test_net.c
}

// Project is a network as C.
type Project struct {
	Files   []File
	Plan    *Plan
	Flash   int // bytes of constants; the code comes on top
	Weights int // weights of the network, a byte each or half of one
	MACs    int // multiplications of weights by elements for one inference
	Ports   int // bytes of the inputs and outputs, which the caller has
}

// File is one file of a project.
type File struct {
	Name string
	Text []byte
}

// cHeaders are names whose .h would hide a header of the C library from a compiler that looks in the folder first.
var cHeaders = strings.Fields("assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign stdarg " +
	"stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string tgmath threads time uchar wchar wctype arm_mve arm_acle")

var validName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// Network is the integer part of a program with its places in memory.
type Network struct {
	Plan *Plan

	net     *network
	layers  map[*program.Step]*layer
	cpu     CPU
	program *program.Program
}

// New finds the integer part of a program for inputs of one sample, lowered without borders and
// without floats ([program.ModeShift] or [program.ModeMultiplier]), and plans its memory. A step
// that is no integer one gives an error that wraps [ErrNotInteger] and names it.
func New(p *program.Program, cpu CPU) (*Network, error) {
	if cpu.Name == "" {
		cpu = CPUs[0]
	}
	for _, t := range p.Tensors {
		if t.Place == program.InArena && (t.Border != (program.Sides{}) || t.Samples > 1) {
			return nil, fmt.Errorf("export: the program is not for one input without borders")
		}
	}
	net, err := newNetwork(p)
	if err != nil {
		return nil, err
	}
	layers, err := layersOf(net.steps, cpu)
	if err != nil {
		return nil, err
	}
	elsewhere := func(t *program.Tensor) bool { return net.held[t] != nil }
	return &Network{Plan: newPlan(net.steps, elsewhere, layers), net: net, layers: layers, cpu: cpu, program: p}, nil
}

// Export writes the network as C.
func (n *Network) Export(o Options) (*Project, error) {
	if o.Name == "" {
		o.Name = "net"
	}
	if !validName.MatchString(o.Name) {
		return nil, fmt.Errorf("export: name %q is no lower-case C identifier", o.Name)
	}
	if slices.Contains(cHeaders, o.Name) {
		return nil, fmt.Errorf("export: name %q is that of a header of C: choose another one", o.Name)
	}
	w := &source{net: n.net, cpu: n.cpu, name: o.Name, plan: n.Plan, layers: n.layers, kernels: make(map[string]bool)}
	for id, s := range n.net.steps {
		if err := w.step(id, s); err != nil {
			return nil, err
		}
	}
	p := &Project{Plan: n.Plan}
	for _, at := range slices.Concat(n.net.inputs, n.net.outputs) {
		p.Ports += at.size() * elementSize(at.tensor)
	}
	for _, t := range w.tables {
		p.Flash += t.bytes()
	}
	for _, s := range n.net.steps {
		if l := n.layers[s]; l != nil {
			if p.Weights += len(l.weights); l.kernel == nibble {
				p.Weights -= len(l.weights) / 2
			}
			p.MACs += l.out.H * l.out.W * len(l.weights)
		}
	}
	text, err := w.text(o)
	if err != nil {
		return nil, err
	}
	p.add(o.Name+".h", w.header(o))
	p.add(o.Name+".c", text)
	p.add(o.Name+"_weights.c", w.weights(o))
	p.add("test_"+o.Name+".c", w.test(o))
	p.add("Makefile", w.makefile(o))
	p.add("CMakeLists.txt", w.cmake(o))
	p.add("README.md", w.readme(o, p))
	return p, nil
}

func (p *Project) add(name, text string) { p.Files = append(p.Files, File{name, []byte(text)}) }

// from says in a comment where a file comes from.
func (o *Options) from(what string) string {
	from := ""
	if o.From != "" {
		from = " from " + comment(o.From)
	}
	return fmt.Sprintf("/* %s, written by narrow export%s. */\n", what, from)
}

// text returns the C of the network.
func (w *source) text(o Options) (string, error) {
	var b strings.Builder
	b.WriteString(o.from("The network"))
	fmt.Fprintf(&b, "#include \"%s.h\"\n\n#include <stdbool.h>\n#include <stddef.h>\n#include <string.h>\n\n", w.name)
	files := []string{"base"}
	for _, f := range kernelOrder {
		if w.kernels[f] {
			files = append(files, f)
		}
	}
	for _, f := range files {
		if err := w.kernel(&b, f); err != nil {
			return "", err
		}
	}
	for _, t := range w.tables {
		fmt.Fprintf(&b, "extern const %s;\n", t.declaration())
	}
	fmt.Fprintf(&b, "\n#ifdef NET_TRACE\nvoid %s_trace(int step, const void *data, int height, int width, int row, int pixel, int bytes);\n#define TRACE %s_trace\n#else\n#define TRACE(...) ((void)0)\n#endif\n", w.name, w.name)
	b.WriteString(w.body.String())
	params := strings.Join(w.params(), ", ")
	fmt.Fprintf(&b, "\nvoid %s_run_in(void *memory, %s)\n{\n\tuint8_t *arena = (uint8_t *)memory;\n\n%s%s", w.name, params, w.calls.String(), w.copies())
	if !strings.Contains(w.calls.String(), "arena") {
		b.WriteString("\t(void)arena;\n")
	}
	fmt.Fprintf(&b, "}\n\n#ifndef NET_NO_ARENA\nvoid %s_run(%s)\n{\n\tstatic uint64_t arena[%s_ARENA / 8 + 1];\n\n\t%s_run_in(arena, %s);\n}\n#endif\n",
		w.name, params, w.upper(), w.name, strings.Join(w.args(), ", "))
	return b.String(), nil
}

// kernel writes a file of kernels/; those of products all, and the function that takes the one of a layer.
func (w *source) kernel(b *strings.Builder, file string) error {
	used := w.products()
	files := w.filesOf(file)
	if file == "products" {
		for _, k := range used {
			files = append(files, k.file)
		}
	}
	for _, f := range files {
		text, err := kernels.ReadFile("kernels/" + f)
		if err != nil {
			return err
		}
		b.Write(text)
		b.WriteString("\n")
	}
	if file != "products" {
		return nil
	}
	const params = "acc, x, rows, row_step, length, w, is_signed"
	b.WriteString("enum {")
	for i, k := range used {
		fmt.Fprintf(b, "%s%s", []string{" ", ", "}[min(i, 1)], strings.ToUpper(k.name))
	}
	b.WriteString(" };\n\nINLINE const int8_t *dot(int kernel, int32_t acc[4], const uint8_t *x, int rows, int row_step, int length, const int8_t *w, bool is_signed)\n{\n")
	for _, k := range used[1:] {
		fmt.Fprintf(b, "\tif (kernel == %s)\n\t\treturn %s(%s);\n", strings.ToUpper(k.name), k.name, params)
	}
	if len(used) == 1 {
		b.WriteString("\t(void)kernel;\n")
	}
	fmt.Fprintf(b, "\treturn %s(%s);\n}\n\n", used[0].name, params)
	pair := "#define IN_PAIRS (-1) /* no kernel takes two windows at once */\n#define dot_pair(acc, x, y, rows, step, length, w, is_signed) dot(IN_PAIRS, acc, x, rows, (step)[0], length, w, is_signed)\n\n"
	if slices.Contains(used, portable) {
		pair = "#define IN_PAIRS DOT4 /* the kernel that takes two windows at once */\n#define dot_pair dot4_pair\n\n"
	}
	b.WriteString(pair)
	return nil
}

// filesOf returns the file that is there for the processor.
func (w *source) filesOf(kernel string) []string {
	if vector := kernel + "_mve.c"; w.cpu.kernel == mve && exists(vector) {
		return []string{vector}
	}
	if file := kernel + ".c"; exists(file) {
		return []string{file}
	}
	return nil
}

func exists(file string) bool {
	f, err := kernels.Open("kernels/" + file)
	if err != nil {
		return false
	}
	f.Close()
	return true
}

// products returns the kernels of products that the layers use.
func (w *source) products() []*kernel {
	var list []*kernel
	for _, s := range w.net.steps {
		if l := w.layers[s]; l != nil && !l.depthwise() && !slices.Contains(list, l.kernel) {
			list = append(list, l.kernel)
		}
	}
	slices.SortFunc(list, func(a, b *kernel) int { return strings.Compare(a.name, b.name) })
	return list
}

// copies writes what moves results that lie elsewhere to the caller's memory.
func (w *source) copies() string {
	var b strings.Builder
	for _, p := range w.net.outputs {
		if t := p.tensor; p.copied {
			size := elementSize(t)
			fmt.Fprintf(&b, "\tfor (int y = 0; y < %d; y++)\n\t\tfor (int x = 0; x < %d; x++)\n\t\t\tmemcpy((uint8_t *)%s + (y * %d + x * %d), %s + (y * %d + x * %d), %d);\n",
				t.H, t.W, p.arg, t.W*t.C*size, t.C*size, w.address(t), t.RowStride*size, t.PixStride*size, t.C*size)
		}
	}
	return b.String()
}

func (w *source) upper() string { return strings.ToUpper(w.name) }

// params returns the parameters of the function that runs the network, and args their names.
func (w *source) params() (list []string) {
	for _, p := range w.net.inputs {
		list = append(list, fmt.Sprintf("const %s *%s", p.ctype(), p.arg))
	}
	for _, p := range w.net.outputs {
		list = append(list, fmt.Sprintf("%s *%s", p.ctype(), p.arg))
	}
	return list
}

func (w *source) args() (list []string) {
	for _, p := range slices.Concat(w.net.inputs, w.net.outputs) {
		list = append(list, p.arg)
	}
	return list
}

// weights returns the C of the constants.
func (w *source) weights(o Options) string {
	var b strings.Builder
	b.WriteString(o.from("Constants of the network"))
	b.WriteString("#include <stdint.h>\n")
	for _, t := range w.tables {
		fmt.Fprintf(&b, "\nextern const %s;\nconst %[1]s = {", t.declaration())
		if t.width == 0 {
			list(&b, t)
		}
		for i := 0; i < len(t.data) && t.width > 0; i += t.width {
			b.WriteString("\n\t{")
			list(&b, table{ctype: t.ctype, data: t.data[i:][:t.width], hex: t.hex})
			b.WriteString("\t},\n")
		}
		b.WriteString("};\n")
	}
	return b.String()
}

// list writes the elements of an array in lines.
func list(b *strings.Builder, t table) {
	line := 0
	for i, v := range t.data {
		text := fmt.Sprint(v)
		switch {
		case t.hex:
			text = fmt.Sprintf("0x%08x", uint32(v))
		case t.ctype == "int32_t" && v == -1<<31:
			text = "-2147483647 - 1"
		}
		if i%8 == 0 && (i == 0 || line > 110) {
			b.WriteString("\n\t")
			line = 0
		}
		line += len(text) + 2
		b.WriteString(text + ",")
		if (i+1)%8 != 0 || line <= 110 {
			if i+1 < len(t.data) {
				b.WriteString(" ")
			}
		}
	}
	b.WriteString("\n")
}
