package ptq_test

import (
	"context"
	"fmt"
	"log"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/ptq"
	"github.com/narrow-ml/narrow/tensor"
)

const (
	words, width, heads, keyHeads, headSize = 96, 64, 4, 2, 16
	places                                  = 32 // that rotary positions are known for
)

// decoder builds one layer of a language model of LLaMA's shape: ids and the keys and values of the places before give
// logits and the keys and values of all places.
func decoder() *graph.Graph {
	r := rand.New(rand.NewPCG(1, 7))
	weights := func(name string, shape ...int) *graph.Value {
		x := make([]float32, tensor.Volume(shape))
		for i := range x {
			x[i] = float32(r.NormFloat64() / math.Sqrt(width))
		}
		return graph.NewConst(name, tensor.From(x, shape...))
	}
	g := &graph.Graph{Opset: map[string]int{"": 23}}
	input := func(name string, d tensor.DType, shape ...int) *graph.Value {
		v := &graph.Value{Name: name, Type: op.Type{DType: d, Shape: shape, Known: true}, Dims: make([]string, len(shape))}
		for i, n := range shape {
			if n == op.Unknown {
				v.Dims[i] = fmt.Sprint(name, i)
			}
		}
		g.Inputs = append(g.Inputs, v)
		return v
	}
	ids, positions := input("ids", tensor.Int64, 1, op.Unknown), input("positions", tensor.Int64, 1, op.Unknown)
	keys := input("past_keys", tensor.Float32, 1, keyHeads, op.Unknown, headSize)
	values := input("past_values", tensor.Float32, 1, keyHeads, op.Unknown, headSize)
	var turns [2][]float32
	for i := range places * headSize / 2 {
		angle := float64(i/(headSize/2)) * math.Pow(10000, -float64(i%(headSize/2))*2/headSize)
		turns[0], turns[1] = append(turns[0], float32(math.Cos(angle))), append(turns[1], float32(math.Sin(angle)))
	}
	cos := graph.NewConst("cos", tensor.From(turns[0], places, headSize/2))
	sin := graph.NewConst("sin", tensor.From(turns[1], places, headSize/2))
	norm := func(name string, x *graph.Value) *graph.Value {
		return g.New(name, "RMSNormalization", op.Attrs{"axis": int64(-1)}, x, weights(name+"_scale", width))
	}
	product := func(name string, x *graph.Value, rows, columns int) *graph.Value {
		return g.New(name, "MatMul", nil, x, weights(name+"_weights", rows, columns))
	}
	turned := func(x *graph.Value, count int) *graph.Value {
		return g.New(x.Name+"_turned", "RotaryEmbedding", op.Attrs{"num_heads": int64(count)}, x, cos, sin, positions)
	}
	x := g.New("embedded", "Gather", nil, weights("table", words, width), ids)
	n := norm("norm1", x)
	q := turned(product("q", n, width, heads*headSize), heads)
	k := turned(product("k", n, width, keyHeads*headSize), keyHeads)
	v := product("v", n, width, keyHeads*headSize)
	a := g.New("attended", "Attention", op.Attrs{"q_num_heads": int64(heads), "kv_num_heads": int64(keyHeads), "is_causal": int64(1)}, q, k, v, nil, keys, values)
	allKeys, allValues := &graph.Value{Name: "keys", Node: a.Node}, &graph.Value{Name: "values", Node: a.Node}
	a.Node.Outputs = append(a.Node.Outputs, allKeys, allValues)
	x = g.New("after", "Add", nil, x, product("o", a, heads*headSize, width))
	n = norm("norm2", x)
	gate := product("gate", n, width, 2*width)
	gate = g.New("silu", "Mul", nil, gate, g.New("sigmoid", "Sigmoid", nil, gate))
	x = g.New("out", "Add", nil, x, product("down", g.New("gated", "Mul", nil, gate, product("up", n, width, 2*width)), 2*width, width))
	g.Outputs = []*graph.Value{product("logits", norm("norm3", x), width, words), allKeys, allValues}
	return g
}

// speak runs a network token by token: after the prompt it is given the word that was the likeliest.
func speak(net *engine.Net, prompt []int64, count int) ([]int64, error) {
	past := []*tensor.Tensor{tensor.New(tensor.Float32, 1, keyHeads, 0, headSize), tensor.New(tensor.Float32, 1, keyHeads, 0, headSize)}
	var said []int64
	for at := int64(0); len(said) < count; {
		positions := make([]int64, len(prompt))
		for i := range positions {
			positions[i] = at + int64(i)
		}
		y, err := net.Run(context.Background(), tensor.From(prompt, 1, len(prompt)), tensor.From(positions, 1, len(prompt)), past[0], past[1])
		if err != nil {
			return nil, err
		}
		logits := y[0].F32()[(len(prompt)-1)*words:]
		best := 0
		for i, v := range logits {
			if v > logits[best] {
				best = i
			}
		}
		at += int64(len(prompt))
		prompt, past = []int64{int64(best)}, y[1:]
		said = append(said, int64(best))
	}
	return said, nil
}

// A decoder's weights become 8-bit integers in blocks, which needs no data, and it runs token by token with the keys and values of the places before.
func ExampleQuantizeWeights_decoder() {
	g := decoder()
	options := ptq.DefaultWeightOptions()
	options.Bits, options.Block, options.Form, options.Accuracy = 8, 32, ptq.WeightsNBits, 4
	q, err := ptq.QuantizeWeights(context.Background(), g, options)
	if err != nil {
		log.Fatal(err)
	}
	var said [2][]int64
	for i, g := range []*graph.Graph{g, q.Graph} {
		net, err := engine.Compile(g)
		if err != nil {
			log.Fatal(err)
		}
		if said[i], err = speak(net, []int64{1, 5, 42}, 12); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(q.Quantized, "tensors of weights on integers")
	fmt.Println(len(said[1]), "words said, the same as in float:", slices.Equal(said[0], said[1]))
	// Output:
	// 9 tensors of weights on integers
	// 12 words said, the same as in float: true
}
