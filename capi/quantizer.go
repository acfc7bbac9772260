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
	"maps"
	"slices"
	"strings"
	"unsafe"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/ptq"
	"github.com/narrow-ml/narrow/tensor"
)

// quantizer is a model that is fed with calibration inputs.
type quantizer struct {
	path  string
	graph *graph.Graph
	*ptq.Quantizer
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
	SaturationSafe bool              `json:"saturation_safe"`
	Shift          bool              `json:"shift"`
	NoRound        bool              `json:"no_round"`
	Asymmetric     *bool             `json:"asymmetric"` // nil for where it helps
	Format         string            `json:"format"`
	Exclude        []string          `json:"exclude"`
	Batch          int               `json:"batch"`
	Threads        int               `json:"threads"`
}

// parseOptions reads the JSON object, "" for none.
func parseOptions(text string) ([]ptq.Option, error) {
	o := options{Clip: "mse", WeightBits: 8, ActBits: 8, PerChannel: true, Signs: true, Equalize: true, Compensate: true, SaturationSafe: true, Format: "qdq", Batch: 16}
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
		ptq.WithSaturationSafe(o.SaturationSafe),
		ptq.WithShift(o.Shift),
		ptq.WithNoRound(o.NoRound),
		ptq.WithQOperator(o.Format == "qoperator"),
		ptq.WithExclude(o.Exclude...),
		ptq.WithBatch(o.Batch),
		ptq.WithThreads(o.Threads),
	}
	if o.Asymmetric != nil {
		opts = append(opts, ptq.WithAsymmetric(*o.Asymmetric))
	}
	for _, node := range slices.Sorted(maps.Keys(o.Bits)) {
		opts = append(opts, ptq.WithNodeBits(node, o.Bits[node][0], o.Bits[node][1]))
	}
	return opts, nil
}

//export narrow_quantizer_open
func narrow_quantizer_open(path, options *C.char, out *C.narrow_handle) C.int {
	return call(func() error {
		name := text(path, "path")
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
		q := &quantizer{name, g, ptq.NewQuantizer(context.Background(), g, opts...)}
		if err := newHandle(q, out); err != nil {
			q.Close()
			return err
		}
		return nil
	})
}

//export narrow_quantizer_feed
func narrow_quantizer_feed(handle C.narrow_handle, inputs **C.float, inputCount, count C.size_t) C.int {
	return call(func() error {
		q := value[*quantizer](handle)
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
		q := value[*quantizer](handle)
		dims := slice[*int64](unsafe.Pointer(shapes), inputCount)
		rank := slice[C.size_t](unsafe.Pointer(ranks), inputCount)
		all := make([][]int, inputCount)
		for i := range all {
			if rank[i] < 1 || rank[i] > C.NARROW_MAX_RANK {
				return argument("input %d has %d dimensions", i, rank[i])
			}
			for _, n := range slice[int64](unsafe.Pointer(dims[i]), rank[i]) {
				all[i] = append(all[i], int(n))
			}
		}
		return q.feed(inputs, inputCount, all)
	})
}

// feed hands over inputs of the given shapes, which are copied.
func (q *quantizer) feed(inputs **C.float, inputCount C.size_t, shapes [][]int) error {
	if int(inputCount) != len(q.graph.Inputs) {
		return argument("%s: %d inputs for a model of %d", q.path, inputCount, len(q.graph.Inputs))
	}
	pointers := slice[*C.float](unsafe.Pointer(inputs), inputCount)
	batch := make([]*tensor.Tensor, len(shapes))
	for i, shape := range shapes {
		n, ok := tensor.CheckedVolume(shape)
		if !ok {
			return argument("%s: input %d has shape %v", q.path, i, shape)
		}
		batch[i] = from[float32](unsafe.Pointer(pointers[i]), shape, n)
	}
	if err := q.Feed(batch...); err != nil {
		return fmt.Errorf("%s: %w", q.path, err)
	}
	return nil
}

//export narrow_quantizer_finish
func narrow_quantizer_finish(handle C.narrow_handle, path *C.char) C.int {
	return call(func() error {
		q := value[*quantizer](handle)
		name := text(path, "path")
		result, err := q.Finish()
		if err != nil {
			return fmt.Errorf("%s: %w", q.path, err)
		}
		return onnx.WriteFile(name, result.Graph)
	})
}
