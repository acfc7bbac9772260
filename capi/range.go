package main

/*
#define NARROW_CONST
#include "narrow.h"
*/
import "C"

import "github.com/narrow-ml/narrow/ptq"

//export narrow_range_new
func narrow_range_new(out *C.narrow_handle) C.int {
	return call(func() error { return newHandle(new(ptq.Histogram), out) })
}

//export narrow_range_add
func narrow_range_add(handle C.narrow_handle, x *C.float, n C.size_t) C.int {
	return call(func() error {
		return value[*ptq.Histogram](handle).Add(floats(x, n))
	})
}

//export narrow_range_merge
func narrow_range_merge(handle, other C.narrow_handle) C.int {
	return call(func() error {
		value[*ptq.Histogram](handle).Merge(value[*ptq.Histogram](other))
		return nil
	})
}

//export narrow_range_clip
func narrow_range_clip(handle C.narrow_handle, rule *C.char, bits, isSigned C.int, lo, hi *C.double) C.int {
	return call(func() error {
		h := value[*ptq.Histogram](handle)
		if rule == nil || lo == nil || hi == nil || bits < 2 || bits > 16 {
			return argument("a null pointer, or a grid of %d bits: 2 to 16 are possible", bits)
		}
		clip, err := ptq.ParseClip(C.GoString(rule))
		if err != nil {
			return err
		}
		if clip == ptq.Auto {
			return argument("rule auto compares outputs of a network, a range alone has none")
		}
		t := C.double(clip.Threshold(h, ptq.Grid{Bits: int(bits), Signed: isSigned != 0}))
		if *lo, *hi = 0, t; isSigned != 0 {
			*lo = -t
		}
		return nil
	})
}

//export narrow_range_seen
func narrow_range_seen(handle C.narrow_handle, lo, hi *C.double, count *C.uint64_t) C.int {
	return call(func() error {
		h := value[*ptq.Histogram](handle)
		if lo == nil || hi == nil || count == nil {
			return argument("a pointer for a result is null")
		}
		l, u := h.Range()
		*lo, *hi, *count = C.double(l), C.double(u), C.uint64_t(h.Count())
		return nil
	})
}
