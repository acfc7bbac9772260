package tensor

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// TestTypes: every element type has a tensor, a size, a name, and elements that come out as they went in.
func TestTypes(t *testing.T) {
	check := func(d DType, of DType, size int, x *Tensor, want ...float64) {
		t.Helper()
		if of != d || x.DType() != d || d.Size() != size {
			t.Errorf("%s: type %s, size %d", d, x.DType(), d.Size())
		}
		if n := len(x.Bytes()); n != size*x.Len() {
			t.Errorf("%s: %d bytes of memory for %d elements", d, n, x.Len())
		}
		c := x.Clone()
		if got := c.Float64s(); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", d, got, want)
		}
		clear(x.Bytes())
		if got := c.Float64s(); !slices.Equal(got, want) {
			t.Errorf("%s: a copy shares the memory", d)
		}
		if got, f := c.Float32s(), float32(want[1]); got[1] != f {
			t.Errorf("%s as float32: %v, want %v", d, got[1], f)
		}
		if got := c.Ints(); math.Abs(want[1]) <= math.MaxInt && got[1] != int(want[1]) { // an int has 32 bits on some processors
			t.Errorf("%s as int: %v, want %v", d, got[1], int(want[1]))
		}
		if got := New(d, 2, 0).Bytes(); len(got) != 0 {
			t.Errorf("%s: an empty tensor has bytes", d)
		}
		if s := c.String(); s != fmt.Sprintf("%s[2]", d) {
			t.Error(s)
		}
	}
	check(Float32, DTypeOf[float32](), 4, From([]float32{0, -2.5}, 2), 0, -2.5)
	check(Float64, DTypeOf[float64](), 8, From([]float64{0, 1e99}, 2), 0, 1e99)
	check(Float16, DTypeOf[Half](), 2, From([]Half{0, HalfFrom(-3.5)}, 2), 0, -3.5)
	check(BFloat16, DTypeOf[BHalf](), 2, From([]BHalf{0, BHalfFrom(-3.5)}, 2), 0, -3.5)
	check(Int8, DTypeOf[int8](), 1, From([]int8{1, -128}, 2), 1, -128)
	check(Uint8, DTypeOf[uint8](), 1, From([]uint8{1, 255}, 2), 1, 255)
	check(Int16, DTypeOf[int16](), 2, From([]int16{1, math.MinInt16}, 2), 1, math.MinInt16)
	check(Uint16, DTypeOf[uint16](), 2, From([]uint16{1, math.MaxUint16}, 2), 1, math.MaxUint16)
	check(Int32, DTypeOf[int32](), 4, From([]int32{1, math.MinInt32}, 2), 1, math.MinInt32)
	check(Uint32, DTypeOf[uint32](), 4, From([]uint32{1, math.MaxUint32}, 2), 1, math.MaxUint32)
	check(Int64, DTypeOf[int64](), 8, From([]int64{1, -1 << 40}, 2), 1, -1<<40)
	check(Uint64, DTypeOf[uint64](), 8, From([]uint64{1, 1 << 60}, 2), 1, 1<<60)
	check(Bool, DTypeOf[bool](), 1, From([]bool{false, true}, 2), 0, 1)
	check(Int4, DTypeOf[Nibble](), 1, From([]Nibble{7, -8}, 2), 7, -8)
	check(Uint4, DTypeOf[UNibble](), 1, From([]UNibble{0, 15}, 2), 0, 15)
	check(Int2, DTypeOf[Pair](), 1, From([]Pair{1, -2}, 2), 1, -2)
	check(Uint2, DTypeOf[UPair](), 1, From([]UPair{0, 3}, 2), 0, 3)
	check(Float8E4M3FN, DTypeOf[F8E4M3FN](), 1, From([]F8E4M3FN{0, 0xb8}, 2), 0, -1)
	check(Float8E4M3FNUZ, DTypeOf[F8E4M3FNUZ](), 1, From([]F8E4M3FNUZ{0, 0x40}, 2), 0, 1)
	check(Float8E5M2, DTypeOf[F8E5M2](), 1, From([]F8E5M2{0, 0x3c}, 2), 0, 1)
	check(Float8E5M2FNUZ, DTypeOf[F8E5M2FNUZ](), 1, From([]F8E5M2FNUZ{0, 0x40}, 2), 0, 1)
	check(Float8E8M0, DTypeOf[F8E8M0](), 1, From([]F8E8M0{127, 129}, 2), 1, 4)
	check(Float4E2M1, DTypeOf[F4E2M1](), 1, From([]F4E2M1{0, 15}, 2), 0, -6)
}

func TestNewHasZeros(t *testing.T) {
	for d := Float32; int(d) < len(dtypes); d++ {
		x := New(d, 2, 3)
		if x.DType() != d || x.Len() != 6 || x.Rank() != 2 {
			t.Errorf("%s: %s", d, x)
		}
		if d == String {
			continue
		}
		for _, v := range x.Float64s() {
			if d != Float8E8M0 && v != 0 {
				t.Errorf("%s: a new element is %v", d, v)
			}
		}
	}
}

func TestStrings(t *testing.T) {
	x := From([]string{"a", "b"}, 2)
	c := x.Clone()
	Data[string](x)[1] = "changed"
	if got := Data[string](c)[1]; got != "b" || x.DType() != String {
		t.Error(got, x.DType())
	}
}

// TestKinds: what the types say of themselves.
func TestKinds(t *testing.T) {
	for d := Undefined; int(d) < len(dtypes); d++ {
		kinds := 0
		for _, is := range []bool{d.IsFloat(), d.IsInteger(), d.IsMini(), d == Bool || d == String || d == Undefined} {
			if is {
				kinds++
			}
		}
		if kinds != 1 {
			t.Errorf("%s is of %d kinds", d, kinds)
		}
	}
	for d, want := range map[DType]int{Int4: 2, Uint4: 2, Float4E2M1: 2, Int2: 4, Uint2: 4, Int8: 1, Float8E5M2: 1} {
		if d.Packed() != want {
			t.Errorf("%d of %s in a byte, want %d", d.Packed(), d, want)
		}
	}
	if s := DType(200).String(); s != "DType(200)" {
		t.Error(s)
	}
}

func TestStrides(t *testing.T) {
	if got := Strides([]int{2, 3, 4}); !slices.Equal(got, []int{12, 4, 1}) {
		t.Error(got)
	}
}

// TestMisuse: faults of the program, which panic with what they were.
func TestMisuse(t *testing.T) {
	for name, f := range map[string]func(){
		"type":        func() { New(Undefined, 1) },
		"length":      func() { From([]int8{1, 2}, 3) },
		"data":        func() { Scalar(float32(1)).I64() },
		"copy":        func() { New(Int8, 2).CopyFrom(New(Uint8, 2)) },
		"copy length": func() { New(Int8, 2).CopyFrom(New(Int8, 3)) },
		"bytes":       func() { New(String, 1).Bytes() },
		"numbers":     func() { New(String, 1).Float64s() },
		"volume":      func() { Volume([]int{-1}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}
