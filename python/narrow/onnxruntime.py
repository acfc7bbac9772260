"""onnxruntime.quantization's quantize_static, done by narrow.

    from narrow.onnxruntime import quantize_static
    quantize_static("model.onnx", "int8.onnx", reader)

takes what onnxruntime.quantization.quantize_static takes. What narrow does otherwise, or cannot do, is an error that names the argument, not
something else in silence; a value of None is narrow's own choice. ONNX Runtime need not be installed.
"""
from __future__ import annotations

import os
from typing import Any

from . import api
from ._data import as_file
from ._errors import ARGUMENT, ArgumentError

_METHODS = {"MinMax": "max", "Entropy": "kl", "Percentile": "percentile:99.999", "Distribution": None}
_ACTIVATIONS = {"QInt8": {"act_bits": 8, "signs": False}, "QUInt8": {"act_bits": 8}, "QInt16": {"act_bits": 16, "signs": False}, "QUInt16": {"act_bits": 16}}
_WEIGHTS = {"QInt8": 8, "QInt4": 4}
_FORMATS = {"QDQ": "qdq", "QOperator": "qoperator"}
# Options of onnxruntime's that mean nothing here: narrow does always, or never, what they ask for.
_IGNORED = {"WeightSymmetric", "CalibMaxIntermediateOutputs", "CalibMovingAverage", "CalibMovingAverageConstant", "DedicatedQDQPair", "EnableSubgraph",
            "ForceQuantizeNoInputCheck", "MatMulConstBOnly", "AddQDQPairToWeight", "OpTypesToExcludeOutputQuantization", "QDQKeepRemovableActivations"}


def _name(value: Any) -> str:
    return getattr(value, "name", str(value))


def _chosen(argument: str, value: Any, table: dict) -> Any:
    name = _name(value)
    if name not in table or table[name] is None:
        raise ArgumentError(ARGUMENT, f"{argument}: narrow has no {name}: there are {', '.join(k for k, v in table.items() if v is not None)}")
    return table[name]


def quantize_static(model_input: Any, model_output: str | os.PathLike[str], calibration_data_reader: Any = None, quant_format: Any = "QDQ",
                    op_types_to_quantize: list[str] | None = None, per_channel: bool = False, reduce_range: bool = False,
                    activation_type: Any = "QInt8", weight_type: Any = "QInt8", nodes_to_quantize: list[str] | None = None,
                    nodes_to_exclude: list[str] | None = None, use_external_data_format: bool = False, calibrate_method: Any = "MinMax",
                    calibration_providers: Any = None, extra_options: dict[str, Any] | None = None, calibration_cache_path: Any = None) -> api.Result:
    """Quantizes a model with what a calibration data reader gives, and writes it; returns narrow's Result, which onnxruntime has not.

    calibration_providers and use_external_data_format are not looked at: narrow runs the model itself, and writes weights of over 2 GB beside the model.
    """
    options: dict[str, Any] = {"format": _chosen("quant_format", quant_format, _FORMATS), "per_channel": per_channel,
                               **_chosen("activation_type", activation_type, _ACTIVATIONS)}
    options["weight_bits"] = _chosen("weight_type", weight_type, _WEIGHTS)
    if calibration_data_reader is None:
        raise ArgumentError(ARGUMENT, "calibration_data_reader: inputs are needed to calibrate on")
    if calibration_cache_path is not None:
        raise ArgumentError(ARGUMENT, "calibration_cache_path: narrow keeps statistics in files of its own: narrow calibrate, and stats= of narrow.quantize")
    if reduce_range:
        options["weight_bits"] = min(options["weight_bits"], 7)
    if calibrate_method is not None:
        options["clip"] = _chosen("calibrate_method", calibrate_method, _METHODS)
    _extra(options, dict(extra_options or {}))
    with as_file(model_input) as path:
        options["exclude"], options["exclude_op"] = _excluded(path, op_types_to_quantize, nodes_to_quantize, nodes_to_exclude)
        return api.quantize(path, _batches(calibration_data_reader), model_output, **options)


def _extra(options: dict[str, Any], extra: dict[str, Any]) -> None:
    """Translates extra_options."""
    if "CalibPercentile" in extra:
        percentile = extra.pop("CalibPercentile")
        if options.get("clip", "").startswith("percentile"):
            options["clip"] = f"percentile:{percentile}"
    if extra.pop("ActivationSymmetric", False):
        options["asymmetric"] = False
    for name, value in extra.items():
        if name not in _IGNORED and value not in (None, False):
            raise ArgumentError(ARGUMENT, f"extra_options: narrow has nothing for {name}")


def _excluded(path: str, op_types: list[str] | None, nodes: list[str] | None, without: list[str] | None) -> tuple[list[str], list[str]]:
    """The nodes and operators that stay in float."""
    excluded, operators = list(without or []), []
    if op_types or nodes:
        about = api.inspect(path)["nodes"]
        if op_types:
            operators = sorted({n["op"] for n in about} - set(op_types))
        if nodes:
            excluded += [n["name"] for n in about if n["name"] not in nodes and n["name"] not in excluded]
    return excluded, operators


def _batches(reader: Any) -> Any:
    """What a CalibrationDataReader gives, batch by batch."""
    while (batch := reader.get_next()) is not None:
        yield batch
