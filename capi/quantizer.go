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
	"io"
	"math"
	"os"
	"path/filepath"
	"unsafe"

	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/internal/atomicfile"
	"github.com/narrow-ml/narrow/internal/option"
	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/ptq"
	"github.com/narrow-ml/narrow/report"
	"github.com/narrow-ml/narrow/tensor"
)

// quantizer is a model that is fed with calibration inputs.
type quantizer struct {
	path    string
	written string // where finish has written the result last
	graph   *graph.Graph
	*ptq.Quantizer
}

// parseOptions reads the JSON object, "" for none: the choices that the command's flags make as well, and how the work is done.
func parseOptions(text string) ([]ptq.Option, error) {
	var choices option.Set
	flags := choices.Flags()
	batch := flags.Int("batch", 16, "")
	threads := flags.Int("threads", 0, "")
	if text != "" {
		if err := option.FromJSON(flags, text); err != nil {
			return nil, argument("options: %w", err)
		}
	}
	choices.Seen(flags)
	opts, err := choices.Options()
	if err != nil {
		return nil, argument("options: %w", err)
	}
	return append(opts, ptq.WithBatch(*batch), ptq.WithThreads(*threads)), nil
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
		q := &quantizer{path: name, graph: g, Quantizer: ptq.NewQuantizer(context.Background(), g, opts...)}
		if err := newHandle(q, out); err != nil {
			q.Close()
			return err
		}
		return nil
	})
}

//export narrow_quantizer_feed
func narrow_quantizer_feed(handle C.narrow_handle, inputs *C.narrow_tensor, inputCount C.size_t) C.int {
	return call(func() error {
		q := value[*quantizer](handle)
		given := slice[C.narrow_tensor](unsafe.Pointer(inputs), inputCount)
		if len(given) != len(q.graph.Inputs) {
			return argument("%s: %d inputs for a model of %d", q.path, inputCount, len(q.graph.Inputs))
		}
		batch := make([]*tensor.Tensor, len(given))
		for i, v := range q.graph.Inputs {
			batch[i] = tensorAt(i, &given[i])
			if !fits(batch[i], v.Type) {
				return fault{C.NARROW_DATA, fmt.Errorf("%s: %s for input %q, which is %s%v", q.path, batch[i], v.Name, v.Type.DType, v.Type.Shape)}
			}
		}
		if err := q.Feed(batch...); err != nil {
			return fmt.Errorf("%s: %w", q.path, err)
		}
		return nil
	})
}

// fits reports whether a batch of any size is of a type.
func fits(t *tensor.Tensor, want op.Type) bool {
	if !want.Known {
		return true
	}
	shape := t.Shape()
	if t.DType() != want.DType || len(shape) != len(want.Shape) || len(shape) == 0 {
		return false
	}
	for d, n := range want.Shape[1:] {
		if n >= 0 && n != shape[d+1] {
			return false
		}
	}
	return true
}

// result returns the network made with what was fed; errors name the file.
func (q *quantizer) result() (*ptq.Result, error) {
	result, err := q.Finish()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", q.path, err)
	}
	return result, nil
}

//export narrow_quantizer_finish
func narrow_quantizer_finish(handle C.narrow_handle, path *C.char) C.int {
	return call(func() error {
		q := value[*quantizer](handle)
		name := text(path, "path")
		result, err := q.result()
		if err != nil {
			return err
		}
		if err := onnx.WriteFile(name, result.Graph); err != nil {
			return err
		}
		q.written = name
		return nil
	})
}

//export narrow_quantizer_result
func narrow_quantizer_result(handle C.narrow_handle, to *C.char, capacity C.size_t, needed *C.size_t) C.int {
	return call(func() error {
		q := value[*quantizer](handle)
		result, err := q.result()
		if err != nil {
			return err
		}
		b, err := json.Marshal(report.Summarize(result))
		if err != nil {
			return err
		}
		return writeText(string(b), to, capacity, needed)
	})
}

//export narrow_quantizer_report
func narrow_quantizer_report(handle C.narrow_handle, path *C.char) C.int {
	return call(func() error {
		q := value[*quantizer](handle)
		name := text(path, "path")
		result, err := q.result()
		if err != nil {
			return err
		}
		page := report.Page{
			Model: filepath.Base(q.path), Output: filepath.Base(q.written), ModelSize: fileSize(q.path), OutputSize: fileSize(q.written),
			Inputs: q.Seen(), Agreement: math.NaN(), SQNR: math.NaN(), Result: &result.Report, Tier: asm.Active().String(), Version: C.GoString(C.narrow_version()),
		}
		if m := result.Measured; m != nil {
			page.Measured, page.Agreement, page.SQNR = m.Inputs, m.Agreement, m.SQNR
		}
		return atomicfile.Write(name, func(w io.Writer) error { return report.WriteHTML(w, page) })
	})
}

// fileSize returns the size of a file, 0 if it is not there.
func fileSize(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}
