package main

/*
#define NARROW_CONST
#include "narrow.h"
*/
import "C"

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unsafe"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/ptq"
	"github.com/narrow-ml/narrow/tensor"
)

// quantizer is a model and its calibration inputs.
type quantizer struct {
	path    string
	graph   *graph.Graph
	options []ptq.Option
	shapes  [][]int     // of one sample of each input, once data are there
	data    [][]float32 // of each input
	count   int         // samples
}

// options are the fields of the JSON object.
type options struct {
	Clip           string            `json:"clip"`
	WeightBits     int               `json:"weight_bits"`
	ActBits        int               `json:"act_bits"`
	Bits           map[string][2]int `json:"bits"`
	PerChannel     bool              `json:"per_channel"`
	Signs          bool              `json:"signs"`
	Equalize       bool              `json:"equalize"`
	Compensate     bool              `json:"compensate"`
	BiasCorrection bool              `json:"bias_correction"`
	Shift          bool              `json:"shift"`
	NoRound        bool              `json:"no_round"`
	Asymmetric     bool              `json:"asymmetric"`
	Format         string            `json:"format"`
	Exclude        []string          `json:"exclude"`
	Batch          int               `json:"batch"`
	Threads        int               `json:"threads"`
}

// parseOptions reads the JSON object, "" for none.
func parseOptions(text string) ([]ptq.Option, error) {
	o := options{Clip: "mse", WeightBits: 8, ActBits: 8, PerChannel: true, Signs: true, Equalize: true, Compensate: true, Format: "qdq", Batch: 16}
	if text != "" {
		d := json.NewDecoder(strings.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(&o); err != nil {
			return nil, argument("options: %w", err)
		}
	}
	rule, err := ptq.ParseClip(o.Clip)
	if err != nil {
		return nil, argument("options: %w", err)
	}
	if o.Format != "qdq" && o.Format != "qoperator" {
		return nil, argument("options: format %q: it is qdq or qoperator", o.Format)
	}
	opts := []ptq.Option{
		ptq.WithClip(rule),
		ptq.WithBits(o.WeightBits, o.ActBits),
		ptq.WithPerChannel(o.PerChannel),
		ptq.WithSigns(o.Signs),
		ptq.WithEqualize(o.Equalize),
		ptq.WithCompensation(o.Compensate),
		ptq.WithBiasCorrection(o.BiasCorrection),
		ptq.WithShift(o.Shift),
		ptq.WithNoRound(o.NoRound),
		ptq.WithAsymmetric(o.Asymmetric),
		ptq.WithQOperator(o.Format == "qoperator"),
		ptq.WithExclude(o.Exclude...),
		ptq.WithBatch(o.Batch),
		ptq.WithThreads(o.Threads),
	}
	for node, b := range o.Bits {
		opts = append(opts, ptq.WithNodeBits(node, b[0], b[1]))
	}
	return opts, nil
}

func text(p *C.char, what string) (string, error) {
	if p == nil {
		return "", argument("the %s is null", what)
	}
	return C.GoString(p), nil
}

//export narrow_quantizer_open
func narrow_quantizer_open(path, options *C.char, out *C.narrow_handle) C.int {
	return call(func() error {
		name, err := text(path, "path")
		if err != nil {
			return err
		}
		json := ""
		if options != nil {
			json = C.GoString(options)
		}
		opts, err := parseOptions(json)
		if err != nil {
			return err
		}
		g, err := onnx.ReadFile(name)
		if err != nil {
			return err
		}
		for _, v := range g.Inputs {
			if v.Type.DType != tensor.Float32 {
				return fmt.Errorf("%s: input %q is %s; only float32 inputs can be fed", name, v.Name, v.Type.DType)
			}
		}
		n := len(g.Inputs)
		return newHandle(&quantizer{path: name, graph: g, options: opts, shapes: make([][]int, n), data: make([][]float32, n)}, out)
	})
}

//export narrow_quantizer_feed
func narrow_quantizer_feed(handle C.narrow_handle, inputs **C.float, inputCount, count C.size_t) C.int {
	return call(func() error {
		q, err := value[*quantizer](handle)
		if err != nil {
			return err
		}
		shapes := make([][]int, len(q.graph.Inputs))
		for i, v := range q.graph.Inputs {
			if !v.Type.Known || len(v.Type.Shape) == 0 {
				return argument("%s: input %q has no batch dimension: use narrow_quantizer_feed_shaped", q.path, v.Name)
			}
			shapes[i] = slices.Clone(v.Type.Shape)
			for d, n := range shapes[i] {
				if n < 0 {
					shapes[i][d] = 1
				}
			}
			shapes[i][0] = int(count)
		}
		return q.feed(inputs, inputCount, shapes)
	})
}

//export narrow_quantizer_feed_shaped
func narrow_quantizer_feed_shaped(handle C.narrow_handle, inputs **C.float, shapes **C.int64_t, ranks *C.size_t, inputCount C.size_t) C.int {
	return call(func() error {
		q, err := value[*quantizer](handle)
		if err != nil {
			return err
		}
		dims, err := slice[*int64](unsafe.Pointer(shapes), inputCount)
		if err != nil {
			return err
		}
		rank, err := slice[C.size_t](unsafe.Pointer(ranks), inputCount)
		if err != nil {
			return err
		}
		all := make([][]int, inputCount)
		for i := range all {
			if rank[i] < 1 || rank[i] > C.NARROW_MAX_RANK {
				return argument("input %d has %d dimensions", i, rank[i])
			}
			list, err := slice[int64](unsafe.Pointer(dims[i]), rank[i])
			if err != nil {
				return err
			}
			for _, n := range list {
				all[i] = append(all[i], int(n))
			}
		}
		return q.feed(inputs, inputCount, all)
	})
}

// feed copies inputs of the given shapes.
func (q *quantizer) feed(inputs **C.float, inputCount C.size_t, shapes [][]int) error {
	if int(inputCount) != len(q.graph.Inputs) {
		return argument("%s: %d inputs for a model of %d", q.path, inputCount, len(q.graph.Inputs))
	}
	pointers, err := slice[*C.float](unsafe.Pointer(inputs), inputCount)
	if err != nil {
		return err
	}
	parts := make([][]float32, len(shapes))
	for i, shape := range shapes {
		n, ok := tensor.CheckedVolume(shape)
		if !ok || shape[0] != shapes[0][0] || q.shapes[i] != nil && !slices.Equal(q.shapes[i], shape[1:]) {
			return argument("%s: input %d has shape %v; the count is %d, one input's shape was %v", q.path, i, shape, shapes[0][0], q.shapes[i])
		}
		if parts[i], err = floats(pointers[i], C.size_t(n)); err != nil {
			return err
		}
	}
	for i, shape := range shapes {
		q.shapes[i] = shape[1:]
		q.data[i] = append(q.data[i], parts[i]...)
	}
	q.count += shapes[0][0]
	return nil
}

//export narrow_quantizer_finish
func narrow_quantizer_finish(handle C.narrow_handle, path *C.char) C.int {
	return call(func() error {
		q, err := value[*quantizer](handle)
		if err != nil {
			return err
		}
		name, err := text(path, "path")
		if err != nil {
			return err
		}
		if q.count == 0 {
			return fault{C.NARROW_DATA, fmt.Errorf("%s: no calibration input was fed", q.path)}
		}
		columns := make([]*tensor.Tensor, len(q.data))
		for i, data := range q.data {
			columns[i] = tensor.From(data, append([]int{q.count}, q.shapes[i]...)...)
		}
		source, err := dataset.FromTensors(columns...)
		if err != nil {
			return err
		}
		result, err := ptq.Quantize(context.Background(), q.graph, source, q.options...)
		if err != nil {
			return fmt.Errorf("%s: %w", q.path, err)
		}
		return onnx.WriteFile(name, result.Graph)
	})
}
