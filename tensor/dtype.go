package tensor

import (
	"fmt"
	"math"
)

// DType is the type of a tensor's elements.
type DType uint8

// The element types. Those of less than 8 bits hold one element a byte in memory;
// only files pack them.
const (
	Undefined DType = iota
	Float32
	Float64
	Float16
	BFloat16
	Int8
	Uint8
	Int16
	Uint16
	Int32
	Uint32
	Int64
	Uint64
	Bool
	String
	Int4
	Uint4
	Float8E4M3FN
	Float8E4M3FNUZ
	Float8E5M2
	Float8E5M2FNUZ
	Float8E8M0
	Float4E2M1
	Int2
	Uint2
)

// Half is an IEEE 754 binary16 number, as its bits.
type Half uint16

// BHalf is a bfloat16 number, as its bits.
type BHalf uint16

// Nibble is a signed 4-bit integer in a byte of its own.
type Nibble int8

// UNibble is an unsigned 4-bit integer in a byte of its own.
type UNibble uint8

// Elem lists the Go types of elements.
type Elem interface {
	float32 | float64 | Half | BHalf | int8 | uint8 | int16 | uint16 | int32 | uint32 | int64 | uint64 | bool | string | Nibble | UNibble |
		F8E4M3FN | F8E4M3FNUZ | F8E5M2 | F8E5M2FNUZ | F8E8M0 | F4E2M1 | Pair | UPair
}

var dtypes = [...]struct {
	name string
	size int // bytes an element takes in memory
}{
	Undefined:      {"undefined", 0},
	Float32:        {"float32", 4},
	Float64:        {"float64", 8},
	Float16:        {"float16", 2},
	BFloat16:       {"bfloat16", 2},
	Int8:           {"int8", 1},
	Uint8:          {"uint8", 1},
	Int16:          {"int16", 2},
	Uint16:         {"uint16", 2},
	Int32:          {"int32", 4},
	Uint32:         {"uint32", 4},
	Int64:          {"int64", 8},
	Uint64:         {"uint64", 8},
	Bool:           {"bool", 1},
	String:         {"string", 16},
	Int4:           {"int4", 1},
	Uint4:          {"uint4", 1},
	Float8E4M3FN:   {"float8e4m3fn", 1},
	Float8E4M3FNUZ: {"float8e4m3fnuz", 1},
	Float8E5M2:     {"float8e5m2", 1},
	Float8E5M2FNUZ: {"float8e5m2fnuz", 1},
	Float8E8M0:     {"float8e8m0", 1},
	Float4E2M1:     {"float4e2m1", 1},
	Int2:           {"int2", 1},
	Uint2:          {"uint2", 1},
}

// String returns the type's name: "float32".
func (d DType) String() string {
	if int(d) < len(dtypes) {
		return dtypes[d].name
	}
	return fmt.Sprintf("DType(%d)", uint8(d))
}

// Size returns the bytes an element takes in memory.
func (d DType) Size() int { return dtypes[d].size }

// IsFloat reports whether d is a floating-point type.
func (d DType) IsFloat() bool { return d >= Float32 && d <= BFloat16 }

// IsInteger reports whether d is an integer type; Bool is none.
func (d DType) IsInteger() bool {
	return d >= Int8 && d <= Uint64 || d == Int4 || d == Uint4 || d == Int2 || d == Uint2
}

// DTypeOf returns the element type that T stands for.
func DTypeOf[T Elem]() DType {
	var zero T
	switch any(zero).(type) {
	case float32:
		return Float32
	case float64:
		return Float64
	case Half:
		return Float16
	case BHalf:
		return BFloat16
	case int8:
		return Int8
	case uint8:
		return Uint8
	case int16:
		return Int16
	case uint16:
		return Uint16
	case int32:
		return Int32
	case uint32:
		return Uint32
	case int64:
		return Int64
	case uint64:
		return Uint64
	case bool:
		return Bool
	case string:
		return String
	case Nibble:
		return Int4
	case UNibble:
		return Uint4
	case F8E4M3FN:
		return Float8E4M3FN
	case F8E4M3FNUZ:
		return Float8E4M3FNUZ
	case F8E5M2:
		return Float8E5M2
	case F8E5M2FNUZ:
		return Float8E5M2FNUZ
	case F8E8M0:
		return Float8E8M0
	case F4E2M1:
		return Float4E2M1
	case Pair:
		return Int2
	}
	return Uint2
}

// Float32 returns h as a float32, exactly.
func (h Half) Float32() float32 {
	sign, exp, frac := uint32(h>>15)<<31, uint32(h>>10)&0x1f, uint32(h)&0x3ff
	switch {
	case exp == 0x1f:
		return math.Float32frombits(sign | 0xff<<23 | frac<<13)
	case exp != 0:
		return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
	}
	f := float32(frac) * (1.0 / (1 << 24))
	return math.Float32frombits(sign | math.Float32bits(f))
}

// HalfFrom returns f rounded to nearest, ties to even; too large a magnitude
// becomes infinite.
func HalfFrom(f float32) Half {
	b := math.Float32bits(f)
	sign, a := Half(b>>16)&0x8000, b&0x7fffffff
	switch {
	case a > 0x7f800000: // NaN
		return sign | 0x7e00
	case a >= 0x47800000: // 65536 and up, infinity
		return sign | 0x7c00
	case a < 0x38800000: // denormal: the sum drops the bits below 2^-24, rounding to even
		return sign | Half(math.Float32bits(math.Float32frombits(a)+0.5)-0x3f000000)
	}
	return sign | Half((a-0x38000000+0xfff+(a>>13)&1)>>13)
}

// Float32 returns h as a float32, exactly.
func (h BHalf) Float32() float32 { return math.Float32frombits(uint32(h) << 16) }

// BHalfFrom returns f rounded to nearest, ties to even.
func BHalfFrom(f float32) BHalf {
	b := math.Float32bits(f)
	if b&0x7fffffff > 0x7f800000 {
		return BHalf(b>>16 | 0x40)
	}
	return BHalf((b + 0x7fff + (b>>16)&1) >> 16)
}
