package op

import (
	"math"
	"strconv"
	"strings"

	"github.com/narrow-ml/narrow/tensor"
)

var _ = register(
	spec{name: "Cast", min: 1, infer: inferCast, run: runCast, anyType: true}.is(perElement),
	spec{name: "CastLike", min: 2, infer: inferCastLike, run: runCast, anyType: true}.is(perElement, inputs(Data, Index)),
	spec{name: "BitCast", min: 1, infer: inferBitCast, run: runBitCast, anyType: true}.is(perElement),
)

func inferBitCast(c *Call) error {
	to, ok := fileTypes[c.Attrs.Int("to", 0)]
	x := c.Types[0].DType
	if !ok || to == tensor.String || x != tensor.Undefined && (x == tensor.String || x.Size() != to.Size() || x.Packed() != to.Packed()) {
		return badAttr("to: the bits of %s cannot be those of element type %d", x, c.Attrs.Int("to", 0))
	}
	c.OutType[0] = c.Types[0]
	c.OutType[0].DType = to
	return nil
}

func runBitCast(c *Call) error {
	copy(c.out(0).Bytes(), c.In[0].Bytes())
	return nil
}

func inferCast(c *Call) error {
	if err := c.Attrs.Require("to"); err != nil {
		return err
	}
	to, ok := fileTypes[c.Attrs.Int("to", 0)]
	if !ok {
		return badAttr("to: element type %d is not supported", c.Attrs.Int("to", 0))
	}
	c.OutType[0] = c.Types[0]
	c.OutType[0].DType = to
	return nil
}

func inferCastLike(c *Call) error {
	c.OutType[0] = c.Types[0]
	c.OutType[0].DType = c.Types[1].DType
	return nil
}

func runCast(c *Call) error {
	x, to := c.In[0], c.OutType[0].DType
	if x.DType() == to {
		c.Out[0] = x
		return nil
	}
	if x.DType() == tensor.String {
		y, err := parseNumbers(x, to)
		c.Out[0] = y
		return err
	}
	if to.IsMini() {
		c.Out[0] = toMini(c, x, to)
		return nil
	}
	c.Out[0] = convert(x, to)
	return nil
}

// toMini rounds to a float of 8 bits or less.
func toMini(c *Call, x *tensor.Tensor, to tensor.DType) *tensor.Tensor {
	saturate := c.Attrs.Int("saturate", 1) != 0
	r := map[string]tensor.Rounding{"down": tensor.RoundDown, "nearest": tensor.RoundNearest}[c.Attrs.String("round_mode", "up")]
	y := tensor.New(to, x.Shape()...)
	bits := y.Bytes()
	for i, v := range x.Float64s() {
		bits[i] = tensor.MiniFrom(to, v, saturate, r)
	}
	return y
}

// fileTypes maps the numbers of element types in ONNX files to ours.
var fileTypes = map[int]tensor.DType{
	1: tensor.Float32, 2: tensor.Uint8, 3: tensor.Int8, 4: tensor.Uint16, 5: tensor.Int16, 6: tensor.Int32,
	7: tensor.Int64, 8: tensor.String, 9: tensor.Bool, 10: tensor.Float16, 11: tensor.Float64, 12: tensor.Uint32,
	13: tensor.Uint64, 16: tensor.BFloat16, 17: tensor.Float8E4M3FN, 18: tensor.Float8E4M3FNUZ, 19: tensor.Float8E5M2,
	20: tensor.Float8E5M2FNUZ, 21: tensor.Uint4, 22: tensor.Int4, 23: tensor.Float4E2M1, 24: tensor.Float8E8M0, 25: tensor.Uint2, 26: tensor.Int2,
}

