package main

/*
#include <string.h>

#define NARROW_CONST
#include "narrow.h"
*/
import "C"

import (
	"context"
	"encoding/json"
	"fmt"
	"unsafe"

	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/tensor"
)

// session is a model that can be run.
type session struct {
	graph *graph.Graph
	net   *engine.Net
}

//export narrow_session_open
func narrow_session_open(path *C.char, threads C.int, out *C.narrow_handle) C.int {
	return call(func() error {
		name := text(path, "path")
		g, err := onnx.ReadFile(name)
		if err != nil {
			return err
		}
		net, err := engine.Compile(g, engine.WithThreads(int(threads)))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return newHandle(&session{g, net}, out)
	})
}

//export narrow_session_run
func narrow_session_run(handle C.narrow_handle, inputs *C.narrow_tensor, inputCount C.size_t, outputs *C.narrow_tensor, outputCount C.size_t) C.int {
	return call(func() error {
		s := value[*session](handle)
		given := slice[C.narrow_tensor](unsafe.Pointer(inputs), inputCount)
		in := make([]*tensor.Tensor, len(given))
		for i := range given {
			in[i] = tensorAt(i, &given[i])
		}
		wanted := slice[C.narrow_tensor](unsafe.Pointer(outputs), outputCount)
		if len(wanted) != len(s.graph.Outputs) {
			return argument("%d outputs for a model of %d", outputCount, len(s.graph.Outputs))
		}
		out, err := s.net.Run(context.Background(), in...)
		if err != nil {
			return err
		}
		return writeOutputs(wanted, out)
	})
}

// dtypes maps ONNX's numbers of element types to tensor's.
var dtypes = map[C.int32_t]tensor.DType{
	C.NARROW_FLOAT32: tensor.Float32, C.NARROW_UINT8: tensor.Uint8, C.NARROW_INT8: tensor.Int8, C.NARROW_UINT16: tensor.Uint16,
	C.NARROW_INT16: tensor.Int16, C.NARROW_INT32: tensor.Int32, C.NARROW_INT64: tensor.Int64, C.NARROW_BOOL: tensor.Bool,
	C.NARROW_FLOAT16: tensor.Float16, C.NARROW_FLOAT64: tensor.Float64, C.NARROW_UINT32: tensor.Uint32, C.NARROW_UINT64: tensor.Uint64,
}

// tensorAt returns input i over C's memory.
func tensorAt(i int, t *C.narrow_tensor) *tensor.Tensor {
	dtype, ok := dtypes[t.dtype]
	if !ok || t.rank < 0 || t.rank > C.NARROW_MAX_RANK {
		panic(argument("input %d: element type %d with %d dimensions", i, t.dtype, t.rank))
	}
	shape := make([]int, t.rank)
	for d := range shape {
		shape[d] = int(t.shape[d])
	}
	n, ok := tensor.CheckedVolume(shape)
	if !ok || uint64(n)*uint64(dtype.Size()) != uint64(t.bytes) {
		panic(argument("input %d: shape %v of %s in %d bytes", i, shape, dtype, t.bytes))
	}
	return over(dtype, t.data, shape, n)
}

func over(dtype tensor.DType, p unsafe.Pointer, shape []int, n int) *tensor.Tensor {
	switch dtype {
	case tensor.Float32:
		return from[float32](p, shape, n)
	case tensor.Float64:
		return from[float64](p, shape, n)
	case tensor.Float16:
		return from[tensor.Half](p, shape, n)
	case tensor.Uint8:
		return from[uint8](p, shape, n)
	case tensor.Int8:
		return from[int8](p, shape, n)
	case tensor.Uint16:
		return from[uint16](p, shape, n)
	case tensor.Int16:
		return from[int16](p, shape, n)
	case tensor.Uint32:
		return from[uint32](p, shape, n)
	case tensor.Int32:
		return from[int32](p, shape, n)
	case tensor.Uint64:
		return from[uint64](p, shape, n)
	case tensor.Int64:
		return from[int64](p, shape, n)
	}
	return from[bool](p, shape, n)
}

func from[T tensor.Elem](p unsafe.Pointer, shape []int, n int) *tensor.Tensor {
	return tensor.From(slice[T](p, C.size_t(n)), shape...)
}

// writeOutputs copies tensors to C's memory; without room in one of them it
// copies nothing but says what all need.
func writeOutputs(to []C.narrow_tensor, out []*tensor.Tensor) error {
	var short error
	for i, t := range out {
		number := numberOf(t.DType())
		if number == 0 || t.Rank() > C.NARROW_MAX_RANK {
			return fmt.Errorf("output %d is %s, which C does not get", i, t)
		}
		to[i].dtype, to[i].rank = number, C.int32_t(t.Rank())
		for d, n := range t.Shape() {
			to[i].shape[d] = C.int64_t(n)
		}
		if len(t.Bytes()) > int(to[i].bytes) || to[i].data == nil && t.Len() > 0 {
			short = fault{C.NARROW_SPACE, fmt.Errorf("output %d is %s, %d bytes; there is room for %d", i, t, len(t.Bytes()), to[i].bytes)}
		}
	}
	if short != nil {
		return short
	}
	for i, t := range out {
		if b := t.Bytes(); len(b) > 0 {
			C.memcpy(to[i].data, unsafe.Pointer(&b[0]), C.size_t(len(b)))
		}
	}
	return nil
}

// numberOf returns ONNX's number of an element type, 0 if C has none.
func numberOf(d tensor.DType) C.int32_t {
	for number, t := range dtypes {
		if t == d {
			return number
		}
	}
	return 0
}

// port describes an input or output.
type port struct {
	Name  string `json:"name"`
	DType int    `json:"dtype"`
	Shape []int  `json:"shape"`
}

func ports(values []*graph.Value) []port {
	all := make([]port, len(values))
	for i, v := range values {
		all[i] = port{v.Name, int(numberOf(v.Type.DType)), v.Type.Shape}
		if v.Type.Known && v.Type.Shape == nil {
			all[i].Shape = []int{}
		}
	}
	return all
}

//export narrow_describe
func narrow_describe(handle C.narrow_handle, to *C.char, capacity C.size_t, needed *C.size_t) C.int {
	return call(func() error {
		v := anyValue(handle)
		var g *graph.Graph
		switch m := v.(type) {
		case *session:
			g = m.graph
		case *quantizer:
			g = m.graph
		default:
			return argument("handle %d is no model", handle)
		}
		b, err := json.Marshal(map[string]any{"inputs": ports(g.Inputs), "outputs": ports(g.Outputs)})
		if err != nil {
			return err
		}
		return writeText(string(b), to, capacity, needed)
	})
}

// writeText copies a text with a final 0 to C's memory, if there is room, and says how much that takes.
func writeText(text string, to *C.char, capacity C.size_t, needed *C.size_t) error {
	b := append([]byte(text), 0)
	if needed != nil {
		*needed = C.size_t(len(b))
	}
	if to == nil || int(capacity) < len(b) {
		return fault{C.NARROW_SPACE, fmt.Errorf("the text takes %d bytes; there is room for %d", len(b), capacity)}
	}
	C.memcpy(unsafe.Pointer(to), unsafe.Pointer(&b[0]), C.size_t(len(b)))
	return nil
}
