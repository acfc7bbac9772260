"""Builds small random networks of all operator families and compares narrow with ONNX Runtime on each.

    python test/networks/differential.py NARROW [--count 300] [--first 0] [--keep FOLDER]

Shapes hold dimensions of 0 and 1, scalars and a symbolic batch; attributes are random. A node is kept if ONNX Runtime runs it. For each
network: narrow's outputs are ONNX Runtime's; they do not depend on --batch; and what it quantizes under random options runs in ONNX Runtime and gives there
what narrow gives. What narrow refuses with one sentence is counted, what ends otherwise or differs is a failure.
ReduceMean over no elements, which the standard leaves undefined (NaN here, 0 in ONNX Runtime), is not built.
"""
import argparse
import collections
import os
import re
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto as T, helper, numpy_helper

warnings.filterwarnings("ignore")
ort.set_default_logger_severity(4)
OPSETS = [13, 17, 18, 21]
OPTIONS = [[], ["--asymmetric"], ["--per-channel=false", "--clip", "max"], ["--signs=false"], ["--shift"], ["--format", "qoperator"], ["--act-bits", "16"], ["--weight-bits", "4"],
           ["--equalize=false", "--compensate=false"], ["--no-round"]]

UNARY = ["Abs", "Neg", "Relu", "Sigmoid", "Tanh", "Exp", "Erf", "Floor", "Ceil", "Round", "Sign", "Softplus", "Softsign", "HardSigmoid", "HardSwish", "Elu", "Selu", "Celu", "LeakyRelu", "ThresholdedRelu",
         "Sin", "Cos", "Atan", "Asinh", "Sinh", "Identity", "Dropout", "IsNaN", "Mish"]
BINARY = ["Add", "Sub", "Mul", "Div", "Max", "Min", "Greater", "Less", "GreaterOrEqual", "LessOrEqual", "Equal", "Pow", "PRelu", "Mod"]
REDUCE = ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp"]


def one_node(node, values, opset):
    """Returns what ONNX Runtime makes of a node, None if it refuses it."""
    ins = [i for i in dict.fromkeys(node.input) if i]
    info = [helper.make_tensor_value_info(i, helper.np_dtype_to_tensor_dtype(values[i].dtype), values[i].shape) for i in ins]
    outs = [helper.make_empty_tensor_value_info(o) for o in node.output]
    model = helper.make_model(helper.make_graph([node], "g", info, outs), opset_imports=[helper.make_opsetid("", opset)], ir_version=10 if opset > 18 else 8)
    try:
        got = session(model.SerializeToString()).run(None, {i: values[i] for i in ins})
    except Exception:
        return None
    return got if all(isinstance(g, np.ndarray) and g.size < 1 << 14 for g in got) else None


