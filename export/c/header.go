package c

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/narrow-ml/narrow/program"
)

// header returns the C header: the functions, and what the integers mean.
func (w *source) header(o Options) string {
	var b strings.Builder
	b.WriteString(o.from("The network's interface"))
	fmt.Fprintf(&b, "#ifndef %s_H\n#define %s_H\n\n#include <stdint.h>\n\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n", w.upper(), w.upper())
	for _, p := range w.net.inputs {
		w.port(&b, p, "Input")
	}
	for _, p := range w.net.outputs {
		w.port(&b, p, "Output")
	}
	fmt.Fprintf(&b, "\n/* Bytes of memory that a run needs, besides input, output and the stack. */\n#define %s_ARENA %d\n", w.upper(), w.plan.Arena)
	params := strings.Join(w.params(), ", ")
	fmt.Fprintf(&b, "\n/* Runs the network in memory of its own; with NET_NO_ARENA defined while it is\n * compiled this function is left out. Not for several threads at once. */\nvoid %s_run(%s);\n", w.name, params)
	fmt.Fprintf(&b, "\n/* Runs the network in the caller's memory: %s_ARENA bytes at a multiple of 8. */\nvoid %s_run_in(void *memory, %s);\n", w.upper(), w.name, params)
	fmt.Fprintf(&b, "\n#ifndef NET_NO_FLOAT /* helpers in float; nothing in %s.c needs them */\n", w.name)
	for _, p := range w.net.inputs {
		w.quantizer(&b, p)
	}
	for _, p := range w.net.outputs {
		w.reader(&b, p)
	}
	b.WriteString("#endif\n\n#ifdef __cplusplus\n}\n#endif\n\n#endif\n")
	return b.String()
}

// port writes the constants of an input or output.
func (w *source) port(b *strings.Builder, p *port, what string) {
	t := p.tensor
	prefix := w.upper() + "_" + strings.ToUpper(p.arg)
	order := fmt.Sprintf("[%d][%d]", t.W, t.C)
	if t.Layout == program.Last {
		order = fmt.Sprintf("[%d][%d][%d], height, width and channels", t.H, t.W, t.C)
	}
	fmt.Fprintf(b, "\n/* %s %s: %s. ", what, comment(p.name), order)
	if p.scales == nil {
		fmt.Fprintf(b, "A number is (q - ZERO) * SCALE.")
	} else {
		fmt.Fprintf(b, "32-bit sums; a number is q * SCALE.")
	}
	if p.softmax {
		b.WriteString("\n * The graph has a softmax behind it, which keeps their order and is left to the caller.")
	}
	fmt.Fprintf(b, " */\n#define %s_SIZE %d\n", prefix, p.size())
	switch {
	case p.scales == nil:
		fmt.Fprintf(b, "#define %s_SCALE %s\n#define %s_ZERO %d\n", prefix, float(p.coding.Scale), prefix, p.coding.Zero)
	case one(p.scales):
		fmt.Fprintf(b, "#define %s_SCALE %s\n", prefix, float(p.scales[0]))
	default:
		fmt.Fprintf(b, "#define %s_SCALES {", prefix)
		for i, s := range p.scales {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(float(s))
		}
		b.WriteString("} /* by channel: compare numbers, not sums */\n")
	}
}

func one(scales []float32) bool {
	for _, s := range scales {
		if s != scales[0] {
			return false
		}
	}
	return true
}

// float writes a constant that reads as exactly x.
func float(x float32) string {
	s := strconv.FormatFloat(float64(x), 'g', -1, 32)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return s + "f"
}

// element writes the index of what is element i of ONNX's order: c, y and x are its loops.
func element(t *program.Tensor) (loops, inner string) {
	if t.Layout == program.Plain {
		return fmt.Sprintf("\tfor (int i = 0; i < %d; i++)", t.H*t.W*t.C), "i"
	}
	return fmt.Sprintf("\tint i = 0;\n\tfor (int c = 0; c < %d; c++)\n\t\tfor (int y = 0; y < %d; y++)\n\t\t\tfor (int x = 0; x < %d; x++, i++)", t.C, t.H, t.W),
		fmt.Sprintf("(y * %d + x) * %d + c", t.W, t.C)
}

// quantizer writes the helper that makes input bytes of floats in ONNX's order.
func (w *source) quantizer(b *strings.Builder, p *port) {
	prefix := w.upper() + "_" + strings.ToUpper(p.arg)
	if p.coding.Scale == 0 {
		return // the caller has bytes
	}
	fmt.Fprintf(b, "static inline %s %s_code_%s(float number)\n{\n\tfloat q = number / %s_SCALE;\n\tint32_t low;\n\n"+
		"\tif (!(q > -1024.0f))\n\t\treturn q < 0.0f ? %d : %s_ZERO; /* not a number: zero */\n\tif (q > 1024.0f)\n\t\tq = 1024.0f;\n"+
		"\tlow = (int32_t)(q + 2048.0f) - 2048; /* rounds down, but for sums that round up */\n\tif ((float)low > q)\n\t\tlow--;\n"+
		"\tq -= (float)low;\n\tif (q > 0.5f || (q == 0.5f && low %% 2 != 0))\n\t\tlow++;\n\tlow += %s_ZERO;\n\treturn (%s)(low < %d ? %d : low > %d ? %d : low);\n}\n",
		p.ctype(), w.name, p.arg, prefix, p.lo, prefix, prefix, p.ctype(), p.lo, p.lo, p.hi, p.hi)
	loops, at := element(p.tensor)
	fmt.Fprintf(b, "\n/* Makes an input of numbers in ONNX's order (channels first), rounded half to even. */\nstatic inline void %s_quantize_%s(const float *numbers, %s *%s)\n{\n%s\n\t\t%s[%s] = %s_code_%s(numbers[i]);\n}\n",
		w.name, p.arg, p.ctype(), p.arg, loops, p.arg, at, w.name, p.arg)
}

// reader writes the helper that makes numbers of a result.
func (w *source) reader(b *strings.Builder, p *port) {
	prefix := w.upper() + "_" + strings.ToUpper(p.arg)
	loops, at := element(p.tensor)
	t := p.tensor
	channel := fmt.Sprintf("i %% %d", t.C)
	if t.Layout == program.Last {
		channel = "c"
	}
	scales, number := "", fmt.Sprintf("(float)((int32_t)%s[%s] - %s_ZERO) * %s_SCALE", p.arg, at, prefix, prefix)
	switch {
	case p.scales == nil && p.coding.Scale == 0:
		return
	case p.scales != nil && one(p.scales):
		number = fmt.Sprintf("(float)%s[%s] * %s_SCALE", p.arg, at, prefix)
	case p.scales != nil:
		scales = fmt.Sprintf("\tstatic const float scales[%d] = %s_SCALES;\n", len(p.scales), prefix)
		number = fmt.Sprintf("(float)%s[%s] * scales[%s]", p.arg, at, channel)
	}
	fmt.Fprintf(b, "\n/* Makes numbers, in ONNX's order, of a result. */\nstatic inline void %s_numbers_%s(const %s *%s, float *numbers)\n{\n%s%s\n\t\tnumbers[i] = %s;\n}\n",
		w.name, p.arg, p.ctype(), p.arg, scales, loops, number)
}
