package engine_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// nbitsNetwork multiplies x by random packed weights, adds a bias and cuts at 0.
func nbitsNetwork(r *rand.Rand, k, n, bits, block, accuracy int, zeros, input bool) *graph.Graph {
	blocks := (k + block - 1) / block
	bytes := func(shape ...int) *tensor.Tensor {
		x := make([]uint8, tensor.Volume(shape))
		for i := range x {
			x[i] = uint8(r.UintN(256))
		}
		return tensor.From(x, shape...)
	}
	floats := func(scale float32, shape ...int) *tensor.Tensor {
		x := make([]float32, tensor.Volume(shape))
		for i := range x {
			x[i] = scale * (r.Float32() + 0.1)
		}
		return tensor.From(x, shape...)
	}
	g := &graph.Graph{Opset: map[string]int{"": 17, "com.microsoft": 1}}
	x := typed("x", tensor.Float32, op.Unknown, op.Unknown, k)
	g.Inputs = []*graph.Value{x}
	inputs := []*graph.Value{x, graph.NewConst("w", bytes(n, blocks, block*bits/8)), graph.NewConst("s", floats(0.1, n, blocks)), nil, nil, nil}
	if zeros {
		inputs[3] = graph.NewConst("z", bytes(n, (blocks*bits+7)/8))
	}
	bias := graph.NewConst("b", floats(1, n))
	if input {
		inputs[5] = bias
	}
	y := g.New("y", "MatMulNBits", op.Attrs{"K": int64(k), "N": int64(n), "bits": int64(bits), "block_size": int64(block), "accuracy_level": int64(accuracy)}, inputs...)
	y.Node.Domain = "com.microsoft"
	if !input {
		y = g.New("sum", "Add", nil, y, bias)
	}
	g.Outputs = []*graph.Value{g.New("out", "Relu", nil, y)}
	return g
}

// TestMatMulNBits holds the fast forms to the reference kernels: in float closely, on 8-bit rows within what these lose. The
// result on bytes is the same for any number of threads and rows at a time.
func TestMatMulNBits(t *testing.T) {
	for i, c := range []struct {
		k, n, bits, block int
		zeros, input      bool
	}{{64, 40, 4, 32, true, false}, {70, 17, 4, 16, false, true}, {256, 33, 8, 128, true, true}, {48, 16, 2, 16, true, false}, {512, 20, 4, 256, true, true}} {
		for _, shape := range [][]int{{1, 1, c.k}, {1, 40, c.k}, {5, 3, c.k}} {
			var got [3][]float64
			for j, accuracy := range []int{0, 4, 4} {
				r := rand.New(rand.NewPCG(uint64(i), 3))
				g := nbitsNetwork(r, c.k, c.n, c.bits, c.block, accuracy, c.zeros, c.input)
				x := make([]float32, tensor.Volume(shape))
				for i := range x {
					x[i] = float32(r.NormFloat64())
				}
				in := tensor.From(x, shape...)
				net, err := engine.Compile(g, engine.WithThreads(1+j))
				if err != nil {
					t.Fatal(err)
				}
				got[j] = run(t, net, in).Float64s()
				if j > 0 {
					continue
				}
				reference, err := op.Lookup("com.microsoft", "MatMulNBits")
				if err != nil {
					t.Fatal(err)
				}
				n := g.Nodes[0]
				call := &op.Call{Attrs: n.Attrs, Version: 1, In: []*tensor.Tensor{in, nil, nil, nil, nil, nil}, Out: make([]*tensor.Tensor, 1)}
				for i, v := range n.Inputs[1:] {
					if v != nil {
						call.In[i+1] = v.Const
					}
				}
				if err := reference.Run(call); err != nil {
					t.Fatal(err)
				}
				want := call.Out[0].Float64s()
				if !c.input {
					for i := range want {
						want[i] += g.Nodes[1].In(1).Const.Float64s()[i%c.n]
					}
				}
				for i, v := range want {
					if want[i] = max(v, 0); math.Abs(want[i]-got[0][i]) > 1e-4*(1+math.Abs(v)) {
						t.Fatalf("%+v %v: output %d is %v, the reference gives %v", c, shape, i, got[0][i], v)
					}
				}
			}
			if fmt.Sprint(got[1]) != fmt.Sprint(got[2]) {
				t.Errorf("%+v %v: depends on the threads", c, shape)
			}
			signal, noise := 0.0, 0.0
			for i, v := range got[0] {
				signal, noise = signal+v*v, noise+(v-got[1][i])*(v-got[1][i])
			}
			if db := 10 * math.Log10(signal/noise); db < 35 || noise == 0 {
				t.Errorf("%+v %v: %.1f dB on bytes", c, shape, db)
			}
		}
	}
}