// convert returns a copy of t with another element type. Floats become
// integers by truncation, saturating, NaN giving 0: the same on every machine.
// Integers of another width wrap, as in C, and so do floats on their way to 4 or 2 bits.
func convert(t *tensor.Tensor, to tensor.DType) *tensor.Tensor {
	out := tensor.New(to, t.Shape()...)
	switch {
	case to == tensor.String:
		formatNumbers(out, t)
	case t.DType().IsInteger() && to.IsInteger():
		setInts(out, ints64(t))
	case to.IsInteger() && to.Packed() > 1:
		setInts(out, mapSlice(t.Float64s(), saturate[int64, float64]))
	case t.DType() == tensor.Float32 && isHalf(to):
		setFloats(out, t.F32())
	default:
		setFloats(out, t.Float64s())
	}
	return out
}

// ints64 returns the elements of an integer tensor; large uint64 wrap.
func ints64(t *tensor.Tensor) []int64 {
	switch t.DType() {
	case tensor.Int64:
		return t.I64()
	case tensor.Uint64:
		return mapSlice(tensor.Data[uint64](t), func(v uint64) int64 { return int64(v) })
	}
	return mapSlice(t.Ints(), func(v int) int64 { return int64(v) })
}

func mapSlice[T, U any](in []T, f func(T) U) []U {
	out := make([]U, len(in))
	for i, v := range in {
		out[i] = f(v)
	}
	return out
}

func assign[T tensor.Elem, U any](dst *tensor.Tensor, src []U, f func(U) T) {
	for i, d := 0, tensor.Data[T](dst); i < len(d); i++ {
		d[i] = f(src[i])
	}
}

// setFloats fills a numeric or Bool tensor from floats.
func setFloats[F float32 | float64](dst *tensor.Tensor, src []F) {
	switch dst.DType() {
	case tensor.Float32:
		assign(dst, src, func(v F) float32 { return float32(v) })
	case tensor.Float64:
		assign(dst, src, func(v F) float64 { return float64(v) })
	case tensor.Float16:
		assign(dst, src, func(v F) tensor.Half { return halfFrom(float64(v)) })
	case tensor.BFloat16:
		assign(dst, src, func(v F) tensor.BHalf { return tensor.BHalfFrom(float32(v)) })
	case tensor.Int8:
		assign(dst, src, saturate[int8, F])
	case tensor.Uint8:
		assign(dst, src, saturate[uint8, F])
	case tensor.Int16:
		assign(dst, src, saturate[int16, F])
	case tensor.Uint16:
		assign(dst, src, saturate[uint16, F])
	case tensor.Int32:
		assign(dst, src, saturate[int32, F])
	case tensor.Uint32:
		assign(dst, src, saturate[uint32, F])
	case tensor.Int64:
		assign(dst, src, saturate[int64, F])
	case tensor.Uint64:
		assign(dst, src, saturate[uint64, F])
	case tensor.Int4:
		assign(dst, src, saturate[tensor.Nibble, F])
	case tensor.Uint4:
		assign(dst, src, saturate[tensor.UNibble, F])
	case tensor.Int2:
		assign(dst, src, saturate[tensor.Pair, F])
	case tensor.Uint2:
		assign(dst, src, saturate[tensor.UPair, F])
	case tensor.Bool:
		assign(dst, src, func(v F) bool { return v != 0 })
	}
}

// setInts fills a numeric or Bool tensor from integers.
func setInts(dst *tensor.Tensor, src []int64) {
	switch dst.DType() {
	case tensor.Int8:
		assign(dst, src, func(v int64) int8 { return int8(v) })
	case tensor.Uint8:
		assign(dst, src, func(v int64) uint8 { return uint8(v) })
	case tensor.Int16:
		assign(dst, src, func(v int64) int16 { return int16(v) })
	case tensor.Uint16:
		assign(dst, src, func(v int64) uint16 { return uint16(v) })
	case tensor.Int32:
		assign(dst, src, func(v int64) int32 { return int32(v) })
	case tensor.Uint32:
		assign(dst, src, func(v int64) uint32 { return uint32(v) })
	case tensor.Int64:
		assign(dst, src, func(v int64) int64 { return v })
	case tensor.Uint64:
		assign(dst, src, func(v int64) uint64 { return uint64(v) })
	case tensor.Int4:
		assign(dst, src, func(v int64) tensor.Nibble { return tensor.Nibble(int8(v<<4) >> 4) })
	case tensor.Uint4:
		assign(dst, src, func(v int64) tensor.UNibble { return tensor.UNibble(v & 15) })
	case tensor.Int2:
		assign(dst, src, func(v int64) tensor.Pair { return tensor.Pair(int8(v<<6) >> 6) })
	case tensor.Uint2:
		assign(dst, src, func(v int64) tensor.UPair { return tensor.UPair(v & 3) })
	default:
		setFloats(dst, mapSlice(src, func(v int64) float64 { return float64(v) }))
	}
}

