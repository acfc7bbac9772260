"""narrow: post-training quantization of ONNX models.

    import narrow
    result = narrow.quantize("model.onnx", calib, "int8.onnx")
    print(result.sqnr, result.verdict)

Quantizing, measuring and searching run the command that the package holds. What works on arrays in place (Session, Quantizer,
Histogram, Range, fake_quantize, ...) needs the C library, which wheels for Linux and for Windows on x86_64 hold as well.
"""
import importlib

from . import _command
from ._errors import ArgumentError, DataError, FileError, NarrowError
from .api import Evaluation, Result, compare, evaluate, inspect, quantize, sensitivity, target

# Of the C library, which is loaded when one of these is first asked for.
_LIBRARY = {
    "Histogram": "arrays", "Range": "arrays", "dequantize_linear": "arrays", "fake_quantize": "arrays", "minmax": "arrays",
    "quantize_linear": "arrays", "Quantizer": "models", "Session": "models",
}

__all__ = ["ArgumentError", "DataError", "Evaluation", "FileError", "NarrowError", "Result", "compare", "evaluate", "inspect", "quantize",
           "sensitivity", "target", *_LIBRARY]


def __getattr__(name):
    if name == "__version__":
        return _command.version()
    if name not in _LIBRARY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_LIBRARY[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *__all__})
