"""Quantizes real models with the narrow command, runs what it wrote in ONNX Runtime and compares.

    python test/ort/check.py NARROW SHARED

NARROW is the command, SHARED the folder with models/ and data/. Prints a table; exits with 1 if anything misses its mark.
"""
import json
import logging
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort

NARROW, SHARED = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
CIFAR = ["--scale", "1/255", "--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"]
failures = []
logging.disable(logging.WARNING)  # onnxruntime.quantization warns of every shape that it cannot infer


@dataclass
class Model:
    name: str
    data: str  # prefix of the files in data/
    calibration: int
    preprocessing: list
    top1: float  # the least that is good enough: percent, percent, dB
    agreement: float
    sqnr: float

    @property
    def path(self):
        return f"{SHARED}/models/{self.name}.onnx"

    def file(self, kind):
        return f"{SHARED}/data/{self.data}_{kind}.npy"

    def inputs(self):
        x = np.load(self.file("test_x")).astype(np.float32)
        if self.preprocessing:
            shape = (1, 3, 1, 1)
            mean = np.array([0.485, 0.456, 0.406], np.float32).reshape(shape)
            std = np.array([0.229, 0.224, 0.225], np.float32).reshape(shape)
            x = (x * np.float32(1 / 255) - mean) / std
        return x


MODELS = [
    Model("resnet20_cifar10", "cifar10", 500, CIFAR, 80.6, 98, 28.8),
    Model("resnet20_cifar10_bn", "cifar10", 500, CIFAR, 80.6, 98, 28.8),
    Model("resnet8_cifar10", "cifar10", 500, [], 75, 97, 25.2),
    Model("dscnn_kws", "kws", 200, [], 88.0, 98.5, 29.5),
    Model("mobilenetv2_cifar10", "cifar10", 500, CIFAR, 80.2, 98.7, 34.3),
]


def expect(what, ok, detail=""):
    if not ok:
        failures.append(f"{what}: {detail}")
        print(f"FAILED {what}: {detail}", flush=True)


def narrow(*args, code=0):
    done = subprocess.run([NARROW, *args], capture_output=True, text=True)
    expect("narrow " + " ".join(args), done.returncode == code, f"exit code {done.returncode}: {done.stderr.strip()}")
    return done


def narrow_json(*args):
    done = narrow(*args, "--json")
    return json.loads(done.stdout) if done.returncode == 0 else {}


def infer(path, x, optimized):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    if not optimized:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: x[i:i + 100]})[0] for i in range(0, len(x), 100)])


def sqnr(reference, got):
    reference, got = reference.astype(np.float64), got.astype(np.float64)
    return 10 * np.log10((reference**2).sum() / ((reference - got)**2).sum())


def quantize(model, out, *extra, limit=None):
    return narrow_json("quantize", model.path, "--calib", model.file("calib_x"), "--limit", str(limit or model.calibration),
                       "-o", out, *model.preprocessing, *extra)


def check_accuracy(folder):
    print(f"{'model':22} {'fp32':>6} {'top-1':>6} {'agree':>6} {'SQNR':>6} {'optim.':>6} {'narrow':>6} {'SQNR':>6}  calibration")
    reached = {}
    for m in MODELS:
        out = f"{folder}/{m.name}.onnx"
        done = quantize(m, out)
        if not done:
            continue
        x, y = m.inputs(), np.load(m.file("test_y"))
        reference = infer(m.path, x, False)
        plain, optimized = infer(out, x, False), infer(out, x, True)
        top1 = 100 * (plain.argmax(1) == y).mean()
        agreement = 100 * (plain.argmax(1) == reference.argmax(1)).mean()
        db, db_optimized = sqnr(reference, plain), sqnr(reference, optimized)
        reached[m.name] = db
        own = narrow_json("eval", out, "--data", m.file("test_x"), "--labels", m.file("test_y"), "--against", m.path, *m.preprocessing)
        print(f"{m.name:22} {100 * (reference.argmax(1) == y).mean():6.2f} {top1:6.2f} {agreement:6.2f} {db:6.2f} {db_optimized:6.2f} "
              f"{own.get('top1', 0):6.2f} {own.get('sqnr_db', 0):6.2f}  {done['seconds']:.2f} s, {done['peak_rss_bytes'] / 1e6:.0f} MB", flush=True)
        expect(f"{m.name} top-1", top1 >= m.top1, f"{top1:.2f} under {m.top1}")
        expect(f"{m.name} agreement", agreement >= m.agreement, f"{agreement:.2f} under {m.agreement}")
        expect(f"{m.name} SQNR", db >= m.sqnr, f"{db:.2f} under {m.sqnr}")
        expect(f"{m.name} optimized", abs(db - db_optimized) <= 0.3, f"{db:.2f} and {db_optimized:.2f} dB")
        as_users_run = 100 * (optimized.argmax(1) == y).mean()  # on integers, like narrow's engine
        expect(f"{m.name} narrow eval", abs(own.get("top1", 0) - as_users_run) <= 0.1, f"{own.get('top1')} and {as_users_run:.2f}")
        expect(f"{m.name} memory", done["peak_rss_bytes"] < 100e6, f"{done['peak_rss_bytes'] / 1e6:.0f} MB")
    if len(reached) == len(MODELS):
        pair = reached["resnet20_cifar10"], reached["resnet20_cifar10_bn"]
        expect("resnet20 with BatchNormalization", abs(pair[0] - pair[1]) <= 0.2, f"{pair[0]:.2f} and {pair[1]:.2f} dB")


