"""Kernels on NumPy arrays. float32 arrays without gaps are used in place."""
import math
from ctypes import byref, c_double, c_float, c_size_t, c_uint64

import numpy as np

from ._lib import Object, check, lib

_DTYPES = {np.dtype("int8"): 3, np.dtype("uint8"): 2, np.dtype("int16"): 5, np.dtype("uint16"): 4}


def _floats(x):
    """x as float32 without gaps: x itself if it is that already."""
    return np.ascontiguousarray(x, np.float32)


def minmax(x):
    """Least and greatest number of x, and how many are NaN."""
    x = _floats(x)
    lo, hi, nan = c_float(), c_float(), c_size_t()
    check(lib.narrow_minmax(x.ctypes.data, x.size, byref(lo), byref(hi), byref(nan)))
    return lo.value, hi.value, nan.value


class Histogram(Object):
    """Counts float32 values in bins of equal width on [lo, hi].

    Exact zeros are in no bin but in `zeros`; `under`, `over` and `nan` count
    the rest, so that nothing is lost.
    """

    def __init__(self, lo, hi, bins=2048):
        self._new(lib.narrow_histogram_new, lo, hi, bins)
        self.lo, self.hi, self.bins = lo, hi, bins

    def add(self, x):
        """Counts the elements of x."""
        x = _floats(x)
        check(lib.narrow_histogram_add(self._handle, x.ctypes.data, x.size))

    def merge(self, other):
        """Adds the counts of a histogram with the same range and bins."""
        check(lib.narrow_histogram_merge(self._handle, other._handle))

    def _counts(self):
        counts, others = np.empty(self.bins, np.uint64), np.empty(4, np.uint64)
        check(lib.narrow_histogram_counts(self._handle, counts.ctypes.data, counts.size, others.ctypes.data))
        return counts, others

    @property
    def counts(self):
        """The count of each bin, uint64."""
        return self._counts()[0]

    @property
    def under(self):
        return int(self._counts()[1][0])

    @property
    def over(self):
        return int(self._counts()[1][1])

    @property
    def nan(self):
        return int(self._counts()[1][2])

    @property
    def zeros(self):
        return int(self._counts()[1][3])


class Range(Object):
    """What values a tensor takes, in memory that does not grow with their number."""

    def __init__(self):
        self._new(lib.narrow_range_new)

    def add(self, x):
        """Counts the elements of x, which must be finite."""
        x = _floats(x)
        check(lib.narrow_range_add(self._handle, x.ctypes.data, x.size))

    def merge(self, other):
        """Adds what another range has seen."""
        check(lib.narrow_range_merge(self._handle, other._handle))

    def clip(self, rule="mse", bits=8, signed=True):
        """The part (lo, hi) that a rule keeps: max, mse, aa, kl, lp3, sigma4, percentile:99.99."""
        lo, hi = c_double(), c_double()
        check(lib.narrow_range_clip(self._handle, rule.encode(), bits, signed, byref(lo), byref(hi)))
        return lo.value, hi.value

    @property
    def seen(self):
        """Least and greatest value, and how many there were."""
        lo, hi, count = c_double(), c_double(), c_uint64()
        check(lib.narrow_range_seen(self._handle, byref(lo), byref(hi), byref(count)))
        return lo.value, hi.value, count.value


def _sweep(shape, scale, zero_point, axis):
    """Sizes before, along and behind the axis, and the parameters for each place on it."""
    scale = np.ascontiguousarray(scale, np.float32).reshape(-1)
    zero = None if zero_point is None else np.ascontiguousarray(zero_point, np.int32).reshape(-1)
    if axis is None:
        outer, channels, inner = 1, 1, math.prod(shape)
    else:
        axis = range(len(shape))[axis]
        outer, channels, inner = math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])
    for name, v in ("scale", scale), ("zero_point", zero):
        if v is not None and v.size != channels:
            raise ValueError(f"{name} has {v.size} elements for {channels} channels")
    return (outer, channels, inner), scale, zero, None if zero is None else zero.ctypes.data


def quantize_linear(x, scale, zero_point=None, dtype=np.int8, axis=None):
    """ONNX's QuantizeLinear: per tensor, or per place along axis."""
    x = _floats(x)
    sizes, scale, zero, zero_at = _sweep(x.shape, scale, zero_point, axis)
    q = np.empty(x.shape, dtype)
    check(lib.narrow_quantize(x.ctypes.data, q.ctypes.data, _DTYPES.get(q.dtype, 0), *sizes, scale.ctypes.data, zero_at))
    return q


def dequantize_linear(q, scale, zero_point=None, axis=None):
    """ONNX's DequantizeLinear."""
    q = np.ascontiguousarray(q)
    sizes, scale, zero, zero_at = _sweep(q.shape, scale, zero_point, axis)
    x = np.empty(q.shape, np.float32)
    check(lib.narrow_dequantize(q.ctypes.data, x.ctypes.data, _DTYPES.get(q.dtype, 0), *sizes, scale.ctypes.data, zero_at))
    return x


def fake_quantize(x, scale, zero_point=None, bits=8, signed=True, axis=None, out=None):
    """What x becomes when it is quantized and dequantized. out may be x itself."""
    x = _floats(x)
    sizes, scale, zero, zero_at = _sweep(x.shape, scale, zero_point, axis)
    if out is None:
        out = np.empty_like(x)
    if out.shape != x.shape or out.dtype != np.float32 or not out.flags.c_contiguous:
        raise ValueError("out must be a float32 array of x's shape without gaps")
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    check(lib.narrow_fake_quantize(x.ctypes.data, out.ctypes.data, *sizes, scale.ctypes.data, zero_at, low, high))
    return out
