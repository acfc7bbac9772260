"""The C library, by ctypes. narrow.h says what each function does."""
import ctypes
import os
import pathlib
import sys
from ctypes import POINTER, byref, c_char_p, c_double, c_float, c_int, c_int32, c_int64, c_size_t, c_uint64, c_void_p

from ._errors import CLASSES, OK, SPACE, NarrowError

Handle = ctypes.c_size_t  # uintptr_t

MAX_RANK = 8


class Tensor(ctypes.Structure):
    _fields_ = [
        ("data", c_void_p),
        ("bytes", c_size_t),
        ("dtype", c_int32),
        ("rank", c_int32),
        ("shape", c_int64 * MAX_RANK),
    ]


_SIGNATURES = {
    "narrow_free": [Handle],
    "narrow_minmax": [c_void_p, c_size_t, POINTER(c_float), POINTER(c_float), POINTER(c_size_t)],
    "narrow_histogram_new": [c_float, c_float, c_size_t, POINTER(Handle)],
    "narrow_histogram_add": [Handle, c_void_p, c_size_t],
    "narrow_histogram_merge": [Handle, Handle],
    "narrow_histogram_counts": [Handle, c_void_p, c_size_t, c_void_p],
    "narrow_quantize": [c_void_p, c_void_p, c_int, c_size_t, c_size_t, c_size_t, c_void_p, c_void_p],
    "narrow_dequantize": [c_void_p, c_void_p, c_int, c_size_t, c_size_t, c_size_t, c_void_p, c_void_p],
    "narrow_fake_quantize": [c_void_p, c_void_p, c_size_t, c_size_t, c_size_t, c_void_p, c_void_p, c_int32, c_int32],
    "narrow_range_new": [POINTER(Handle)],
    "narrow_range_add": [Handle, c_void_p, c_size_t],
    "narrow_range_merge": [Handle, Handle],
    "narrow_range_clip": [Handle, c_char_p, c_int, c_int, POINTER(c_double), POINTER(c_double)],
    "narrow_range_seen": [Handle, POINTER(c_double), POINTER(c_double), POINTER(c_uint64)],
    "narrow_quantizer_open": [c_char_p, c_char_p, POINTER(Handle)],
    "narrow_quantizer_feed": [Handle, POINTER(Tensor), c_size_t],
    "narrow_quantizer_result": [Handle, c_void_p, c_size_t, POINTER(c_size_t)],
    "narrow_quantizer_report": [Handle, c_char_p],
    "narrow_quantizer_finish": [Handle, c_char_p],
    "narrow_session_open": [c_char_p, c_int, POINTER(Handle)],
    "narrow_session_run": [Handle, POINTER(Tensor), c_size_t, POINTER(Tensor), c_size_t],
    "narrow_describe": [Handle, c_void_p, c_size_t, POINTER(c_size_t)],
}


_NAMES = {"darwin": "libnarrow.dylib", "win32": "narrow.dll"}


def _load():
    # NARROW_LIBRARY names another build of the library than the wheel's.
    path = pathlib.Path(os.environ.get("NARROW_LIBRARY") or pathlib.Path(__file__).with_name(_NAMES.get(sys.platform, "libnarrow.so")))
    if not path.exists():
        raise ImportError(f"this build of narrow has no C library ({path.name}): quantize, evaluate, compare and sensitivity work without it")
    lib = ctypes.CDLL(str(path))
    for name, arguments in _SIGNATURES.items():
        function = getattr(lib, name)
        function.argtypes, function.restype = arguments, c_int
    for name in ("narrow_error", "narrow_version"):
        getattr(lib, name).restype = c_char_p
    return lib


lib = _load()


def check(code):
    """Raises what a code other than OK stands for."""
    if code != OK:
        raise CLASSES.get(code, NarrowError)(code, lib.narrow_error().decode("utf-8", "replace"))


class Object:
    """An object of the library; it ends with its handle."""

    _handle = None

    def _new(self, function, *args):
        handle = Handle()
        check(function(*args, byref(handle)))
        self._handle = handle.value

    def close(self):
        """Gives the object's memory back now rather than when Python collects it."""
        handle, self._handle = self._handle, None
        if handle:
            lib.narrow_free(handle)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        self.close()
