package c

import (
	"embed"
	"fmt"
	"slices"
	"strings"

	"github.com/narrow-ml/narrow/program"
	"github.com/narrow-ml/narrow/tensor"
)

//go:embed kernels/*.c
var kernels embed.FS

// kernelOrder lists the files of kernels/ in the order in which they build on each other; "products" stands for
// the products that are used. A file has another form with _mve behind its name where vectors make it.
var kernelOrder = []string{"requant", "sum", "vectors", "put", "window", "products", "conv", "depthwise", "depthwise_window", "depthwise_rows", "maxpool", "mean", "pixels", "add", "mul", "table"}

// writer of C: what has been written so far.
type source struct {
	net    *network
	cpu    CPU
	name   string
	plan   *Plan
	layers map[*program.Step]*layer

	tables  []table
	kernels map[string]bool
	body    strings.Builder // the steps' functions
	calls   strings.Builder // of the steps, in the function that runs the network
}

func (w *source) use(files ...string) {
	for _, f := range files {
		w.kernels[f] = true
	}
}

func (w *source) printf(format string, args ...any) { fmt.Fprintf(&w.body, format, args...) }

// table keeps a constant array for the file of weights and returns its name.
func (w *source) table(kind string, id int, t table) string {
	t.name = fmt.Sprintf("%s_%s_%d", w.name, kind, id)
	w.tables = append(w.tables, t)
	return t.name
}

func numbers[T int | int32 | int64 | uint8](ctype string, x []T) table {
	t := table{ctype: ctype}
	for _, v := range x {
		t.data = append(t.data, int64(v))
	}
	return t
}

// address returns where a tensor's first element is.
func (w *source) address(t *program.Tensor) string {
	root := t.Root()
	base, offset := "arena", (t.Offset-root.Offset)*elementSize(t)
	if p := w.net.held[root]; p != nil {
		base = "(uint8_t *)" + p.arg
		if slices.Contains(w.net.inputs, p) {
			base = "(const uint8_t *)" + p.arg
		}
	} else {
		offset += w.plan.of[root].offset
	}
	if offset == 0 {
		return base
	}
	return fmt.Sprintf("%s + %d", base, offset)
}

// call adds the call of a step's function, whose parameters after the tensors read and written are given.
func (w *source) call(id int, s *program.Step, scratch bool) {
	var args []string
	for _, t := range s.Action.Reads() {
		args = append(args, w.address(t))
	}
	out := s.Action.Writes()[0]
	args = append(args, w.address(out))
	if scratch {
		args = append(args, fmt.Sprintf("arena + %d", w.plan.scratch[s].offset))
	}
	size := elementSize(out)
	fmt.Fprintf(&w.calls, "\tstep_%d(%s);\n", id, strings.Join(args, ", "))
	fmt.Fprintf(&w.calls, "\tTRACE(%d, %s, %d, %d, %d, %d, %d);\n", id, w.address(out), out.H, out.W, out.RowStride*size, out.PixStride*size, out.C*size)
}

// step writes one step's function.
func (w *source) step(id int, s *program.Step) error {
	fmt.Fprintf(&w.body, "\n/* %s */\n", title(s))
	switch a := s.Action.(type) {
	case *program.Conv, *program.MatMul:
		return w.affine(id, s)
	case *program.Add:
		w.add(id, s, a)
	case *program.Mul:
		return w.mul(id, s, a)
	case *program.MaxPool:
		w.maxPool(id, s, a)
	case *program.AveragePool:
		return w.meanPool(id, s, a)
	case *program.Table:
		w.lookUp(id, s, a)
	case *program.Copy:
		return w.copy(id, s, a)
	case *program.Transpose:
		w.transpose(id, s, a)
	case *program.Repeat:
		w.repeat(id, s, a)
	case *program.Pad:
		w.pad(id, s, a)
	default:
		return fmt.Errorf("export: %q: there is no C for %T", s.Name, s.Action)
	}
	return nil
}

// title names a step: its operators and what it makes.
func title(s *program.Step) string {
	t := s.Action.Writes()[0]
	return comment(fmt.Sprintf("%s %s: %dx%dx%d", s.Label, s.Name, t.H, t.W, t.C))
}

// comment makes text fit for a comment.
func comment(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '\\' {
			return '?'
		}
		return r
	}, text)
	return strings.ReplaceAll(strings.ReplaceAll(text, "*/", "* /"), "/*", "/ *")
}

// geometry writes the struct window of a step.
func (w *source) geometry(s *program.Step, g program.Geometry, in, out *program.Tensor, channels int) string {
	return fmt.Sprintf("{.height = %d, .width = %d, .channels = %d, .row = %d, .pixel = %d,\n\t\t.kernel_h = %d, .kernel_w = %d, .stride_h = %d, .stride_w = %d, "+
		".dilation_h = %d, .dilation_w = %d, .pad_top = %d, .pad_left = %d,\n\t\t.out_height = %d, .out_width = %d, .out_row = %d, .out_pixel = %d, .backwards = %t}",
		in.H, in.W, channels, in.RowStride, in.PixStride, g.Kernel[0], g.Kernel[1], g.Stride[0], g.Stride[1], g.Dilation[0], g.Dilation[1], g.Pad.Top, g.Pad.Left,
		out.H, out.W, out.RowStride, out.PixStride, w.plan.backwards(s))
}

// requant writes a struct requant.
func (w *source) requant(id int, c *rescaling) string {
	w.use("requant")
	text := ".how = " + c.how
	switch c.how {
	case "AS_SUM":
		return "{" + text + "}"
	case "BY_SHIFT":
		text += fmt.Sprintf(", .shift = %d", c.shift)
	default:
		text += ", .shifts = " + w.table("shifts", id, numbers("uint8_t", c.shifts))
	}
	if c.mul != nil {
		text += ", .mul = " + w.table("mul", id, numbers("int32_t", c.mul))
	}
	return fmt.Sprintf("{%s, .zero = %d, .lo = %d, .hi = %d}", text, c.zero, c.lo, c.hi)
}

// sum writes the struct sum of a step, and returns how it is passed.
func (w *source) sum(id int, s *program.Sum, a, b *program.Tensor) string {
	w.use("sum")
	ma, mb := int(s.MulA), int(s.MulB)
	start, minus := -s.ZeroA*ma-s.ZeroB*mb, mb < 0
	mb = max(mb, -mb)
	powers := power(ma) && power(mb)
	if powers {
		ma, mb = log2(ma), log2(mb)
	}
	w.printf("static const struct sum sum_%d = {.powers = %t, .minus = %t, .a_signed = %t, .b_signed = %t, .mul_a = %d, .mul_b = %d, .start = %d, .shift = %d, .zero = %d, .lo = %d, .hi = %d};\n",
		id, powers, minus, a.DType == tensor.Int8, b.DType == tensor.Int8, ma, mb, start, s.Shift, s.Zero, s.Lo, s.Hi)
	return fmt.Sprintf("&sum_%d", id)
}

func power(x int) bool { return x > 0 && x&(x-1) == 0 }

func log2(x int) int {
	n := 0
	for ; x > 1; x >>= 1 {
		n++
	}
	return n
}
