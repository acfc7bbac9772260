package c

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/narrow-ml/narrow/program"
	"github.com/narrow-ml/narrow/tensor"
)

// function begins the function of a step.
func (w *source) function(id int, s *program.Step, scratch bool) {
	names := []string{"in", "other"}
	var args []string
	for i := range s.Action.Reads() {
		args = append(args, "const uint8_t *"+names[i])
	}
	args = append(args, "uint8_t *out")
	if scratch {
		args = append(args, "uint8_t *patch")
	}
	w.printf("APART void step_%d(%s)\n{\n", id, strings.Join(args, ", "))
	w.call(id, s, scratch)
}

// affine writes a convolution or product.
func (w *source) affine(id int, s *program.Step) error {
	l := w.layers[s]
	c, err := rescale(l.requant, l.started(), l.sums)
	if err != nil {
		return fmt.Errorf("export: %q: %w", s.Name, err)
	}
	sum, residual := "NULL", "NULL, 0, 0"
	if r := l.residual; r != nil {
		sum = w.sum(id, &r.Sum, l.out, r.In)
		residual = fmt.Sprintf("other, %d, %d", r.In.RowStride, r.In.PixStride)
	} else {
		w.use("sum")
	}
	kind := "conv"
	w.use("window", "vectors")
	if l.depthwise() {
		kind = "depthwise"
		w.use("depthwise", "depthwise_window", "depthwise_rows")
		w.printf("static const struct depthwise depthwise_%d = {\n\t.at = %s,\n\t.is_signed = %t, .padding = %d,\n\t.weights = %s,\n\t.bias = %s,\n\t.requant = %s,\n};\n\n", id,
			w.geometry(s, l.window, l.in, l.out, l.in.C), l.signed, uint8(l.padding),
			w.weightsOf(id, packDepthwise(l)), w.table("bias", id, numbers("int32_t", c.bias)), w.requant(id, c))
	} else {
		w.use("put", "products", "conv")
		weights := l.kernel.pack(l)
		w.printf("static const struct conv conv_%d = {\n\t.at = %s,\n\t.kernel = %s, .groups = %d, .filters = %d, .patch = %d, .group_weights = %d, .is_signed = %t, .together = %t, .direct = %t, .padding = %d,\n\t.weights = %s,\n\t.bias = %s,\n\t.requant = %s,\n};\n\n", id,
			w.geometry(s, l.window, l.in, l.out, l.in.C/l.window.Groups), strings.ToUpper(l.kernel.name), l.window.Groups, l.filters, l.patch, weights.bytes()/l.window.Groups, l.signed, l.together, l.direct, uint8(l.padding),
			w.weightsOf(id, weights), w.table("bias", id, numbers("int32_t", l.filled(c.bias))), w.requant(id, c))
	}
	scratch := l.scratch() > 0
	patch := "NULL"
	if scratch {
		patch = "patch"
	}
	w.function(id, s, scratch)
	w.printf("\t%s(&%s_%d, in, %s, %s, out, %s);\n}\n", kind, kind, id, sum, residual, patch)
	return nil
}

// weightsOf keeps weights for the file of constants and returns how they are passed.
func (w *source) weightsOf(id int, t table) string {
	t = t.inRows()
	name := w.table("weights", id, t)
	if t.width > 0 || t.ctype != "int8_t" {
		return "(const int8_t *)" + name
	}
	return name
}

func (w *source) add(id int, s *program.Step, a *program.Add) {
	w.use("pixels", "add")
	sum := w.sum(id, &a.Sum, a.A, a.B)
	w.pixels(id, a.A, a.B, a.Out)
	w.function(id, s, false)
	w.printf("\tadd(&pixels_%d, %s, in, other, out);\n}\n", id, sum)
}

// pixels writes the struct pixels of a step element by element.
func (w *source) pixels(id int, a, b, out *program.Tensor) {
	w.printf("static const struct pixels pixels_%d = {.height = %d, .width = %d, .channels = %d, .row = %d, .pixel = %d, .other_row = %d, .other_pixel = %d, .out_row = %d, .out_pixel = %d};\n",
		id, out.H, out.W, out.C, a.RowStride, a.PixStride, b.RowStride, b.PixStride, out.RowStride, out.PixStride)
}

func (w *source) mul(id int, s *program.Step, a *program.Mul) error {
	w.use("pixels", "mul")
	c, err := rescale(a.Requant, []int64{0}, func(int) (lo, hi int64) { return -1 << 16, 1 << 16 })
	if err != nil {
		return fmt.Errorf("export: %q: %w", s.Name, err)
	}
	w.printf("static const struct requant requant_%d = %s;\n", id, w.requant(id, c))
	b := *a.B
	if a.PerChannel {
		b.RowStride, b.PixStride = 0, 0
	}
	w.pixels(id, a.A, &b, a.Out)
	w.function(id, s, false)
	w.printf("\tmul(&pixels_%d, %t, %d, %t, %d, %d, &requant_%d, in, other, out);\n}\n", id, a.A.DType == tensor.Int8, a.ZeroA, a.B.DType == tensor.Int8, a.ZeroB, c.bias[0], id)
	return nil
}

