package ptq

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/tensor"
)

// WeightForm is how a file holds weights that were quantized alone.
type WeightForm string

const (
	// WeightsQDQ puts a DequantizeLinear behind every weight: plain ONNX, which runs everywhere. Blocks and fewer than 8 bits
	// need operator set 21.
	WeightsQDQ WeightForm = "qdq"
	// WeightsNBits writes products as com.microsoft's MatMulNBits and embeddings as GatherBlockQuantized, which ONNX Runtime
	// computes on the packed integers; other operators as [WeightsQDQ].
	WeightsNBits WeightForm = "matmulnbits"
)

// WeightOptions say how [QuantizeWeights] works. The zero value is not valid: see [DefaultWeightOptions].
type WeightOptions struct {
	Bits      int        // of a weight: 2, 3, 4 or 8
	Block     int        // neighbouring weights of a sum that share a scale: a power of two from 16 up, or 0 for all of an output
	Symmetric bool       // no zero points
	Nearest   bool       // the scales span the weights' range; otherwise they are searched for the least squared error
	Form      WeightForm // how the file holds them
	Accuracy  int        // accuracy_level of MatMulNBits, 0 to 4: 4 lets ONNX Runtime quantize activations to 8 bits on the way
	Exclude   []string   // nodes whose weights stay in float
	Threads   int        // 0 for as many as there are processors

	// Data are inputs of the network by which weights are rounded so that the errors of a layer's results cancel
	// (compensation, in blocks); nil for none. An eighth of them is held back, on which the network must be better
	// than without, or it is left as it was.
	Data dataset.Source
}

// DefaultWeightOptions returns 8 bits with one scale for each output.
func DefaultWeightOptions() WeightOptions { return WeightOptions{Bits: 8, Form: WeightsQDQ} }

// WeightsResult is a network whose weights alone were quantized.
type WeightsResult struct {
	Graph     *graph.Graph
	Quantized int               // tensors of weights
	Float     map[string]string // tensors of weights that stayed in float, with the reason
	SQNR      float64           // of all quantized weights, dB; +Inf if nothing was lost

	Compensated int       // tensors of weights that were rounded by what they meet
	Measured    *Measured // how close the network comes on inputs held back; nil without data
}

// ErrNoWeights reports a network without weights that are worth quantizing.
var ErrNoWeights = fmt.Errorf("ptq: the network has no weights to quantize: no constant of %d elements or more that is multiplied, looked up or fed back", leastWeights)

// leastWeights is the number of elements from which a tensor is worth quantizing: of smaller ones the scales and the
// node that undoes it would take more than is saved.
const leastWeights = 512

// QuantizeWeights returns g with its weights on integers and everything else in float, as the weights are when they are read back.
// It needs no data and does not change g. Weights that several nodes read stay one tensor.
func QuantizeWeights(ctx context.Context, g *graph.Graph, o WeightOptions) (*WeightsResult, error) {
	g, err := copied(g)
	if err != nil {
		return nil, err
	}
	if err := o.check(g); err != nil {
		return nil, err
	}
	if err := onnx.Upgrade(g, o.opset()); err != nil {
		return nil, fmt.Errorf("ptq: %w", err)
	}
	nameNodes(g)
	if o.Data != nil {
		return o.onData(ctx, g)
	}
	return o.quantize(ctx, g, nil)
}

// quantize brings the weights of g, which it changes, to integers. By means of moments, where there are some, the
// errors cancel.
func (o WeightOptions) quantize(ctx context.Context, g *graph.Graph, moments map[string]*inputMoments) (*WeightsResult, error) {
	q := &weightQuantizer{WeightOptions: o, lowering: newLowering(g), moments: moments, result: &WeightsResult{Graph: g, Float: make(map[string]string)}}
	var err error
	if q.excluded, err = named(g, o.Exclude); err != nil {
		return nil, err
	}
	for _, w := range weightTensors(g) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if reason := q.reason(w); reason != "" {
			q.result.Float[w.value.Name] = reason
			continue
		}
		if err := q.tensor(w); err != nil {
			return nil, fmt.Errorf("ptq: weights %q: %w", w.value.Name, err)
		}
	}
	if q.result.Quantized == 0 {
		return nil, ErrNoWeights
	}
	q.lowering.finish()
	q.result.SQNR = 10 * math.Log10(q.signal/q.noise)
	return q.result, g.Sort()
}

// opset returns the version of the default operator set that the integers need.
func (o WeightOptions) opset() int {
	if o.Bits < 8 || o.Block > 0 {
		return 21
	}
	return 13
}

