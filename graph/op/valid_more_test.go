package op

import (
	"math/rand/v2"

	"github.com/narrow-ml/narrow/tensor"
)

// moreCalls makes calls of rows that [TestTraitsHold] could not check otherwise.
var moreCalls = map[string]valid{
	"CenterCropPad": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		return Attrs{"axes": []int64{1, 2}}, []*tensor.Tensor{normal(r, dims(r, 3, 2, 4)...), ints(between(r, 1, 5), between(r, 1, 5))}
	},
	"Compress": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		return Attrs{"axis": int64(1)}, []*tensor.Tensor{normal(r, 3, 3), tensor.From([]bool{r.IntN(2) == 0, true, false}, 3)}
	},
	"DepthToSpace": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		return Attrs{"blocksize": int64(2), "mode": pick(r, []string{"DCR", "CRD"})}, []*tensor.Tensor{normal(r, between(r, 1, 3), 4, 2, 3)}
	},
	"SpaceToDepth": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		return Attrs{"blocksize": int64(2), "mode": pick(r, []string{"DCR", "CRD"})}, []*tensor.Tensor{normal(r, between(r, 1, 3), 2, 4, 2)}
	},
	"Expand": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		return nil, []*tensor.Tensor{normal(r, between(r, 1, 3), 1, 3), ints(1, between(r, 1, 4), 1)}
	},
	"Tile": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		return nil, []*tensor.Tensor{normal(r, dims(r, 3, 1, 3)...), ints(between(r, 1, 2), between(r, 1, 3), between(r, 1, 3))}
	},
	"Reshape": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		return nil, []*tensor.Tensor{normal(r, between(r, 1, 3), 2, 3), ints(0, pick(r, []int{6, -1}))}
	},
	"Unsqueeze": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		return nil, []*tensor.Tensor{normal(r, dims(r, 2, 1, 4)...), ints(between(r, 0, 2))}
	},
	"Upsample": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		return Attrs{"mode": pick(r, []string{"nearest", "linear"})}, []*tensor.Tensor{normal(r, image(r)...), tensor.From([]float32{1, 1, 2, 2}, 4)}
	},
	"MaxUnpool": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		return Attrs{"kernel_shape": []int64{2, 2}, "strides": []int64{2, 2}}, []*tensor.Tensor{normal(r, 1, 1, 2, 2), tensor.From([]int64{0, 3, 9, 14}, 1, 1, 2, 2)}
	},
	"ReverseSequence": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		return Attrs{"batch_axis": int64(0), "time_axis": int64(1)}, []*tensor.Tensor{normal(r, 2, 4, 2), ints(between(r, 1, 4), between(r, 1, 4))}
	},
	"Scatter": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		return Attrs{"axis": int64(1)}, []*tensor.Tensor{normal(r, 2, 4), tensor.From([]int64{int64(r.IntN(4)), 0}, 2, 1), normal(r, 2, 1)}
	},
	"Col2Im": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		return nil, []*tensor.Tensor{normal(r, between(r, 1, 3), 8, 4), ints(3, 3), ints(2, 2)}
	},
	"Concat": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		n := between(r, 1, 3)
		return Attrs{"axis": int64(1)}, []*tensor.Tensor{normal(r, n, 2, 3), normal(r, n, between(r, 1, 3), 3)}
	},
	"CumProd": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		return Attrs{"reverse": int64(r.IntN(2))}, []*tensor.Tensor{normal(r, 3, 4), tensor.Scalar(int64(1))}
	},
	"Where": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		return nil, []*tensor.Tensor{tensor.From([]bool{true, false, r.IntN(2) == 0}, 3), normal(r, 2, 3), normal(r, 2, 3)}
	},
	"RotaryEmbedding": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		n := between(r, 1, 3)
		return Attrs{"interleaved": int64(r.IntN(2))}, []*tensor.Tensor{normal(r, n, 2, 3, 4), normal(r, n, 3, 2), normal(r, n, 3, 2)}
	},
	"Attention": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		n := between(r, 1, 3)
		return Attrs{"is_causal": int64(r.IntN(2))}, []*tensor.Tensor{normal(r, n, 4, 3, 2), normal(r, n, 2, 5, 2), normal(r, n, 2, 5, 3)}
	},
	"LinearAttention": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		n := between(r, 1, 3)
		return Attrs{"q_num_heads": int64(2), "kv_num_heads": int64(1), "update_rule": "linear"}, []*tensor.Tensor{normal(r, n, 3, 4), normal(r, n, 3, 2), normal(r, n, 3, 3)}
	},
	"CausalConvWithState": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		return nil, []*tensor.Tensor{normal(r, between(r, 1, 3), 2, 5), normal(r, 2, 1, 3)}
	},
	"GridSample": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		n := between(r, 1, 3)
		return Attrs{"mode": pick(r, []string{"linear", "nearest", "cubic"}), "padding_mode": pick(r, []string{"zeros", "border", "reflection"})},
			[]*tensor.Tensor{normal(r, n, 2, 3, 4), normal(r, n, 2, 3, 2)}
	},
	"DFT": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		return Attrs{"onesided": int64(r.IntN(2))}, []*tensor.Tensor{normal(r, between(r, 1, 3), between(r, 2, 9), 1)}
	},
	"STFT": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		return nil, []*tensor.Tensor{normal(r, between(r, 1, 3), 16, 1), tensor.Scalar(int64(between(r, 1, 4))), normal(r, 8)}
	},
	"RoiAlign": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		return Attrs{"mode": pick(r, []string{"avg", "max"}), "output_height": int64(2), "output_width": int64(between(r, 1, 3))},
			[]*tensor.Tensor{normal(r, 2, 2, 5, 6), tensor.From([]float32{0, 0, 4, 3, 1, 1.5, 5, 4}, 2, 4), ints(0, 1)}
	},
	"NegativeLogLikelihoodLoss": func(r *rand.Rand) (Attrs, []*tensor.Tensor) {
		n := between(r, 1, 3)
		return Attrs{"reduction": "none"}, []*tensor.Tensor{normal(r, n, 3, 2), tensor.From(list(dims(r, 2*n, 0, 2)), n, 2)}
	},
}