// halfFrom rounds once: through float32 the rounding would happen twice.
func halfFrom(v float64) tensor.Half {
	f := float32(v)
	if float64(f) != v && !math.IsInf(float64(f), 0) && v == v {
		// Rounding to odd keeps in the last bit that something was cut off.
		bits := math.Float32bits(f)
		if math.Abs(float64(f)) > math.Abs(v) {
			bits--
		}
		f = math.Float32frombits(bits | 1)
	}
	return tensor.HalfFrom(f)
}

// saturate truncates towards zero into T's range; NaN gives 0.
func saturate[T tensor.Nibble | tensor.UNibble | tensor.Pair | tensor.UPair | int8 | uint8 | int16 | uint16 | int32 | uint32 | int64 | uint64, F float32 | float64](v F) T {
	lo, hi := intRange(tensor.DTypeOf[T]())
	switch f := float64(v); {
	case f != f:
		return 0
	case f <= lo:
		return T(int64(lo))
	case f >= hi:
		if hi > math.MaxInt64 {
			return ^T(0)
		}
		if hi == math.MaxInt64 {
			top := int64(math.MaxInt64)
			return T(top)
		}
		return T(int64(hi))
	default:
		return T(v)
	}
}

// intRange returns the least and the largest value of an integer type, as near
// as float64 holds them.
func intRange(d tensor.DType) (lo, hi float64) {
	switch d {
	case tensor.Int4:
		return -8, 7
	case tensor.Uint4:
		return 0, 15
	case tensor.Int2:
		return -2, 1
	case tensor.Uint2:
		return 0, 3
	case tensor.Int8:
		return math.MinInt8, math.MaxInt8
	case tensor.Uint8:
		return 0, math.MaxUint8
	case tensor.Int16:
		return math.MinInt16, math.MaxInt16
	case tensor.Uint16:
		return 0, math.MaxUint16
	case tensor.Int32:
		return math.MinInt32, math.MaxInt32
	case tensor.Uint32:
		return 0, math.MaxUint32
	case tensor.Int64:
		return math.MinInt64, math.MaxInt64
	}
	return 0, math.MaxUint64
}

func formatNumbers(dst, src *tensor.Tensor) {
	out := tensor.Data[string](dst)
	switch src.DType() {
	case tensor.Int64, tensor.Int32, tensor.Int16, tensor.Int8, tensor.Uint8, tensor.Uint16, tensor.Uint32:
		for i, v := range src.Ints() {
			out[i] = strconv.Itoa(v)
		}
	default:
		for i, v := range src.Float64s() {
			out[i] = strings.Replace(strconv.FormatFloat(v, 'g', -1, 32), "e", "E", 1)
		}
	}
}

func parseNumbers(src *tensor.Tensor, to tensor.DType) (*tensor.Tensor, error) {
	words := tensor.Data[string](src)
	values := make([]float64, len(words))
	for i, w := range words {
		v, err := strconv.ParseFloat(strings.TrimSpace(w), 64)
		if err != nil {
			return nil, badInput("%q is not a number", w)
		}
		values[i] = v
	}
	out := tensor.New(to, src.Shape()...)
	setFloats(out, values)
	return out, nil
}