func (w *source) maxPool(id int, s *program.Step, a *program.MaxPool) {
	w.use("window", "maxpool")
	w.printf("static const struct window window_%d = %s;\n", id, w.geometry(s, a.Geometry, a.In, a.Out, a.In.C))
	w.function(id, s, false)
	w.printf("\tmax_pool(&window_%d, %t, in, out);\n}\n", id, a.In.DType == tensor.Int8)
}

func (w *source) meanPool(id int, s *program.Step, a *program.AveragePool) error {
	w.use("window", "mean")
	r := *a.Requant // one for all channels
	if r.Shift = r.Shift[:1]; r.Mul != nil {
		r.Mul = r.Mul[:1]
	}
	area := int64(a.Kernel[0]*a.Kernel[1]) * 256
	if area > math.MaxInt32 {
		return fmt.Errorf("export: the sums of %q do not fit 32 bits: its window is too large", s.Name)
	}
	c, err := rescale(&r, []int64{0}, func(int) (lo, hi int64) { return -area, area })
	if err != nil {
		return fmt.Errorf("export: %q: %w", s.Name, err)
	}
	w.printf("static const struct window window_%d = %s;\nstatic const struct requant requant_%d = %s;\n", id, w.geometry(s, a.Geometry, a.In, a.Out, a.In.C), id, w.requant(id, c))
	w.function(id, s, false)
	w.printf("\tmean_pool(&window_%d, %t, %d, %d, &requant_%d, in, out);\n}\n", id, a.In.DType == tensor.Int8, a.ZeroIn, c.bias[0], id)
	return nil
}

func (w *source) lookUp(id int, s *program.Step, a *program.Table) {
	w.use("pixels", "table")
	name := w.table("table", id, numbers("uint8_t", a.Table[:]))
	w.pixels(id, a.In, a.In, a.Out)
	w.function(id, s, false)
	w.printf("\tlook_up(&pixels_%d, %s, in, out);\n}\n", id, name)
}

// loop writes nested loops over ranges, and what they do with their variables i0, i1, ...
func (w *source) loop(ranges []int, body string, args ...any) {
	for d, n := range ranges {
		w.printf("%sfor (int i%d = 0; i%d < %d; i%d++)\n", strings.Repeat("\t", d+1), d, d, n, d)
	}
	w.printf(strings.Repeat("\t", len(ranges)+1)+body+"\n", args...)
}

// index writes the sum of loop variables times strides.
func index(strides ...int) string {
	var terms []string
	for d, s := range strides {
		if s != 0 {
			terms = append(terms, fmt.Sprintf("i%d * %d", d, s))
		}
	}
	if terms == nil {
		return "0"
	}
	return strings.Join(terms, " + ")
}

// copy writes a copy between layouts or places.
func (w *source) copy(id int, s *program.Step, a *program.Copy) error {
	w.function(id, s, false)
	in, out := a.In, a.Out
	if in.Layout == out.Layout && in.H == out.H && in.W == out.W && in.C == out.C {
		w.loop([]int{out.H, out.W, out.C}, "out[%s] = in[%s];", index(out.RowStride, out.PixStride, 1), index(in.RowStride, in.PixStride, 1))
		w.printf("}\n")
		return nil
	}
	image, list := in, out // channels last, plain
	if in.Layout == program.Plain {
		image, list = out, in
	}
	if in.Layout == out.Layout || !list.Gapless() || list.C*list.W*list.H != image.C*image.H*image.W {
		return fmt.Errorf("export: there is no C for the copy %q of %v to %v", s.Name, in, out)
	}
	of := []string{index(image.RowStride, image.PixStride, 1), index(image.W, 1, image.H*image.W)}
	if image == out {
		w.loop([]int{image.H, image.W, image.C}, "out[%s] = in[%s];", of[0], of[1])
	} else {
		w.loop([]int{image.H, image.W, image.C}, "out[%s] = in[%s];", of[1], of[0])
	}
	w.printf("}\n")
	return nil
}

func (w *source) transpose(id int, s *program.Step, a *program.Transpose) {
	w.function(id, s, false)
	to := make([]int, len(a.Shape))
	size := 1
	for d := len(to) - 1; d >= 0; d-- {
		to[d] = size
		size *= a.Shape[d]
	}
	w.loop(a.Shape, "out[%s] = in[%s];", index(to...), index(a.Strides...))
	w.printf("}\n")
}

