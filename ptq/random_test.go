package ptq

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// randomNet builds networks of images [N,c,6,6] from layers chosen at random.
type randomNet struct {
	*net
	values []*graph.Value
	c      []int // channels of each
}

// newRandomNet makes a network of so many layers.
func newRandomNet(seed uint64, layers int) *graph.Graph {
	n, x := newNet(4, 6, 6)
	n.rng = rand.New(rand.NewPCG(seed, 6))
	r := &randomNet{net: n, values: []*graph.Value{x}, c: []int{4}}
	r.add(n.conv("first", x, 4, 6, 1), 6)
	for i := range layers {
		r.layer(fmt.Sprint("l", i))
	}
	last := len(r.values) - 1
	outs := []*graph.Value{r.values[last]}
	if k := n.rng.IntN(last); k > 0 && n.rng.IntN(2) == 0 {
		outs = append(outs, r.values[k]) // read on, and an output
	}
	return n.done(outs...)
}

func (r *randomNet) add(v *graph.Value, channels int) {
	r.values, r.c = append(r.values, v), append(r.c, channels)
}

func (r *randomNet) scalar(name string, v float32) *graph.Value {
	return graph.NewConst(name, tensor.Scalar(v))
}

func (r *randomNet) ints(name string, v ...int64) *graph.Value {
	return graph.NewConst(name, tensor.From(v, len(v)))
}

// layer appends one, which reads a value near the end, and gives it 6x6 pixels.
func (r *randomNet) layer(name string) {
	i := len(r.values) - 1 - r.rng.IntN(min(3, len(r.values)))
	x, c := r.values[i], r.c[i]
	node := func(operator string, attrs op.Attrs, in ...*graph.Value) *graph.Value {
		return r.New(name+operator, operator, attrs, in...)
	}
	switch kind := r.rng.IntN(16); kind {
	case 0, 1, 2:
		out := 2 + r.rng.IntN(7)
		r.add(r.conv(name, x, c, out, 1), out)
	case 3:
		r.add(r.conv(name, x, c, c, c), c)
	case 4:
		r.add(node("Pad", nil, node("MaxPool", op.Attrs{"kernel_shape": []int64{2, 2}, "strides": []int64{1, 1}}, x),
			r.ints(name+"p", 0, 0, 1, 0, 0, 0, 0, 1), r.scalar(name+"v", float32(r.rng.IntN(3))-1)), c)
	case 5:
		half := node("AveragePool", op.Attrs{"kernel_shape": []int64{2, 2}, "strides": []int64{2, 2}}, x)
		mode := []string{"nearest", "linear"}[r.rng.IntN(2)]
		r.add(node("Resize", op.Attrs{"mode": mode}, half, nil, graph.NewConst(name+"s", tensor.From([]float32{1, 1, 2, 2}, 4))), c)
	case 6, 7:
		k := r.sameChannels(c)
		r.add(node([]string{"Add", "Sub", "Mul", "Max", "Min"}[r.rng.IntN(5)], nil, x, r.values[k]), c)
	case 8:
		k := r.rng.IntN(len(r.values))
		r.add(node("Concat", op.Attrs{"axis": int64(1)}, x, r.values[k]), c+r.c[k])
	case 9:
		r.add(node([]string{"Relu", "Sigmoid", "Tanh", "LeakyRelu", "HardSigmoid", "Elu", "Softplus", "Exp", "Neg", "Abs"}[r.rng.IntN(10)], nil, node("Tanh", nil, x)), c)
	case 10:
		r.add(node("Clip", nil, x, r.scalar(name+"lo", -0.5), r.scalar(name+"hi", 1)), c)
	case 11:
		r.add(node([]string{"Add", "Mul", "Sub", "Div"}[r.rng.IntN(4)], nil, x, graph.NewConst(name+"k", positiveConst(r.rng, c))), c)
	case 12:
		r.add(node("Transpose", op.Attrs{"perm": []int64{0, 1, 3, 2}}, x), c)
	case 13:
		r.add(node("Where", nil, node("Greater", nil, x, r.scalar(name+"zero", 0)), x, r.values[r.sameChannels(c)]), c)
	case 14:
		gate := node("Sigmoid", nil, node("GlobalAveragePool", nil, x))
		r.add(r.New(name+"gated", "Mul", nil, x, gate), c)
	case 15:
		rows := r.New(name+"rows", "Reshape", nil, x, r.ints(name+"to", 0, int64(c), 36))
		soft := r.New(name+"soft", "Softmax", op.Attrs{"axis": int64(-1)}, rows)
		r.add(r.New(name+"back", "Reshape", nil, soft, r.ints(name+"from", 0, int64(c), 6, 6)), c)
	}
}

