package onnx

import (
	"fmt"
	"slices"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// steps says, for each version of the operator set, which operators changed in
// a way that an older node does not fit, and how it is rewritten. Changes that
// only add (types, optional inputs, attributes with the old meaning as their
// default) need no step.
var steps = map[int]map[string]step{
	9: {
		"BatchNormalization": dropSpatial,
		"Upsample":           upsampleScales,
	},
	10: {
		"Slice":    sliceInputs,
		"TopK":     topKInput,
		"Upsample": upsampleToResize,
	},
	11: {
		"Clip":    together(floatToInput("min", 1), floatToInput("max", 2)),
		"Pad":     padInputs,
		"Resize":  resizeToOpset11,
		"Scatter": rename("ScatterElements"),
	},
	12: {
		"Dropout": floatToInput("ratio", 1),
	},
	13: {
		"Squeeze":    intsToInput("axes", 1),
		"Unsqueeze":  intsToInput("axes", 1),
		"ReduceSum":  intsToInput("axes", 1),
		"Split":      intsToInput("split", 1),
		"Softmax":    softmaxToOpset13,
		"LogSoftmax": softmaxToOpset13,
		"Hardmax":    softmaxToOpset13,
		"Resize":     dropEmptyInputs,
	},
	14: {
		"BatchNormalization": inferenceOutputs,
	},
	16: {
		"RoiAlign": defaultTo("coordinate_transformation_mode", "output_half_pixel"),
	},
	18: {
		"ReduceL1":        intsToInput("axes", 1),
		"ReduceL2":        intsToInput("axes", 1),
		"ReduceLogSum":    intsToInput("axes", 1),
		"ReduceLogSumExp": intsToInput("axes", 1),
		"ReduceMax":       intsToInput("axes", 1),
		"ReduceMean":      intsToInput("axes", 1),
		"ReduceMin":       intsToInput("axes", 1),
		"ReduceProd":      intsToInput("axes", 1),
		"ReduceSumSquare": intsToInput("axes", 1),
		"Split":           splitCount,
	},
	20: {
		"GridSample": gridSampleModes,
		"DFT":        dftAxis,
	},
	21: {
		"GroupNormalization": groupNormPerChannel,
	},
}

func rename(operator string) step {
	return func(_ *upgrader, n *graph.Node) error {
		n.Op = operator
		return nil
	}
}

// defaultTo writes out a default that changed.
func defaultTo(attr, value string) step {
	return func(_ *upgrader, n *graph.Node) error {
		if !n.Attrs.Has(attr) {
			n.Attrs[attr] = value
		}
		return nil
	}
}

func dropSpatial(_ *upgrader, n *graph.Node) error {
	if n.Attrs.Int("spatial", 1) != 1 {
		return fmt.Errorf("spatial = 0 is %w", ErrUnsupported)
	}
	delete(n.Attrs, "spatial")
	return nil
}

func inferenceOutputs(_ *upgrader, n *graph.Node) error {
	if slices.ContainsFunc(n.Outputs[1:], func(v *graph.Value) bool { return v != nil }) {
		return fmt.Errorf("outputs for training are %w", ErrUnsupported)
	}
	n.Outputs = n.Outputs[:1]
	return nil
}

func upsampleScales(u *upgrader, n *graph.Node) error {
	scales := n.Attrs.Floats("scales")
	if scales == nil {
		return fmt.Errorf("attribute scales is missing: %w", ErrFormat)
	}
	u.setInput(n, 1, "scales", tensor.From(scales, len(scales)))
	delete(n.Attrs, "scales")
	return nil
}

// upsampleToResize: Resize of version 10 means what Upsample did.
func upsampleToResize(_ *upgrader, n *graph.Node) error {
	n.Op = "Resize"
	return nil
}

// resizeToOpset11 writes out what Resize meant before its modes came. The
// region of interest, which only another mode reads, must be there until 13.
func resizeToOpset11(u *upgrader, n *graph.Node) error {
	n.Inputs = []*graph.Value{n.In(0), nil, n.In(1)}
	u.setInput(n, 1, "roi", tensor.From([]float32{}, 0))
	n.Attrs["coordinate_transformation_mode"] = "asymmetric"
	n.Attrs["nearest_mode"] = "floor"
	return nil
}

// dropEmptyInputs omits roi, scales and sizes that are empty tensors, which
// stood for omitted ones.
func dropEmptyInputs(_ *upgrader, n *graph.Node) error {
	for i, v := range n.Inputs {
		if v.IsConst() && v.Const.Len() == 0 {
			n.Inputs[i] = nil
		}
	}
	return nil
}

func sliceInputs(u *upgrader, n *graph.Node) error {
	for i, name := range []string{"starts", "ends", "axes"} {
		if v, ok := n.Attrs[name].([]int64); ok {
			u.setInput(n, 1+i, name, tensor.From(v, len(v)))
			delete(n.Attrs, name)
		} else if name != "axes" {
			return fmt.Errorf("attribute %s is missing: %w", name, ErrFormat)
		}
	}
	return nil
}

func topKInput(u *upgrader, n *graph.Node) error {
	k, ok := n.Attrs["k"].(int64)
	if !ok {
		return fmt.Errorf("attribute k is missing: %w", ErrFormat)
	}
	u.setInput(n, 1, "k", tensor.From([]int64{k}, 1))
	delete(n.Attrs, "k")
	return nil
}

func padInputs(u *upgrader, n *graph.Node) error {
	if !n.Attrs.Has("pads") {
		return fmt.Errorf("attribute pads is missing: %w", ErrFormat)
	}
	return together(intsToInput("pads", 1), floatToInput("value", 2))(u, n)
}

// softmaxToOpset13: before, the input was flattened to a matrix at the axis
// (1 by default); now the axis (the last by default) is all that counts.
func softmaxToOpset13(u *upgrader, n *graph.Node) error {
	axis := n.Attrs.Int("axis", 1)
	x := n.In(0)
	if x == nil {
		return fmt.Errorf("input is missing: %w", ErrFormat)
	}
	if same, ok := sameSoftmaxAxis(x.Type, axis); ok {
		n.Attrs["axis"] = int64(same)
		return nil
	}
	// Flatten, Softmax along the rows, and back to the shape.
	flat := u.insert(n, "flat", "Flatten", op.Attrs{"axis": int64(axis)}, x)
	rows := u.insert(n, "rows", n.Op, op.Attrs{"axis": int64(-1)}, flat)
	shape := u.insert(n, "shape", "Shape", nil, x)
	n.Op, n.Attrs = "Reshape", op.Attrs{}
	n.Inputs = []*graph.Value{rows, shape}
	return nil
}

// sameSoftmaxAxis returns the one axis that a flattened softmax amounts to, if
// all others behind the given one are 1.
func sameSoftmaxAxis(t op.Type, axis int) (int, bool) {
	rank := len(t.Shape)
	if axis < 0 {
		axis += rank
	}
	if !t.Known || axis < 0 || axis >= rank {
		return 0, false
	}
	long := axis
	wide := 0
	for i := axis; i < rank; i++ {
		if t.Shape[i] != 1 {
			long = i
			wide++
		}
	}
	return long, wide <= 1
}

// splitCount: a Split in equal parts must say in how many.
func splitCount(_ *upgrader, n *graph.Node) error {
	if n.In(1) == nil {
		n.Attrs["num_outputs"] = int64(len(n.Outputs))
	}
	return nil
}

func gridSampleModes(_ *upgrader, n *graph.Node) error {
	switch n.Attrs.String("mode", "bilinear") {
	case "bilinear":
		n.Attrs["mode"] = "linear"
	case "bicubic":
		n.Attrs["mode"] = "cubic"
	}
	return nil
}

func dftAxis(u *upgrader, n *graph.Node) error {
	axis := int64(n.Attrs.Int("axis", 1))
	delete(n.Attrs, "axis")
	u.setInput(n, 2, "axis", tensor.Scalar(axis))
	return nil
}

// groupNormPerChannel: scale and bias had an element for each group, now one
// for each channel.
func groupNormPerChannel(u *upgrader, n *graph.Node) error {
	groups := n.Attrs.Int("num_groups", 0)
	x := n.In(0)
	if groups < 1 || x == nil || len(x.Type.Shape) < 2 || x.Type.Shape[1] < 1 || x.Type.Shape[1]%groups != 0 {
		return fmt.Errorf("a number of channels that is not known is %w", ErrUnsupported)
	}
	each := x.Type.Shape[1] / groups
	if each == 1 {
		return nil
	}
	for i := 1; i <= 2; i++ {
		v := n.In(i)
		if !v.IsConst() || v.Const.DType() != tensor.Float32 || v.Const.Len() != groups {
			return fmt.Errorf("scale or bias that is not a float32 constant is %w", ErrUnsupported)
		}
		wide := make([]float32, 0, groups*each)
		for _, f := range v.Const.F32() {
			wide = append(wide, slices.Repeat([]float32{f}, each)...)
		}
		u.setInput(n, i, fmt.Sprintf("channels%d", i), tensor.From(wide, len(wide)))
	}
	return nil
}