func (w *source) repeat(id int, s *program.Step, a *program.Repeat) {
	w.function(id, s, false)
	in, out := a.In, a.Out
	w.loop([]int{in.H, a.Rows, in.W, a.Cols, in.C}, "out[%s] = in[%s];",
		index(a.Rows*out.RowStride, out.RowStride, a.Cols*out.PixStride, out.PixStride, 1), index(in.RowStride, 0, in.PixStride, 0, 1))
	w.printf("}\n")
}

func (w *source) pad(id int, s *program.Step, a *program.Pad) {
	w.function(id, s, false)
	in, out := a.In, a.Out
	w.loop([]int{out.H, out.W, out.C}, "out[%s] = %d;", index(out.RowStride, out.PixStride, 1), uint8(a.Fill))
	// What a negative place cuts off is not copied.
	cut := func(at, n, size int) (from, count int) {
		from = max(-at, 0)
		return from, min(at+n, size) - max(at, 0)
	}
	y, h := cut(a.At.Y, in.H, out.H)
	x, wide := cut(a.At.X, in.W, out.W)
	c, deep := cut(a.At.C, in.C, out.C)
	if min(h, wide, deep) > 0 {
		to := max(a.At.Y, 0)*out.RowStride + max(a.At.X, 0)*out.PixStride + max(a.At.C, 0)
		w.loop([]int{h, wide, deep}, "out[%d + %s] = in[%d + %s];", to, index(out.RowStride, out.PixStride, 1), y*in.RowStride+x*in.PixStride+c, index(in.RowStride, in.PixStride, 1))
	}
	w.printf("}\n")
}

// layersOf makes the layers of all affine steps.
func layersOf(steps []*program.Step, cpu CPU) (map[*program.Step]*layer, error) {
	layers := make(map[*program.Step]*layer)
	for id, s := range steps {
		var l *layer
		var err error
		switch a := s.Action.(type) {
		case *program.Conv:
			l, err = newLayer(id, s, a.In, a.Out, a.Geometry, &a.Affine)
		case *program.MatMul:
			rows := program.Geometry{Kernel: [2]int{1, 1}, Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Groups: 1}
			l, err = newLayer(id, s, a.In, a.Out, rows, &a.Affine)
		default:
			continue
		}
		if err != nil {
			return nil, err
		}
		l.choose(cpu.kernel)
		layers[s] = l
	}
	return layers, nil
}

// choose takes the kernel if it can be used, and decides how windows are read.
func (l *layer) choose(k *kernel) {
	if l.kernel = k; nibble.fits(l) { // whoever quantizes to 4 bits wants half the flash
		l.kernel = nibble
	} else if k.fits != nil && !k.fits(l) {
		l.kernel = k.other
	}
	g := &l.window
	l.flatten()
	channels := l.in.C / g.Groups
	l.together = g.Kernel[1] == 1 || l.in.PixStride == channels && g.Dilation[1] == 1
	row, at := g.Kernel[1]*channels, l.kernel.atOnce
	l.direct = l.together && (row%at == 0 || l.kernel.partly && g.Kernel[0]*roundUp(row, at) <= roundUp(l.length, at))
	if l.patch = l.length; !l.direct && !l.kernel.partly {
		l.patch = roundUp(l.length, at)
	}
}

// flatten makes one row of the pixels of images that a kernel of one element goes over, if they lie together.
func (l *layer) flatten() {
	g := &l.window
	if g.Kernel != [2]int{1, 1} || g.Stride != [2]int{1, 1} || g.Pad != (program.Sides{}) || l.in.H == 1 {
		return
	}
	tensors := []*program.Tensor{l.in, l.out}
	if l.residual != nil {
		tensors = append(tensors, l.residual.In)
	}
	if slices.ContainsFunc(tensors, func(t *program.Tensor) bool { return t.RowStride != t.W*t.PixStride }) {
		return
	}
	row := func(t *program.Tensor) *program.Tensor {
		flat := *t
		flat.H, flat.W, flat.RowStride = 1, t.H*t.W, t.H*t.RowStride
		return &flat
	}
	l.in, l.out = row(l.in), row(l.out)
}

// scratch returns the bytes that a step needs for one window.
func (l *layer) scratch() int {
	g := &l.window
	within := func(d int, pad, out, size int) bool {
		return pad <= 0 && (out-1)*g.Stride[d]+(g.Kernel[d]-1)*g.Dilation[d]-pad < size
	}
	always := within(0, g.Pad.Top, l.out.H, l.in.H) && within(1, g.Pad.Left, l.out.W, l.in.W)
	switch {
	case always && (l.direct || l.depthwise()):
		return 0
	case l.depthwise():
		return l.length * l.in.C
	}
	return l.patch * min(l.atOnce(), l.out.W)
}