def session(model):
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class Builder:
    def __init__(self, seed):
        self.r = np.random.default_rng(seed)
        self.opset = int(self.r.choice(OPSETS))
        rank = int(self.r.choice([1, 2, 3, 4, 4]))
        shape = [4, *[int(d) for d in self.r.choice([0, 1, 1, 2, 3, 4, 6, 6], rank - 1)]]
        if rank == 4 and self.r.random() < 0.7:
            shape[1:] = [int(self.r.choice([1, 2, 4])), 6, 6]
        self.x = self.r.standard_normal(shape).astype(np.float32)
        self.fixed = self.r.random() < 0.5  # the batch is a number: then the network runs on all inputs at once
        self.values, self.nodes, self.constants, self.count = {"x": self.x}, [], [], 0

    def name(self):
        self.count += 1
        return f"v{self.count}"

    def const(self, value):
        name = self.name()
        self.values[name] = np.asarray(value)
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def ints(self, v):
        return self.const(np.array(v, np.int64))

    def pick(self, *options):
        return options[int(self.r.integers(0, len(options)))]

    def input(self):
        made = [o for n in self.nodes for o in n.output if o in self.values and self.values[o].dtype == np.float32]
        return str(self.r.choice([*made[-3:], *made[-3:], "x"]))

    def axes_of(self, kind, axes):
        """The axes of a reduction, as an attribute or as an input."""
        if self.opset >= 18 or kind == "ReduceSum":
            return [self.ints(axes)], {}
        return [], {"axes": axes}

    def candidate(self):
        x = self.input()
        v = self.values[x]
        rank, r = v.ndim, self.r
        axis = int(r.integers(-rank, rank)) if rank else 0
        kind = int(r.integers(0, 16))
        if kind == 0:
            return str(r.choice(UNARY)), [x], {}
        if kind == 1:
            other = self.pick(self.input(), self.const(np.float32(r.standard_normal())), self.const(r.standard_normal([d if r.random() < 0.6 else 1 for d in v.shape[1:]]).astype(np.float32)))
            return str(r.choice(BINARY)), [x, other] if r.random() < 0.8 else [other, x], {}
        if kind == 2:
            name = str(r.choice(REDUCE))
            if name == "ReduceMean" and not v.size:
                name = "ReduceSum"  # a mean over nothing is undefined
            axes = sorted({int(a) for a in r.integers(0, rank, int(r.integers(1, 3)))}) if rank else []
            more, attrs = self.axes_of(name, axes) if axes and r.random() < 0.85 else ([], {})
            return name, [x, *more], {"keepdims": int(r.integers(0, 2)), **attrs}
        if kind == 3:
            target = self.pick([0, -1], [-1], [0] * rank, [*v.shape[:1], -1], [] if v.size == 1 else [0, 1, -1], [1, *v.shape])
            return "Reshape", [x, self.ints(target)], {}
        if kind == 4 and rank:
            return "Transpose", [x], {"perm": [int(p) for p in r.permutation(rank)]}
        if kind == 5:
            return self.pick(("Unsqueeze", [x, self.ints([axis])], {}), ("Squeeze", [x, self.ints([axis])], {}), ("Squeeze", [x], {}), ("Flatten", [x], {"axis": axis}))
        if kind == 6:
            return "Concat", [x, self.input(), x][: int(r.integers(1, 4))], {"axis": axis}
        if kind == 7:
            start, end, step = int(r.integers(-4, 4)), int(r.integers(-4, 9)), int(r.choice([1, 1, 2, -1, -2]))
            return "Slice", [x, self.ints([start]), self.ints([end]), self.ints([axis]), self.ints([step])], {}
        if kind == 8:
            return "Pad", [x, self.ints([int(p) for p in r.integers(0, 3, 2 * rank)]), *([self.const(np.float32(r.choice([0, 1.5])))] if r.random() < 0.5 else [])], {"mode": self.pick("constant", "constant", "edge", "reflect")}
        if kind == 9:
            return self.pick(("Gather", [x, self.ints(self.pick([0], 0, [[0, 0]], []))], {"axis": axis}), ("Expand", [x, self.ints([2, *[1] * rank])], {}), ("Tile", [x, self.ints([int(k) for k in r.integers(0, 3, rank)])], {}),
                             ("CumSum", [x, self.const(np.int64(axis))], {"exclusive": int(r.integers(0, 2))}), ("Cast", [x], {"to": int(r.choice([T.FLOAT16, T.INT32, T.BOOL, T.DOUBLE]))}))
        if kind == 10:
            return self.pick(("Softmax", [x], {"axis": axis}), ("LogSoftmax", [x], {"axis": axis}), ("Hardmax", [x], {"axis": axis}), ("ArgMax", [x], {"axis": axis, "keepdims": int(r.integers(0, 2))}),
                             ("Clip", [x, self.const(np.float32(-0.5)), self.const(np.float32(r.choice([0.5, -1])))], {}))
        if kind == 11 and rank:
            n = int(r.integers(1, 5))
            return self.pick(("MatMul", [x, self.const(r.standard_normal((v.shape[-1], n)).astype(np.float32))], {}), ("Gemm", [x, self.const(r.standard_normal((n, v.shape[-1])).astype(np.float32)), self.const(r.standard_normal(n).astype(np.float32))], {"transB": 1}),
                             ("MatMul", [x, self.input()], {}), ("LayerNormalization", [x, self.const(np.ones(v.shape[-1], np.float32))], {}))
        if kind in (12, 13) and rank >= 3:
            c, spatial = v.shape[1], rank - 2
            group = self.pick(1, c) if c else 1
            k = [int(d) for d in r.integers(1, 4, spatial)]
            window = {"kernel_shape": k, "strides": [int(d) for d in r.integers(1, 3, spatial)], "pads": [int(p) for p in r.integers(0, 2, 2 * spatial)]}
            w = r.standard_normal((group * int(r.integers(1, 4)), max(c // group, 1), *k)).astype(np.float32)
            return self.pick(("Conv", [x, self.const(w), *([self.const(r.standard_normal(len(w)).astype(np.float32))] if r.random() < 0.6 else [])], {**window, "group": group, "dilations": [int(d) for d in r.integers(1, 3, spatial)]}),
                             ("ConvTranspose", [x, self.const(r.standard_normal((c, 2, *k)).astype(np.float32))], {key: window[key] for key in ("kernel_shape", "strides")}),
                             ("MaxPool", [x], {**window, "ceil_mode": int(r.integers(0, 2))}), ("AveragePool", [x], {**window, "count_include_pad": int(r.integers(0, 2))}))
        if kind == 14 and rank >= 3:
            c = v.shape[1]
            scale = [self.const(f(r.standard_normal(c)).astype(np.float32)) for f in (np.asarray, np.asarray, np.asarray, np.abs)]
            return self.pick(("GlobalAveragePool", [x], {}), ("GlobalMaxPool", [x], {}), ("BatchNormalization", [x, *scale], {}), ("InstanceNormalization", [x, *scale[:2]], {}),
                             ("Resize", [x, "", self.const(np.array([1, 1, *[2] * (rank - 2)], np.float32))], {"mode": self.pick("nearest", "linear"), "coordinate_transformation_mode": self.pick("asymmetric", "half_pixel"), "nearest_mode": "floor"}))
        return self.pick(("Where", [self.const(np.array(bool(r.integers(0, 2)))), x, self.input()], {}), ("Sum", [x, self.input()], {}), ("TopK", [x, self.ints([1])], {"axis": axis}), ("Mean", [x, self.input()], {}))

    def grow(self):
        for _ in range(int(self.r.integers(1, 7))):
            kind, inputs, attrs = self.candidate()
            outs = [self.name() for _ in range(2 if kind == "TopK" else 1)]
            node = helper.make_node(kind, inputs, outs, name=f"{kind}_{outs[0]}", **attrs)
            got = one_node(node, self.values, self.opset)
            if got is not None:
                self.nodes.append(node)
                self.values.update(zip(outs, got))

    def model(self):
        read = {i for n in self.nodes for i in n.input}
        outs = [o for n in self.nodes for o in n.output if o not in read]
        dims = [4 if self.fixed else "N", *self.x.shape[1:]]
        graph = helper.make_graph(self.nodes, "random", [helper.make_tensor_value_info("x", T.FLOAT, dims)], [helper.make_empty_tensor_value_info(o) for o in outs], [c for c in self.constants if c.name in read])
        for o in graph.output:
            o.type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(self.values[o.name].dtype)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=10 if self.opset > 18 else 8)


def differs(want, got):
    for name, w in want.items():
        g = got.get(name)
        w = np.atleast_1d(w)  # narrow writes a scalar as a row
        if g is None or g.shape != w.shape or g.dtype != w.dtype:
            return f"{name}: {None if g is None else (g.dtype, g.shape)}, ONNX Runtime {w.dtype} {w.shape}"
        if w.size and not np.allclose(g.astype(np.float64), w.astype(np.float64), rtol=2e-3, atol=2e-4 * max(1.0, float(np.nanmax(np.abs(np.nan_to_num(w.astype(np.float64), posinf=0, neginf=0))))), equal_nan=True):
            return f"{name}: {g.ravel()[:4]}, ONNX Runtime {w.ravel()[:4]}"
    return ""


def ties(want, got):
    """Reports whether outputs differ by little, as where values half way between two steps are rounded to either."""
    for name, w in want.items():
        g, w = got.get(name), np.atleast_1d(w)
        if g is None or g.shape != w.shape or g.dtype != np.float32 or not np.array_equal(np.isfinite(g), np.isfinite(w)):
            return False
        g, w = (a[np.isfinite(w)].astype(np.float64) for a in (g, w))
        if ((g - w) ** 2).sum() > 1e-2 * (w**2).sum():
            return False
    return True


class Narrow:
    def __init__(self, path, folder):
        self.path, self.folder = path, folder

    def __call__(self, *args):
        """Returns an error, or nothing; raises for an end that is no error of one sentence."""
        done = subprocess.run([self.path, *args], capture_output=True, text=True, timeout=60)
        if done.returncode not in (0, 1) or done.returncode == 1 and (done.stderr.count("\n") > 2 or re.search("panic|internal error|broke on it", done.stderr)):
            raise RuntimeError(f"{' '.join(args)}: exit code {done.returncode}: {done.stderr[:300]}")
        self.separate = "one at a time" in done.stderr
        return done.stderr.strip().split("\n")[-1] if done.returncode else ""

    def run(self, model, data, *args):
        out = os.path.join(self.folder, "y.npz")
        error = self("run", model, "--input", data, "-o", out, *args)
        return error, None if error else dict(np.load(out))


def check(narrow, seed, folder):
    """Returns how far a network came ("refused", "ran", "quantized") and what is wrong."""
    b = Builder(seed)
    b.grow()
    if not b.nodes:
        return "empty", ""
    path, data, q = (os.path.join(folder, f"{seed}{end}") for end in (".onnx", ".npy", ".q.onnx"))
    model = b.model()
    onnx.save(model, path)
    np.save(data, b.x)
    try:
        s = session(path)
        want = dict(zip([o.name for o in s.get_outputs()], s.run(None, {"x": b.x})))
    except Exception:
        return "empty", ""
    error, got = narrow.run(path, data)
    if error:
        return "refused", error
    separate = narrow.separate
    if separate and (want := one_by_one(s, b.x)) is None:
        return "ran", ""  # input by input outputs have other shapes
    if problem := differs(want, got):
        return "failed", problem
    if not b.fixed:
        error, got = narrow.run(path, data, "--batch", "1")
        if error or differs(want, got):
            return "failed", f"--batch 1: {error or differs(want, got)}"
    options = OPTIONS[int(b.r.integers(0, len(OPTIONS)))]
    if narrow("quantize", path, "--calib", data, "-o", q, *options):
        return "ran", ""
    try:
        onnx.checker.check_model(q)  # in full it refuses ceil_mode as ONNX Runtime computes it
        s = session(q)
        want = one_by_one(s, b.x) if separate else dict(zip([o.name for o in s.get_outputs()], s.run(None, {"x": b.x})))
    except Exception as e:
        return "failed", f"{' '.join(options)}: ONNX Runtime: {str(e)[:200]}"
    error, got = narrow.run(q, data, "--engine", "float")
    if not error and (separate or narrow.separate):
        return "quantized", ""  # the file may name another axis as the batch's, along which results are joined
    if error or (problem := differs(want, got)) and not ties(want, got):
        return "failed", f"{' '.join(options)}: {error or problem}"
    return "quantized", ""


def one_by_one(s, x):
    """Runs a network input by input, as narrow does where a batch mixes them; None where its results cannot be joined."""
    try:
        parts = [s.run(None, {"x": x[i : i + 1]}) for i in range(len(x))]
        return {o.name: np.concatenate([np.atleast_1d(p[k]) for p in parts]) for k, o in enumerate(s.get_outputs())}
    except Exception:
        return None


def main():
    p = argparse.ArgumentParser()
    p.add_argument("narrow")
    p.add_argument("--count", type=int, default=300)
    p.add_argument("--first", type=int, default=0)
    p.add_argument("--keep", help="folder for the networks that fail")
    args = p.parse_args()
    reached, refused = collections.Counter(), collections.Counter()
    for seed in range(args.first, args.first + args.count):
        with tempfile.TemporaryDirectory() as folder:
            try:
                what, why = check(Narrow(os.path.abspath(args.narrow), folder), seed, folder)
            except (RuntimeError, subprocess.TimeoutExpired) as e:
                what, why = "failed", str(e)
            reached[what] += 1
            if what == "refused":
                refused[re.sub(r"\S*/|[\"'].*?[\"']|\d+", "", why)[:110]] += 1
            if what == "failed":
                model = onnx.load(os.path.join(folder, f"{seed}.onnx"))
                print(f"network {seed} ({' '.join(n.op_type for n in model.graph.node)}): {why}", flush=True)
                if args.keep:
                    onnx.save(model, os.path.join(args.keep, f"{seed}.onnx"))
    print(f"{args.count} networks from {args.first} on:", ", ".join(f"{n} {w}" for w, n in reached.most_common()))
    for why, n in refused.most_common(20):
        print(f"  refused {n}: {why}")
    sys.exit(reached["failed"] > 0)


if __name__ == "__main__":
    main()
