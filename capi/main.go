// Package main is the C library of narrow: `make lib` builds libnarrow.so and
// libnarrow.a. narrow.h documents every function; those here have its names.
//
// This is the only package that uses cgo.
package main

/*
// Go's declarations of what it exports have no const.
#define NARROW_CONST
#include "narrow.h"
#include "error.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"runtime/cgo"
	"runtime/debug"
	"unsafe"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/ptq"
)

func main() {} // a library has none, but the build mode wants one

func init() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50) // as in the command: less memory for hardly any time
	}
}

// fault is an error with the code that C gets.
type fault struct {
	code C.int
	err  error
}

func (f fault) Error() string { return f.err.Error() }
func (f fault) Unwrap() error { return f.err }

func argument(format string, args ...any) error {
	return fault{C.NARROW_ARGUMENT, fmt.Errorf(format, args...)}
}

// call runs the body of an exported function. It turns its error, or a panic,
// into a code, and keeps the message for narrow_error. The functions that read
// arguments panic with a fault if one is wrong, so that a body need not look for
// an error behind each.
func call(body func() error) (code C.int) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case fault:
			code = outcome(r)
		default:
			code = outcome(fault{C.NARROW_INTERNAL, fmt.Errorf("internal error: %v", r)})
		}
	}()
	return outcome(body())
}

func outcome(err error) C.int {
	if err == nil {
		return C.NARROW_OK
	}
	C.narrow_set_error(C.CString(err.Error()))
	return codeOf(err)
}

func codeOf(err error) C.int {
	var f fault
	var path *fs.PathError
	switch {
	case errors.As(err, &f):
		return f.code
	case errors.As(err, &path):
		return C.NARROW_FILE
	case errors.Is(err, engine.ErrInput), errors.Is(err, ptq.ErrNotFinite), errors.Is(err, dataset.ErrEmpty),
		errors.Is(err, dataset.ErrShape), errors.Is(err, dataset.ErrValue):
		return C.NARROW_DATA
	case errors.Is(err, ptq.ErrClip), errors.Is(err, ptq.ErrFinished):
		return C.NARROW_ARGUMENT
	}
	return C.NARROW_MODEL
}

// slice returns n elements at p, C's own memory.
func slice[T any](p unsafe.Pointer, n C.size_t) []T {
	var zero T
	switch {
	case n == 0:
		return nil
	case p == nil:
		panic(argument("a pointer to %d elements is null", n))
	case uint64(n) > math.MaxInt/uint64(unsafe.Sizeof(zero)):
		panic(argument("%d elements are too many", n))
	}
	return unsafe.Slice((*T)(p), int(n))
}

// optional is slice for a pointer that may be null.
func optional[T any](p unsafe.Pointer, n C.size_t) []T {
	if p == nil {
		return nil
	}
	return slice[T](p, n)
}

func floats(p *C.float, n C.size_t) []float32 { return slice[float32](unsafe.Pointer(p), n) }

// text returns a string that must be there.
func text(p *C.char, what string) string {
	if p == nil {
		panic(argument("the %s is null", what))
	}
	return C.GoString(p)
}

// checked returns what was made of arguments, unless they were wrong.
func checked[T any](v T, err error) T {
	if err != nil {
		panic(argument("%w", err))
	}
	return v
}

// volume returns the product of sizes.
func volume(sizes ...C.size_t) C.size_t {
	n := C.size_t(1)
	for _, s := range sizes {
		if s != 0 && n > math.MaxInt/s {
			panic(argument("sizes %v are too large", sizes))
		}
		n *= s
	}
	return n
}

// newHandle hands v out.
func newHandle(v any, out *C.narrow_handle) error {
	if out == nil {
		return argument("the pointer for the handle is null")
	}
	*out = C.narrow_handle(cgo.NewHandle(v))
	return nil
}

// value returns what a handle stands for.
func value[T any](h C.narrow_handle) T {
	v, ok := anyValue(h).(T)
	if !ok {
		panic(argument("handle %d is of another kind", h))
	}
	return v
}

func anyValue(h C.narrow_handle) any {
	defer func() { // what the handle package does about a wrong one
		if recover() != nil {
			panic(argument("handle %d is none, or was freed", h))
		}
	}()
	return cgo.Handle(h).Value()
}

//export narrow_free
func narrow_free(h C.narrow_handle) C.int {
	return call(func() error {
		if h == 0 {
			return nil
		}
		if q, ok := anyValue(h).(*quantizer); ok {
			q.Close()
		}
		cgo.Handle(h).Delete()
		return nil
	})
}
