package c_test

import (
	"fmt"
	"math/rand/v2"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// drawing draws a random network of what quantizes to integers.
type drawing struct {
	*rand.Rand
	g     *graph.Graph
	v     *graph.Value // the last one
	shape []int        // of v, without the batch
	count int
}

// drawNetwork draws a network of so many layers, of images, or of signals with one dimension.
func drawNetwork(rng *rand.Rand, layers int) *graph.Graph {
	shape := []int{1 + rng.IntN(9), 5 + rng.IntN(9), 5 + rng.IntN(9)}
	if rng.IntN(5) == 0 {
		shape = []int{1 + rng.IntN(9), 8 + rng.IntN(30)}
	}
	d := newDrawing(rng, shape...)
	d.conv(1)
	for range layers {
		d.layer()
	}
	d.end()
	d.g.Outputs = []*graph.Value{d.v}
	return d.g
}

// newDrawing begins a network with its input.
func newDrawing(rng *rand.Rand, shape ...int) *drawing {
	x := &graph.Value{Name: "x", Type: op.Type{DType: tensor.Float32, Shape: append([]int{op.Unknown}, shape...), Known: true}}
	return &drawing{Rand: rng, shape: shape, v: x, g: &graph.Graph{Opset: map[string]int{"": 13}, Inputs: []*graph.Value{x}}}
}

// recurrent adds a recurrent layer over the rows of an image.
func (d *drawing) recurrent() {
	n := d.shape[1] * d.shape[2]
	d.node("Reshape", nil, graph.NewConst("rows", tensor.From([]int64{int64(d.shape[0]), -1, int64(n)}, 3)))
	d.node("GRU", op.Attrs{"hidden_size": int64(3)}, d.constant(1, 1, 9, n), d.constant(1, 1, 9, 3))
}

func (d *drawing) name(kind string) string { d.count++; return fmt.Sprintf("%s%d", kind, d.count) }

func (d *drawing) constant(scale float64, shape ...int) *graph.Value {
	t := tensor.New(tensor.Float32, shape...)
	for i := range t.F32() {
		t.F32()[i] = float32(d.NormFloat64() * scale)
	}
	return graph.NewConst(d.name("w"), t)
}

func (d *drawing) node(kind string, attrs op.Attrs, inputs ...*graph.Value) {
	d.v = d.g.New(d.name(kind), kind, attrs, append([]*graph.Value{d.v}, inputs...)...)
}

func (d *drawing) layer() {
	switch d.IntN(9) {
	case 0:
		d.conv(d.shape[0]) // depthwise
	case 1:
		d.conv(divisor(d.Rand, d.shape[0]))
	case 2:
		d.branch(d.add)
	case 3:
		d.branch(d.concat)
	case 4:
		d.pool()
	case 5:
		d.gate()
	default:
		d.conv(1)
	}
}

func divisor(rng *rand.Rand, n int) int {
	var all []int
	for i := 1; i <= n; i++ {
		if n%i == 0 {
			all = append(all, i)
		}
	}
	return all[rng.IntN(len(all))]
}

// conv adds a convolution of random geometry, mostly with something behind it.
func (d *drawing) conv(groups int) {
	filters := groups * (1 + d.IntN(max(20/groups, 1)))
	d.convOf(groups, filters, true)
}

func (d *drawing) convOf(groups, filters int, strides bool) {
	kernel, stride, dilation, pads := []int64{}, []int64{}, []int64{}, make([]int64, 2*len(d.shape[1:]))
	shape := []int{filters, d.shape[0] / groups}
	for i, n := range d.shape[1:] {
		k := 1 + d.IntN(min(4, n))
		dil := 1
		if k > 1 && (k-1)*2+1 <= n && d.IntN(6) == 0 {
			dil = 2
		}
		s := 1
		if strides && d.IntN(4) == 0 && n > 4 {
			s = 2
		}
		before, after := 0, 0
		if reach := (k - 1) * dil; !strides {
			before = reach / 2
			after = reach - before
		} else if d.IntN(3) > 0 {
			before, after = d.IntN(reach+1), d.IntN(reach+1)
		}
		kernel, stride, dilation = append(kernel, int64(k)), append(stride, int64(s)), append(dilation, int64(dil))
		pads[i], pads[i+len(d.shape[1:])] = int64(before), int64(after)
		d.shape[i+1] = (n+before+after-(k-1)*dil-1)/s + 1
		shape = append(shape, k)
	}
	size := float64(tensor.Volume(shape[1:]))
	w := d.constant(1/size+0.3/(1+size/8), shape...)
	inputs := []*graph.Value{w}
	if d.IntN(4) > 0 {
		inputs = append(inputs, d.constant(0.3, filters))
	}
	d.node("Conv", op.Attrs{"kernel_shape": kernel, "strides": stride, "dilations": dilation, "pads": pads, "group": int64(groups)}, inputs...)
	d.shape[0] = filters
	d.activation()
}

func (d *drawing) activation() {
	switch d.IntN(8) {
	case 0, 1, 2:
		d.node("Relu", nil)
	case 3:
		d.node("Clip", nil, graph.NewConst(d.name("lo"), tensor.From([]float32{0})), graph.NewConst(d.name("hi"), tensor.From([]float32{6})))
	case 4:
		d.node("LeakyRelu", op.Attrs{"alpha": float32(0.1)})
	case 5:
		d.node("Sigmoid", nil)
	}
}

// branch goes on with what a branch of the same size and the trunk make together.
func (d *drawing) branch(join func(trunk *graph.Value)) {
	trunk := d.v
	d.convOf(1, d.shape[0], false)
	join(trunk)
}

func (d *drawing) add(trunk *graph.Value) {
	d.node([]string{"Add", "Add", "Sub"}[d.IntN(3)], nil, trunk)
	d.activation()
}

func (d *drawing) concat(trunk *graph.Value) {
	d.node("Concat", op.Attrs{"axis": int64(1)}, trunk)
	d.shape[0] *= 2
}

func (d *drawing) pool() {
	kind := []string{"MaxPool", "AveragePool"}[d.IntN(2)]
	kernel, stride := []int64{}, []int64{}
	for i, n := range d.shape[1:] {
		k := 1 + d.IntN(min(3, n))
		kernel, stride = append(kernel, int64(k)), append(stride, int64(k))
		d.shape[i+1] = (n-k)/k + 1
	}
	d.node(kind, op.Attrs{"kernel_shape": kernel, "strides": stride})
}

// gate multiplies all pixels by a number for each channel, as squeeze and excitation does.
func (d *drawing) gate() {
	trunk := d.v
	d.node("GlobalAveragePool", nil)
	ones := make([]int, len(d.shape[1:]))
	kernel := []int64{}
	for i := range ones {
		ones[i], kernel = 1, append(kernel, 1)
	}
	d.node("Conv", op.Attrs{"kernel_shape": kernel}, d.constant(0.5, append([]int{d.shape[0], d.shape[0]}, ones...)...))
	d.node("Sigmoid", nil)
	d.node("Mul", nil, trunk)
}

func (d *drawing) end() {
	if d.IntN(3) == 0 {
		return
	}
	if d.IntN(2) == 0 {
		d.node("GlobalAveragePool", nil)
		for i := range d.shape[1:] {
			d.shape[i+1] = 1
		}
	}
	d.node("Flatten", nil)
	n := tensor.Volume(d.shape)
	classes := 1 + d.IntN(12)
	d.node("Gemm", nil, d.constant(1/float64(n), n, classes), d.constant(0.1, classes))
	if d.IntN(2) == 0 {
		d.node("Softmax", op.Attrs{"axis": int64(1)})
	}
}
