"""Quantizing models and measuring them, by the command."""
from __future__ import annotations

import contextlib
import dataclasses
import html
import os
import pathlib
import tempfile
from typing import Any, Sequence, Union

from . import _command
from ._data import as_array, as_file, is_paths, write
from ._errors import ARGUMENT, ArgumentError

Model = Union[str, "os.PathLike[str]", bytes, Any]  # Any: an onnx.ModelProto
Data = Any  # see quantize


@dataclasses.dataclass
class Result:
    """A quantized model and how close it comes to the float one."""

    sqnr: float | None  # least of any output or part of one, in dB; None if they are equal
    agreement: float | None  # percent of the classes; None without classes
    verdict: str  # the same in words
    measured: int  # inputs that this was measured on
    held_back: bool  # whether these were held back from calibration
    nodes_quantized: int
    nodes_float: int
    reasons: dict[str, str]  # why nodes stay in float, by name
    outputs: dict[str, float | None]  # dB of every output, and of parts of one
    warnings: list[str]
    mends: list[dict]  # nodes that would bring most in float: {"node", "gain_db"}
    search: dict | None  # with a target: the front of what was looked at
    seconds: float
    path: str | None  # where the model was written
    report: str | None  # the report's HTML, if there is one
    _model: bytes | None = dataclasses.field(default=None, repr=False)

    @property
    def model(self) -> bytes:
        """The bytes of the quantized model."""
        if self._model is None:
            self._model = pathlib.Path(self.path).read_bytes()
        return self._model

    def __bytes__(self) -> bytes:
        return self.model

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the quantized model to a file."""
        pathlib.Path(path).write_bytes(self.model)

    def _repr_html_(self) -> str:
        rows = [("quality", f"{_db(self.sqnr)}: {self.verdict}"), ("measured on", f"{self.measured} inputs" + (" held back" if self.held_back else "")),
                ("nodes", f"{self.nodes_quantized} on integers, {self.nodes_float} in float"), ("size", f"{len(self.model):,} bytes")]
        if self.agreement is not None:
            rows.insert(1, ("agreement", f"{self.agreement:.1f} %"))
        rows += [("warning", w) for w in self.warnings]
        table = "<table>" + "".join(f"<tr><th style='text-align:left'>{name}</th><td style='text-align:left'>{html.escape(text)}</td></tr>" for name, text in rows) + "</table>"
        if self.report is None:
            return table
        return table + f'<iframe style="width:100%;height:40rem;border:1px solid #888" sandbox="allow-scripts" srcdoc="{html.escape(self.report)}"></iframe>'


@dataclasses.dataclass
class Evaluation:
    """What `narrow.evaluate` measures. Percentages are 0 to 100; None for what was not asked for."""

    top1: float | None
    agreement: float | None
    sqnr: float | None
    identical: bool
    count: int
    inputs_per_second: float


def quantize(model: Model, data: Data = None, output: str | os.PathLike[str] | None = None, *, report: bool | str | os.PathLike[str] = False,
             test: Data = None, labels: Any = None, **options: Any) -> Result:
    """Quantizes a float ONNX model.

    model is a path, the file's bytes or an onnx.ModelProto. data are a few hundred inputs: an array of any numeric type with the batch
    first, a tuple or dict of arrays if the model has several inputs, rows of pandas, an iterable of single inputs or of batches of
    these (a list, a generator, a PyTorch DataLoader, whose labels are left out), or paths that `narrow quantize --calib` takes; None
    with weights_only=True, dynamic=True or stats=PATH.

    output is where the quantized model is written; Result.model has its bytes in any case. report=True makes Result.report, which
    notebooks show, a path writes it as well; test and labels (of test, or else of data) go into it.

    Options are the flags of `narrow quantize`, with _ for -: clip="kl", weight_bits=4, exclude=["node"], bits={"node": (4, 8)},
    target="30dB", for_="onnxruntime" (for is a word of Python), auto_exclude=20, min_sqnr=25, scale="1/255", mean=[...], preset="imagenet", threads=2, ...
    """
    if data is None and not (options.get("weights_only") or options.get("dynamic") or options.get("stats")):
        raise ArgumentError(ARGUMENT, "data: inputs are needed to calibrate on (or weights_only=True, dynamic=True, stats=PATH)")
    with as_file(model) as path, tempfile.TemporaryDirectory() as folder:
        made = os.fspath(output) if output is not None else os.path.join(folder, "quantized.onnx")
        arguments = ["quantize", path, "-o", made, *_command.flags(options)]
        arguments += _inputs(path, data, folder, "data", "--calib") + _inputs(path, test, folder, "test", "--test") + _labels(labels, folder)
        page = os.fspath(report) if not isinstance(report, bool) else os.path.join(folder, "report.html") if report else None
        if page is not None:
            arguments += ["--report", page]
        said, warnings = _command.run(*arguments)
        return _result(said, warnings, made, output, page)


def _result(said, warnings, made, output, page):
    return Result(
        sqnr=said.get("sqnr_db"), agreement=said.get("agreement"), verdict=said.get("verdict", "not measured"), measured=said.get("measured_inputs", 0),
        held_back=said.get("held_back", False), nodes_quantized=said.get("nodes_quantized", said.get("weights_quantized", 0)),
        nodes_float=said.get("nodes_float", said.get("weights_float", 0)), reasons=said.get("float") or {},
        outputs={o["name"]: o["sqnr_db"] for o in said.get("outputs") or []}, warnings=warnings, mends=said.get("mends") or [], search=said.get("search"),
        seconds=said["seconds"], path=None if output is None else os.fspath(output),
        report=None if page is None else pathlib.Path(page).read_text("utf-8"), _model=pathlib.Path(made).read_bytes() if output is None else None)


def target(model: Model, data: Data, goal: str | float, output: str | os.PathLike[str] | None = None, **options: Any) -> Result:
    """Quantizes so that a goal is reached at the least cost: "30dB" of every output (or 30), or "99%" of the classes."""
    return quantize(model, data, output, target=f"{goal:g}dB" if isinstance(goal, (int, float)) else goal, **options)


def evaluate(model: Model, data: Data, *, labels: Any = None, against: Model | None = None, **options: Any) -> Evaluation:
    """Measures a model, float or quantized by any tool: top-1 with labels, agreement and SQNR against another model."""
    with as_file(model) as path, _optional(against) as other, tempfile.TemporaryDirectory() as folder:
        arguments = ["eval", path, *_inputs(path, data, folder, "data", "--data"), *_labels(labels, folder), *_command.flags(options)]
        if other is not None:
            arguments += ["--against", other]
        said, _ = _command.run(*arguments)
    return Evaluation(said.get("top1"), said.get("agreement"), said.get("sqnr_db"), said.get("identical", False), said["count"], said["images_per_second"])


def compare(model: Model, other: Model, data: Data, **options: Any) -> list[dict]:
    """The tensors of two forms of a model side by side, the worst first."""
    with as_file(model) as path, as_file(other) as second, tempfile.TemporaryDirectory() as folder:
        said, _ = _command.run("compare", path, second, *_inputs(path, data, folder, "data", "--data"), *_command.flags(options))
    return said["tensors"]


def sensitivity(model: Model, data: Data, **options: Any) -> list[dict]:
    """What quantizing each tensor and each node's weights alone costs at the outputs, the most first."""
    with as_file(model) as path, tempfile.TemporaryDirectory() as folder:
        said, _ = _command.run("sensitivity", path, *_inputs(path, data, folder, "data", "--calib"), *_command.flags(options))
    return said["sensitivity"]


def inspect(model: Model, **options: Any) -> dict:
    """The nodes of a model and what quantization would do with each, its inputs, outputs, parameters and multiply-accumulates."""
    with as_file(model) as path:
        return _command.run("inspect", path, *_command.flags(options))[0]


@contextlib.contextmanager
def _optional(model):
    if model is None:
        yield None
        return
    with as_file(model) as path:
        yield path


def _inputs(model, data, folder, argument, flag):
    if data is None:
        return []
    inputs = None if is_paths(data) else _command.run("inspect", model)[0]["inputs"]
    inside = os.path.join(folder, argument)
    os.mkdir(inside)
    return [word for path in write(data, inputs, inside, argument) for word in (flag, path)]


def _labels(labels, folder):
    if labels is None:
        return []
    if is_paths(labels):
        return ["--labels", os.fspath(labels)]
    import numpy as np

    path = os.path.join(folder, "labels.npy")
    np.save(path, as_array(labels, "labels").astype(np.int64).reshape(-1))
    return ["--labels", path]


def _db(value):
    return "identical" if value is None else f"{value:.1f} dB"


__all__: Sequence[str] = ["Evaluation", "Result", "compare", "evaluate", "inspect", "quantize", "sensitivity", "target"]