// check returns what is wrong with the options for this network.
func (o WeightOptions) check(g *graph.Graph) error {
	switch {
	case !slices.Contains([]int{2, 3, 4, 8}, o.Bits):
		return fmt.Errorf("ptq: %d-bit weights: weights alone have 2, 3, 4 or 8 bits", o.Bits)
	case o.Block != 0 && (o.Block < 16 || o.Block&(o.Block-1) != 0):
		return fmt.Errorf("ptq: blocks of %d weights: a block is a power of two from 16 up, or all weights of an output", o.Block)
	case o.Form != WeightsQDQ && o.Form != WeightsNBits:
		return fmt.Errorf("ptq: weights as %q: there are %s and %s", o.Form, WeightsQDQ, WeightsNBits)
	case o.Form == WeightsNBits && o.Bits == 3:
		return errors.New("ptq: MatMulNBits holds 2, 4 or 8 bits: write 3 bits as qdq")
	case o.Accuracy < 0 || o.Accuracy > 4:
		return fmt.Errorf("ptq: accuracy level %d: there are 0 to 4", o.Accuracy)
	}
	return nil
}

// weightQuantizer carries a quantization of weights out.
type weightQuantizer struct {
	WeightOptions
	lowering      *lowering
	result        *WeightsResult
	excluded      map[*graph.Node]bool
	moments       map[string]*inputMoments // of what tensors of weights meet, by their names
	signal, noise float64                  // of all weights so far
}

// reason returns why a tensor of weights stays in float, "" if it does not.
func (q *weightQuantizer) reason(w *weightTensor) string {
	for _, n := range w.readers {
		if q.excluded[n] {
			return "it was excluded"
		}
	}
	switch {
	case w.value.Const.Len() < leastWeights:
		return fmt.Sprintf("it has %d elements, too few to save anything", w.value.Const.Len())
	case !finite(w.value.Const):
		return "it holds an infinity or a NaN"
	}
	return ""
}

// tensor quantizes one tensor of weights and writes it in the form that was asked for.
func (q *weightQuantizer) tensor(w *weightTensor) error {
	groups := w.groups(q.Block)
	c, err := q.round(w, groups)
	if err != nil {
		return err
	}
	q.result.Quantized++
	if q.Form == WeightsNBits && q.writeNBits(w, c) {
		return nil
	}
	q.writeQDQ(w, c)
	return nil
}

// weightCodes are quantized weights: w = scale*(code-zero), by group.
type weightCodes struct {
	groups weightGroups
	shape  []int
	codes  []uint8 // of all elements, from 0
	scales []float32
	zeros  []uint8
}

// round rounds the weights of a tensor.
func (q *weightQuantizer) round(w *weightTensor, groups weightGroups) (*weightCodes, error) {
	if m := q.moments[w.value.Name]; m != nil {
		q.result.Compensated++
		return q.compensate(w, groups, m)
	}
	return q.nearest(w.value.Const, groups)
}

// nearest rounds all weights of a tensor to nearest, group by group.
func (q *weightQuantizer) nearest(t *tensor.Tensor, groups weightGroups) (*weightCodes, error) {
	values := t.Float32s()
	c := &weightCodes{groups: groups, shape: t.Shape(), codes: make([]uint8, len(values)), scales: make([]float32, groups.count()), zeros: make([]uint8, groups.count())}
	const together = 64
	tasks := (groups.count() + together - 1) / together
	errors := make([][2]float64, tasks)
	err := sideBySide(q.Threads, tasks, func(_, task int) error {
		var at []int
		var x []float32
		for s := task * together; s < min((task+1)*together, groups.count()); s++ {
			at, x = groups.members(s, at[:0]), x[:0]
			for _, i := range at {
				x = append(x, values[i])
			}
			l := q.fit(x)
			c.scales[s], c.zeros[s] = roundedScale(l.Scale, t.DType()), uint8(l.Zero)
			l.Scale = float64(c.scales[s])
			for k, i := range at {
				v := float64(x[k])
				code := l.Quantize(v)
				d := v - l.Scale*float64(code-l.Zero)
				c.codes[i] = uint8(code)
				errors[task][0] += v * v
				errors[task][1] += d * d
			}
		}
		return nil
	})
	for _, e := range errors {
		q.signal, q.noise = q.signal+e[0], q.noise+e[1]
	}
	return c, err
}

// leastHalf is the least float16 that is no denormal.
const leastHalf = 1.0 / (1 << 14)

// roundedScale returns a scale as a file of that type will hold it.
func roundedScale(s float64, d tensor.DType) float32 {
	if d == tensor.Float16 {
		return tensor.HalfFrom(float32(math.Max(s, leastHalf))).Float32()
	}
	return toScale(s)
}
