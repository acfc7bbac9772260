"""narrow: post-training quantization of ONNX models.

    import narrow
    narrow.quantize("model.onnx", calib, "int8.onnx")
    y, = narrow.Session("int8.onnx").run(x)
"""
from ._lib import ArgumentError, DataError, FileError, NarrowError, lib as _library
from .arrays import Histogram, Range, dequantize_linear, fake_quantize, minmax, quantize_linear
from .models import Quantizer, Session, quantize

__version__ = _library.narrow_version().decode()

__all__ = ["ArgumentError", "DataError", "FileError", "Histogram", "NarrowError", "Quantizer", "Range", "Session",
           "dequantize_linear", "fake_quantize", "minmax", "quantize", "quantize_linear"]
