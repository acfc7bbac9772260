package op

import "github.com/narrow-ml/narrow/tensor"

var _ = register(
	bitwise("BitwiseAnd", and[int8], and[uint8], and[int16], and[uint16], and[int32], and[uint32], and[int64], and[uint64]).is(operation),
	bitwise("BitwiseOr", or[int8], or[uint8], or[int16], or[uint16], or[int32], or[uint32], or[int64], or[uint64]).is(operation),
	bitwise("BitwiseXor", xor[int8], xor[uint8], xor[int16], xor[uint16], xor[int32], xor[uint32], xor[int64], xor[uint64]).is(operation),
	spec{name: "BitwiseNot", min: 1, infer: inferInteger, run: byNumber{i8: mapped(not[int8]), u8: mapped(not[uint8]), i16: mapped(not[int16]), u16: mapped(not[uint16]),
		i32: mapped(not[int32]), u32: mapped(not[uint32]), i64: mapped(not[int64]), u64: mapped(not[uint64])}.run}.is(operation),
	spec{name: "BitShift", min: 2, infer: inferBitShift, run: byNumber{u8: bitShift[uint8], u16: bitShift[uint16], u32: bitShift[uint32], u64: bitShift[uint64],
		i8: bitShift[int8], i16: bitShift[int16], i32: bitShift[int32], i64: bitShift[int64]}.run}.is(operation),
)

func and[T integer](a, b T) T { return a & b }
func or[T integer](a, b T) T  { return a | b }
func xor[T integer](a, b T) T { return a ^ b }
func not[T integer](v T) T    { return ^v }

func bitwise(name string, i8 func(a, b int8) int8, u8 func(a, b uint8) uint8, i16 func(a, b int16) int16, u16 func(a, b uint16) uint16,
	i32 func(a, b int32) int32, u32 func(a, b uint32) uint32, i64 func(a, b int64) int64, u64 func(a, b uint64) uint64) spec {
	return arithmetic(name, byNumber{i8: zipped(i8), u8: zipped(u8), i16: zipped(i16), u16: zipped(u16),
		i32: zipped(i32), u32: zipped(u32), i64: zipped(i64), u64: zipped(u64)})
}

func inferInteger(c *Call) error {
	if err := c.wantType(0, intTypes...); err != nil {
		return err
	}
	return same(c)
}

func inferBitShift(c *Call) error {
	if err := c.wantType(0, intTypes...); err != nil {
		return err
	}
	if d := c.Attrs.String("direction", ""); d != "LEFT" && d != "RIGHT" {
		return badAttr("direction is %q", d)
	}
	return inferBinary(c)
}

// bitShift shifts by any number: by the type's width or more, or by less than
// 0, leaves nothing but the sign of a right shift.
func bitShift[T integer](c *Call) error {
	left, width := c.Attrs.String("direction", "") == "LEFT", 8*tensor.DTypeOf[T]().Size()
	return zip(c, func(a, b T) T {
		switch gone := b < 0 || uint64(b) >= uint64(width); {
		case gone && a < 0 && !left:
			return ^T(0)
		case gone:
			return 0
		case left:
			return a << b
		}
		return a >> b
	})
}