// sameChannels returns a value of c channels.
func (r *randomNet) sameChannels(c int) int {
	for k := r.rng.IntN(len(r.values)); ; k = (k + 1) % len(r.values) {
		if r.c[k] == c {
			return k
		}
	}
}

func positiveConst(rng *rand.Rand, c int) *tensor.Tensor {
	t := tensor.New(tensor.Float32, c, 1, 1)
	for i := range t.F32() {
		t.F32()[i] = 0.3 + rng.Float32()
	}
	return t
}

// optionSets are the choices that a property must hold for.
func optionSets(g *graph.Graph) map[string][]Option {
	return map[string][]Option{
		"defaults": nil, "shift": {WithShift(true)}, "tensor": {WithPerChannel(false)}, "signed": {WithSigns(false)}, "plain": {WithEqualize(false), WithCompensation(false)},
		"asymmetric": {WithAsymmetric(true)}, "symmetric": {WithAsymmetric(false)}, "kl": {WithClip(KL)}, "max": {WithClip(Max)}, "4 bits": {WithBits(4, 8)}, "16 bits": {WithBits(8, 16)},
		"excluded": {WithExclude(middle(g))}, "costly": {WithAutoExclude(30)},
	}
}

// middle returns the name of a node that is there once g is prepared.
func middle(g *graph.Graph) string {
	p, err := NewPlan(g)
	if err != nil {
		panic(err)
	}
	return p.Graph.Nodes[len(p.Graph.Nodes)/2].Name
}

// unbounded returns a value that is not finite, 0 if there is none.
func unbounded(all []float64) float64 {
	for _, v := range all {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return v
		}
	}
	return 0
}

// TestUnroundedIsTheSameNetwork leaves out rounding and clipping of random networks: under all options they compute
// the same.
func TestUnroundedIsTheSameNetwork(t *testing.T) {
	count := 16
	if testing.Short() {
		count = 3
	}
	data := images(t, 6, 4, 6, 6)
	for seed := range uint64(count) {
		g := newRandomNet(seed, 3+int(seed%12))
		want := outputs(t, g, data)
		for name, options := range optionSets(g) {
			r, err := Quantize(context.Background(), g, data, append(options, WithNoRound(true))...)
			if err != nil {
				t.Errorf("network %d, %s: %v", seed, name, err)
				continue
			}
			got := outputs(t, r.Graph, data)
			if db := ratio(want, got); db < 80 || unbounded(got) != 0 { // NaN for zeros that are the same
				t.Errorf("network %d, %s: %.1f dB\n%s", seed, name, db, graph.Format(g))
			}
		}
	}
}

// TestRandomNetworks quantizes random networks under all options: what is written runs on integers as it does
// literally, and stays finite.
func TestRandomNetworks(t *testing.T) {
	count := 10
	if testing.Short() {
		count = 2
	}
	data := images(t, 6, 4, 6, 6)
	for seed := range uint64(count) {
		g := newRandomNet(1000+seed, 3+int(seed%12))
		for name, options := range optionSets(g) {
			r, err := Quantize(context.Background(), g, data, options...)
			if err != nil {
				t.Errorf("network %d, %s: %v", seed, name, err)
				continue
			}
			literal := outputs(t, r.Graph, data)
			if v := unbounded(literal); v != 0 {
				t.Errorf("network %d, %s: an output is %v", seed, name, v)
			}
			if db := ratio(literal, outputs(t, r.Graph, data, engine.WithThreads(2))); db < 25 { // NaN for zeros that are the same
				t.Errorf("network %d, %s: on integers %.1f dB from its literal meaning", seed, name, db)
			}
		}
	}
}
