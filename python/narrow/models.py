"""Quantizing a model as inputs come, and running models, by the C library."""
import ctypes
import itertools
import json
import math
import os

import numpy as np

from ._data import as_file
from ._lib import MAX_RANK, SPACE, Object, Tensor, check, lib

_DTYPES = {1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool",
           10: "float16", 11: "float64", 12: "uint32", 13: "uint64"}
_NUMBERS = {np.dtype(name): number for number, name in _DTYPES.items()}


def _describe(handle):
    needed = ctypes.c_size_t()
    lib.narrow_describe(handle, None, 0, ctypes.byref(needed))
    text = ctypes.create_string_buffer(needed.value)
    check(lib.narrow_describe(handle, text, needed, None))
    return json.loads(text.value)


class Quantizer(Object):
    """A model that is fed with calibration inputs as they come, then written.

    Inputs are calibrated on while the next are made; the first 256 are kept, the others not.
    """

    def __init__(self, model, **options):
        with as_file(model) as path:
            self._new(lib.narrow_quantizer_open, os.fsencode(path), json.dumps({name.rstrip("_"): value for name, value in options.items()}).encode())
        self.inputs = _describe(self._handle)["inputs"]

    def feed(self, *inputs):
        """Adds a batch: an array for each input of the model. An error in it may be raised later, at the latest by finish."""
        types = [_DTYPES.get(i["dtype"], "float32") for i in self.inputs]
        arrays = [np.ascontiguousarray(x, t) for x, t in itertools.zip_longest(inputs, types[: len(inputs)])]
        check(lib.narrow_quantizer_feed(self._handle, (Tensor * len(arrays))(*map(_tensor, arrays)), len(arrays)))

    def finish(self, path):
        """Quantizes and writes the integer model. Nothing can be fed any more."""
        check(lib.narrow_quantizer_finish(self._handle, os.fsencode(path)))


class Session(Object):
    """Runs a model, fp32 or quantized. Safe to use from several threads."""

    def __init__(self, model, threads=0):
        with as_file(model) as path:
            self._new(lib.narrow_session_open, os.fsencode(path), threads)
        about = _describe(self._handle)
        self.inputs, self.outputs = about["inputs"], about["outputs"]

    def run(self, *inputs):
        """The outputs, a list of arrays, for one array per input, or a dict by name."""
        if len(inputs) == 1 and isinstance(inputs[0], dict):
            inputs = [inputs[0][i["name"]] for i in self.inputs]
        arrays = [np.ascontiguousarray(x) for x in inputs]
        given = (Tensor * len(arrays))(*map(_tensor, arrays))
        results = [np.empty(self._guess(o, arrays), _DTYPES.get(o["dtype"], "float32")) for o in self.outputs]
        wanted = (Tensor * len(results))(*map(_tensor, results))
        code = lib.narrow_session_run(self._handle, given, len(given), wanted, len(wanted))
        if code == SPACE:  # now their sizes are known
            results = [np.empty(_shape(t), _DTYPES[t.dtype]) for t in wanted]
            wanted = (Tensor * len(results))(*map(_tensor, results))
            code = lib.narrow_session_run(self._handle, given, len(given), wanted, len(wanted))
        check(code)
        return [_cut(a, t) for a, t in zip(results, wanted)]

    @staticmethod
    def _guess(output, arrays):
        """The shape of an output if its first dimension is the batch: nearly always."""
        shape = list(output["shape"] or [0])
        batch = arrays[0].shape[0] if arrays and arrays[0].ndim else 1
        return [(batch if d == 0 else 0) if n < 0 else n for d, n in enumerate(shape)]


def _tensor(a):
    if a.dtype not in _NUMBERS:
        raise TypeError(f"arrays of {a.dtype} cannot be passed")
    if a.ndim > MAX_RANK:
        raise ValueError(f"an array of {a.ndim} dimensions; {MAX_RANK} are possible")
    return Tensor(a.ctypes.data, a.nbytes, _NUMBERS[a.dtype], a.ndim, (ctypes.c_int64 * MAX_RANK)(*a.shape))


def _shape(t):
    return tuple(t.shape[: t.rank])


def _cut(a, t):
    """The part of a guessed array that was written, in its true shape and type."""
    if a.shape == _shape(t) and a.dtype == _DTYPES[t.dtype]:
        return a
    n = math.prod(_shape(t))
    return a.reshape(-1).view(_DTYPES[t.dtype])[:n].reshape(_shape(t))
