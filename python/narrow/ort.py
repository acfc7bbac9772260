"""narrow as the calibrator behind onnxruntime.quantization.

    from onnxruntime.quantization import quantize_static
    with narrow.ort.calibrating(clip="mse"):
        quantize_static("model.onnx", "int8.onnx", reader)

Statistics are kept as narrow keeps them: their memory does not grow with the
number of inputs.
"""
import contextlib
import importlib

import numpy as np
import onnx
from onnxruntime.quantization.calibrate import CalibraterBase, CalibrationMethod, TensorData, TensorsData

from .arrays import Range

# The package has a function of the module's name.
_quantize = importlib.import_module("onnxruntime.quantization.quantize")


class Calibrater(CalibraterBase):
    """A calibrator whose ranges are chosen by a clipping rule of narrow's."""

    def __init__(self, model_path, op_types_to_calibrate=None, augmented_model_path="augmented_model.onnx",
                 use_external_data_format=False, symmetric=False, clip="mse", bits=8):
        super().__init__(model_path, op_types_to_calibrate=op_types_to_calibrate, augmented_model_path=augmented_model_path,
                         symmetric=symmetric, use_external_data_format=use_external_data_format)
        self.clip, self.bits, self.ranges = clip, bits, {}

    def augment_graph(self):
        tensors, infos = self.select_tensors_to_calibrate(self.model)
        self.ranges = {name: Range() for name in sorted(tensors)}
        outputs = {o.name for o in self.model.graph.output}
        self.model.graph.output.extend(infos[name] for name in self.ranges if name not in outputs)
        onnx.save(self.model, self.augmented_model_path, save_as_external_data=self.use_external_data_format)

    def collect_data(self, data_reader):
        names = list(self.ranges)
        while inputs := data_reader.get_next():
            for name, value in zip(names, self.infer_session.run(names, inputs)):
                self.ranges[name].add(value)

    def compute_data(self):
        return TensorsData(CalibrationMethod.MinMax, {name: self._range(r) for name, r in self.ranges.items()})

    def _range(self, r):
        lowest, highest, count = r.seen
        if count == 0:
            raise ValueError("No data is collected.")
        lo, hi = r.clip(self.clip, self.bits, signed=self.symmetric or lowest < 0)
        if not self.symmetric:
            lo, hi = max(lo, min(lowest, 0)), min(hi, max(highest, 0))
        return TensorData(lowest=np.array(lo, np.float32), highest=np.array(hi, np.float32))


@contextlib.contextmanager
def calibrating(clip="mse", bits=8):
    """Makes quantize_static calibrate with narrow, whatever method it is told."""

    def create(model, op_types_to_calibrate=None, augmented_model_path="augmented_model.onnx", calibrate_method=None,
               use_external_data_format=False, providers=None, extra_options=None):
        c = Calibrater(model, op_types_to_calibrate, augmented_model_path, use_external_data_format,
                       (extra_options or {}).get("symmetric", False), clip, bits)
        c.augment_graph()
        if providers:
            c.execution_providers = providers
        c.create_inference_session()
        return c

    usual = _quantize.create_calibrator
    _quantize.create_calibrator = create
    try:
        yield
    finally:
        _quantize.create_calibrator = usual