def check_same_bytes(folder):
    for m in MODELS[0], MODELS[3]:
        files = []
        for threads in "1", "2":
            for batch in "1", "50":
                out = f"{folder}/t{threads}b{batch}.onnx"
                quantize(m, out, "--threads", threads, "--batch", batch, limit=100)
                files.append(open(out, "rb").read() if os.path.exists(out) else out)
        expect(f"{m.name} same bytes for any threads and batch", len(set(files)) == 1)
    print("same bytes for any number of threads and any batch: checked")


def check_memory(folder):
    peak = {n: quantize(MODELS[0], f"{folder}/memory.onnx", limit=n).get("peak_rss_bytes", 0) for n in (100, 1000)}
    print(f"peak memory, resnet20: {peak[100] / 1e6:.1f} MB for 100 inputs, {peak[1000] / 1e6:.1f} MB for 1000")
    expect("memory", peak[1000] < 100e6, f"{peak[1000] / 1e6:.1f} MB")
    expect("memory grows with the inputs", peak[1000] < 1.1 * peak[100] + 5e6, str(peak))


def quantize_elsewhere(model, out, form, kind, per_channel):
    """Quantizes a model by onnxruntime.quantization."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self):
            name = ort.InferenceSession(model.path, providers=["CPUExecutionProvider"]).get_inputs()[0].name
            self.batches = iter([{name: x} for x in np.split(model.inputs()[:40], 40)])

        def get_next(self):
            return next(self.batches, None)

    quantize_static(model.path, out, Reader(), quant_format=QuantFormat[form], per_channel=per_channel,
                    weight_type=QuantType.QInt8, activation_type=QuantType[kind])


def last_scale(path):
    """The scale that a network's output has as an integer, or None if it was computed in float."""
    graph = onnx.load(path).graph
    node = next(n for n in graph.node if graph.output[0].name in n.output)
    if node.op_type != "DequantizeLinear":
        return None
    return next(float(onnx.numpy_helper.to_array(t).reshape(())) for t in graph.initializer if t.name == node.input[1])


def check_engine(folder):
    """Files of narrow and of another tool give the integers in narrow's engine that they give in ONNX Runtime.

    ONNX Runtime runs them with its optimizations, which make integer nodes of them, with two exceptions. A convolution
    with a Relu and signed activations stays in float, where sums are rounded: then only the classes are compared. Its
    Softmax on integers is a table, which may be off by one.
    """
    print(f"\n{'file':64} {'classes':>9} {'identical':>11} {'off by one':>11}")
    files = [(m, f"{folder}/{m.name}.onnx", "by narrow", True) for m in MODELS]
    for m in MODELS[0], MODELS[2], MODELS[3]:
        for form, kind, per_channel in ("QDQ", "QInt8", True), ("QDQ", "QUInt8", False), ("QOperator", "QUInt8", True):
            out = f"{folder}/{m.name}_{form}_{kind}.onnx"
            quantize_elsewhere(m, out, form, kind, per_channel)
            files.append((m, out, f"by onnxruntime.quantization, {form} {kind}", kind == "QUInt8"))
    for m, path, origin, integers in files:
        reference = infer(path, m.inputs(), True)
        scores = f"{folder}/scores.npy"
        narrow("run", path, "--input", m.file("test_x"), "-o", scores, "--requant", "float", *m.preprocessing)
        got = np.load(scores)
        classes = 100 * (got.argmax(1) == reference.argmax(1)).mean()
        what, scale = f"{m.name} {origin}", last_scale(path)
        expect(f"{what}: classes", classes >= (99.9 if integers else 99.5), f"{classes:.2f}")
        if scale is None:
            print(f"{what:64} {classes:7.2f} % output in float, {sqnr(reference, got):.1f} dB", flush=True)
            expect(f"{what}: SQNR", sqnr(reference, got) > 45, f"{sqnr(reference, got):.1f} dB")
            continue
        off = np.abs(np.rint(got / scale) - np.rint(reference / scale))
        same, near = 100 * (off == 0).mean(), 100 * (off == 1).mean()
        print(f"{what:64} {classes:7.2f} % {same:9.3f} % {near:9.3f} %", flush=True)
        if integers:
            softmax = any(n.op_type == "Softmax" for n in onnx.load(path).graph.node)
            expect(f"{what}: integers", off.max() <= 1 and (same >= 99.9 or softmax), f"{same:.3f} % identical, at most {off.max():.0f} off")


def check_full_disk(folder):
    disk = f"{folder}/disk"
    os.mkdir(disk)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk]).returncode:
        print("full disk: not checked, no file system can be mounted here")
        return
    try:
        m = MODELS[0]
        done = narrow("quantize", m.path, "--calib", m.file("calib_x"), "--limit", "10", "-o", f"{disk}/int8.onnx", *m.preprocessing, code=1)
        expect("full disk: one clear line", "no space left" in done.stderr and done.stderr.count("\n") == 1, done.stderr)
        expect("full disk: nothing left", os.listdir(disk) == [], str(os.listdir(disk)))
        print("full disk: checked")
    finally:
        subprocess.run(["umount", disk], check=True)


with tempfile.TemporaryDirectory() as folder:
    check_accuracy(folder)
    check_same_bytes(folder)
    check_memory(folder)
    check_full_disk(folder)
    check_engine(folder)
print(f"{len(failures)} failures")
sys.exit(bool(failures))
