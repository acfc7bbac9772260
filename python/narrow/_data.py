"""Models and inputs as files, which the command reads."""
import contextlib
import itertools
import os
import pathlib
import tempfile

import numpy as np

from ._errors import ARGUMENT, DATA, ArgumentError, DataError


@contextlib.contextmanager
def as_file(model):
    """The path of a model that is a path, bytes or an onnx.ModelProto."""
    if isinstance(model, (str, os.PathLike)):
        yield os.fspath(model)
        return
    if not isinstance(model, bytes):
        if not hasattr(model, "SerializeToString"):
            raise ArgumentError(ARGUMENT, f"model: {type(model).__name__} is neither a path, nor the bytes of an ONNX file, nor an onnx.ModelProto")
        model = model.SerializeToString()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.onnx")
        with open(path, "wb") as f:
            f.write(model)
        yield path


def is_paths(data):
    """Whether data is the path of a file or folder, or several."""
    return isinstance(data, (str, os.PathLike)) or isinstance(data, (list, tuple)) and len(data) > 0 and all(isinstance(d, (str, os.PathLike)) for d in data)


def write(data, inputs, folder, argument="data"):
    """Writes inputs to files in a folder and returns what the command is to be told of them.

    inputs describe the model's, as `narrow inspect` does. data is an array with the batch first, a tuple or dict of arrays, rows of
    pandas, or an iterable of single inputs or batches of these. What an iterable gives is written as it comes.
    """
    if is_paths(data):
        return [os.fspath(d) for d in ([data] if isinstance(data, (str, os.PathLike)) else data)]
    names = [i["name"] for i in inputs]
    writer = _Writer(inputs, pathlib.Path(folder), argument)
    if is_array(data) or isinstance(data, dict) or isinstance(data, tuple) and len(data) == len(names) and all(map(is_array, data)):
        writer.whole(_in_order(data, names, argument))
    else:
        try:
            items = iter(data)
        except TypeError:
            raise ArgumentError(ARGUMENT, f"{argument}: {type(data).__name__} is no array, path or iterable of inputs") from None
        for item in items:
            writer.add(_in_order(item, names, argument)[: len(names)])  # what a loader gives behind the inputs, labels, is left out
    return writer.finish()


def is_array(x):
    return hasattr(x, "__array__") or np.isscalar(x) and not isinstance(x, (str, bytes))


def _in_order(item, names, argument):
    """An input, or a batch, as a list of arrays."""
    if isinstance(item, dict):
        missing = [n for n in names if n not in item]
        if missing:
            raise ArgumentError(ARGUMENT, f"{argument}: there is nothing for input {missing[0]!r} of the model, but for {', '.join(map(repr, item))}")
        return [item[n] for n in names]
    if is_array(item) or _is_rows(item):
        item = [item]
    item = list(item)
    if len(item) < len(names):
        raise ArgumentError(ARGUMENT, f"{argument}: {len(item)} arrays for the {len(names)} inputs of the model")
    return item


def _is_rows(item):
    """Whether something is nested lists of numbers."""
    while isinstance(item, list) and item:
        item = item[0]
    return isinstance(item, (int, float, bool))


def as_array(x, argument):
    """x as an array of a type that files can hold."""
    if hasattr(x, "detach"):  # a tensor of PyTorch, perhaps on a device or in bfloat16
        x = x.detach().cpu()
        x = x.float() if str(x.dtype) == "torch.bfloat16" else x
    a = np.asarray(x.numpy() if hasattr(x, "numpy") and not isinstance(x, np.ndarray) else x)
    if a.dtype == object:
        try:
            a = np.stack([np.asarray(row) for row in a.tolist()]) if a.ndim == 1 else a.astype(np.float32)
        except (TypeError, ValueError):
            raise DataError(DATA, f"{argument}: elements of different shapes, or no numbers") from None
    if a.dtype.kind not in "biuf":
        raise DataError(DATA, f"{argument}: {a.dtype} is no type of numbers that a model takes")
    if a.dtype.kind == "f" and a.dtype.itemsize > 8:
        a = a.astype(np.float64)
    return np.ascontiguousarray(a).astype(a.dtype.newbyteorder("<"), copy=False) if a.ndim else a


class _Writer:
    """Writes arrays, for each input of the model, one behind the other; those of another shape go to another file."""

    def __init__(self, inputs, folder, argument):
        self.inputs, self.folder, self.argument = inputs, folder, argument
        self.numbers = itertools.count()
        self.files, self.open = [], []  # of all inputs together

    def whole(self, arrays):
        """Takes arrays that hold everything, also of an input without a batch."""
        for spec, x in zip(self.inputs, arrays):
            path = self.folder / f"{next(self.numbers)}.npy"
            np.save(path, as_array(x, self.argument))
            self.files.append((spec["name"], path))

    def add(self, arrays):
        rows = []
        for spec, x in zip(self.inputs, arrays):
            a = as_array(x, self.argument)
            if spec["shape"] is not None and a.ndim == len(spec["shape"]) - 1 or a.ndim == 0:
                a = a[None]  # one input without a batch axis
            rows.append(a)
        if not self.open or any(not f.takes(a) for f, a in zip(self.open, rows)):
            self._close()
            self.open = [_Rows(self.folder / f"{next(self.numbers)}.npy", a) for a in rows]
        for f, a in zip(self.open, rows):
            f.add(a)

    def _close(self):
        for spec, f in zip(self.inputs, self.open):
            f.close()
            self.files.append((spec["name"], f.path))
        self.open = []

    def finish(self):
        self._close()
        if not self.files:
            raise DataError(DATA, f"{self.argument}: there is no input in it")
        if len(self.inputs) == 1:
            return [str(path) for _, path in self.files]
        return [f"{name}={path}" for name, path in self.files]


class _Rows:
    """A .npy file that grows: the count in its header is written at the end."""

    def __init__(self, path, like):
        self.path, self.dtype, self.shape, self.count = path, like.dtype, like.shape[1:], 0
        self.file = open(path, "wb")
        self.file.write(self._header())

    def _header(self):
        text = repr({"descr": self.dtype.newbyteorder("<").str if self.dtype.itemsize > 1 else self.dtype.str, "fortran_order": False, "shape": (self.count, *self.shape)})
        return b"\x93NUMPY\x01\x00" + (246).to_bytes(2, "little") + text.ljust(245).encode() + b"\n"

    def takes(self, a):
        return a.dtype == self.dtype and a.shape[1:] == self.shape

    def add(self, a):
        self.count += len(a)
        self.file.write(memoryview(np.ascontiguousarray(a)).cast("B") if a.size else b"")

    def close(self):
        self.file.seek(0)
        self.file.write(self._header())
        self.file.close()
