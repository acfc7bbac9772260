"""Builds random networks and checks narrow on each against ONNX Runtime.

    python test/networks/fuzz.py NARROW [--count 200] [--first 0] [--keep FOLDER] [--table FILE.md]

For each network: narrow's fp32 outputs are ONNX Runtime's; narrow quantizes it with five sets of options; ONNX Runtime loads what
was written, and the SQNR is over 15 dB. A network where a set stays under that is shown with its seed, and so is a failure;
either makes the exit status 1, unless the network is in EXPLAINED.
"""
import argparse
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

OPTIONS = [
    [],
    ["--asymmetric", "--clip", "max"],
    ["--per-channel=false", "--clip", "percentile:99.99"],
    ["--signs=false", "--clip", "kl"],
    ["--shift"],
]
LEAST_SQNR = 15

# Networks (by seed) and option sets (by index) that quantize badly for a reason.
EXPLAINED = {}


class Builder:
    """Grows a network from its input; self.y is the end and self.shape its shape without the batch."""

    def __init__(self, seed):
        self.r = np.random.default_rng(seed)
        self.opset = int(self.r.choice([11, 12, 13, 15, 17, 18, 20, 21]))
        self.nodes, self.constants, self.outputs, self.count = [], [], [], 0
        self.sequence = self.r.random() < 0.2  # one spatial dimension
        side = int(self.r.integers(12, 25))
        self.input = (int(self.r.choice([1, 3, 4])), side * 4) if self.sequence else (int(self.r.choice([1, 3, 4, 8])), side, side + int(self.r.integers(0, 4)))
        self.y, self.shape = "x", self.input

    # Parts.

    def name(self, kind):
        self.count += 1
        return f"{kind}{self.count}"

    def const(self, value, kind="c"):
        name = self.name(kind)
        tensor = numpy_helper.from_array(np.asarray(value), name)
        if self.r.random() < 0.15:
            self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        else:
            self.constants.append(tensor)
        return name

    def op(self, kind, *inputs, **attrs):
        out = self.name(kind.lower())
        self.nodes.append(helper.make_node(kind, list(inputs), [out], name=out, **attrs))
        return out

    def ints(self, *v):
        return self.const(np.array(v, np.int64))

    def scalar(self, v):
        return self.const(np.float32(v))

    def weights(self, *shape):
        fan = int(np.prod(shape[1:]))
        w = self.r.standard_normal(shape).astype(np.float32) * np.float32((1.6 / fan) ** 0.5)
        if self.r.random() < 0.1:
            w[self.r.integers(0, shape[0])] = 0  # a dead channel
        return w

    @property
    def spatial(self):
        return len(self.shape) - 1

    # Layers: each may decline by returning without a change.

    def conv(self, channels=None, stride=None, kernel=None):
        k = kernel or int(self.r.choice([1, 3, 3, 3, 5]))
        if min(self.shape[1:]) < 2 * k:
            k = 1
        dilation = int(self.r.choice([1, 1, 1, 2])) if k > 1 else 1
        group = int(self.r.choice([g for g in (1, 1, 2, self.shape[0]) if self.shape[0] % g == 0]))
        out = channels or (self.shape[0] if group == self.shape[0] and group > 1 else group * int(self.r.integers(2, 25 // group + 2)))
        if channels and channels % group:
            group = 1
        stride = stride or int(self.r.choice([1, 1, 1, 2]))
        reach = dilation * (k - 1)
        pads = [reach // 2] * self.spatial + [reach - reach // 2] * self.spatial
        inputs = [self.y, self.const(self.weights(out, self.shape[0] // group, *[k] * self.spatial), "w")]
        bias = self.r.random() < 0.6
        if bias:
            inputs.append(self.const(self.r.standard_normal(out).astype(np.float32) * np.float32(0.2), "b"))
        if self.r.random() < 0.15 and reach:  # the padding as a node
            both = [0, 0, *pads[: self.spatial], 0, 0, *pads[self.spatial :]]
            inputs[0] = self.op("Pad", self.y, self.ints(*both))
            pads = [0] * len(pads)
        self.y = self.op("Conv", *inputs, kernel_shape=[k] * self.spatial, pads=pads, dilations=[dilation] * self.spatial, strides=[stride] * self.spatial, group=group)
        self.shape = (out, *[(s - 1) // stride + 1 for s in self.shape[1:]])
        if self.r.random() < 0.5:
            self.batch_norm()

    def batch_norm(self):
        c, r = self.shape[0], self.r
        p = [r.uniform(0.5, 1.5, c), r.normal(0, 0.3, c), r.normal(0, 0.3, c), r.uniform(0.3, 2, c)]
        self.y = self.op("BatchNormalization", self.y, *(self.const(v.astype(np.float32)) for v in p))

    def activation(self):
        kind = self.r.choice(["Relu", "Relu", "Relu6", "LeakyRelu", "HardSwish", "Sigmoid", "Tanh", "HardSigmoid", "Swish", "PRelu", "Gelu", "Elu"])
        x = self.y
        if kind == "Relu6":
            self.y = self.op("Clip", x, self.scalar(0), self.scalar(6))
        elif kind == "HardSwish":
            gate = self.op("Clip", self.op("Add", x, self.scalar(3)), self.scalar(0), self.scalar(6))
            self.y = self.op("Div", self.op("Mul", x, gate), self.scalar(6))
        elif kind == "Swish":
            self.y = self.op("Mul", x, self.op("Sigmoid", x))
        elif kind == "Gelu":
            erf = self.op("Erf", self.op("Div", x, self.scalar(2**0.5)))
            self.y = self.op("Mul", self.op("Mul", x, self.op("Add", erf, self.scalar(1))), self.scalar(0.5))
        elif kind == "PRelu":
            self.y = self.op("PRelu", x, self.const(self.r.uniform(0.05, 0.4, (self.shape[0], *[1] * self.spatial)).astype(np.float32)))
        else:
            self.y = self.op(kind, x)

    def residual(self):
        start, shape = self.y, self.shape
        self.conv(channels=shape[0], stride=1)
        if self.r.random() < 0.7:
            self.activation()
        if self.shape == shape:
            self.y = self.op(str(self.r.choice(["Add", "Add", "Add", "Sub"])), self.y, start)

    def branches(self):
        start, shape, ends, channels = self.y, self.shape, [], 0
        for _ in range(int(self.r.integers(2, 4))):
            self.y, self.shape = start, shape
            if self.r.random() < 0.7:
                self.conv(stride=1)
                self.activation()
            ends.append(self.y)
            channels += self.shape[0]
        self.y, self.shape = self.op("Concat", *ends, axis=1), (channels, *shape[1:])

    def pool(self):
        if min(self.shape[1:]) < 6:
            return
        kind = str(self.r.choice(["MaxPool", "AveragePool"]))
        k, ceil = int(self.r.choice([2, 3])), int(self.r.integers(0, 2))
        self.y = self.op(kind, self.y, kernel_shape=[k] * self.spatial, strides=[2] * self.spatial, ceil_mode=ceil)
        self.shape = (self.shape[0], *[(s - k + ceil) // 2 + 1 for s in self.shape[1:]])

    def excite(self):
        c = self.shape[0]
        mid = max(2, c // 4)
        s = self.op("GlobalAveragePool", self.y)
        ones = [1] * self.spatial
        s = self.op("Relu", self.op("Conv", s, self.const(self.weights(mid, c, *ones), "w")))
        s = self.op("Conv", s, self.const(self.weights(c, mid, *ones), "w"))
        self.y = self.op("Mul", self.y, self.op(str(self.r.choice(["Sigmoid", "HardSigmoid"])), s))

    def upsample(self):
        if max(self.shape[1:]) > 40:
            return
        out = (self.shape[0], *[2 * s for s in self.shape[1:]])
        if self.r.random() < 0.5:
            o = int(self.r.integers(2, 12))
            self.y = self.op("ConvTranspose", self.y, self.const(self.weights(self.shape[0], o, *[2] * self.spatial), "w"), strides=[2] * self.spatial)
            self.shape = (o, *out[1:])
            return
        scales = self.const(np.array([1, 1, *[2] * self.spatial], np.float32))
        mode = str(self.r.choice(["nearest", "linear"]))
        how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"} if mode == "nearest" else {"coordinate_transformation_mode": "half_pixel"}
        region = "" if self.opset >= 13 else self.const(np.array([], np.float32))
        self.y, self.shape = self.op("Resize", self.y, region, scales, mode=mode, **how), out

    def split(self):
        c = self.shape[0]
        if c % 2:
            return
        a, b = self.name("half"), self.name("half")
        if self.opset >= 18:
            self.nodes.append(helper.make_node("Split", [self.y], [a, b], axis=1, num_outputs=2))
        else:
            self.nodes.append(helper.make_node("Split", [self.y], [a, b], axis=1))
        self.y = self.op("Concat", self.op("Relu", b), a, axis=1) if self.r.random() < 0.5 else self.op("Concat", b, a, axis=1)

    def crop(self):
        if min(self.shape[1:]) < 8:
            return
        self.y = self.op("Slice", self.y, self.ints(1), self.ints(2**31 if self.r.random() < 0.5 else self.shape[1]), self.ints(2))
        self.shape = (self.shape[0], self.shape[1] - 1, *self.shape[2:])

    def nothing(self):
        self.y = self.op(str(self.r.choice(["Identity", "Dropout"])), self.y)

    def keep(self):
        """Makes what there is an output too."""
        if self.y != "x" and self.y not in self.outputs and len(self.outputs) < 2:
            self.outputs.append(self.y)

    def shared(self):
        """Two convolutions with one weight."""
        c = self.shape[0]
        w = self.const(self.weights(c, c, *[1] * self.spatial), "w")
        self.y = self.op("Relu", self.op("Conv", self.y, w))
        self.y = self.op("Conv", self.y, w)

    def attention(self):
        """Positions attend to each other: MatMul of activations, Softmax, LayerNorm by its parts."""
        length, c = int(np.prod(self.shape[1:])), self.shape[0]
        if length > 150:
            return
        x = self.op("Transpose", self.op("Reshape", self.y, self.ints(0, c, -1)), perm=[0, 2, 1])
        mean = lambda v: self.op("ReduceMean", v, self.ints(-1)) if self.opset >= 18 else self.op("ReduceMean", v, axes=[-1])
        d = self.op("Sub", x, mean(x))
        variance = mean(self.op("Pow", d, self.scalar(2)))
        n = self.op("Div", d, self.op("Sqrt", self.op("Add", variance, self.scalar(1e-5))))
        q, k, v = (self.op("MatMul", n, self.const(self.weights(c, c).T.copy(), "w")) for _ in range(3))
        k = self.op("Mul", self.op("Transpose", k, perm=[0, 2, 1]), self.scalar(c**-0.5))
        out = self.op("Add", self.op("MatMul", self.op("Softmax", self.op("MatMul", q, k), axis=-1) if self.opset >= 13 else self.op("Softmax", self.op("MatMul", q, k), axis=2), v), x)
        back = self.op("Transpose", out, perm=[0, 2, 1])
        self.y = self.op("Reshape", back, self.ints(0, *self.shape))

    def head(self):
        c = self.shape[0]
        if self.r.random() < 0.2:
            return  # a network without one
        features = int(np.prod(self.shape))
        if self.r.random() < 0.7 or features > 600:
            self.y, features = self.op("GlobalAveragePool", self.y), c
        how = self.r.integers(0, 3)
        if how == 0:
            self.y = self.op("Flatten", self.y)
        elif how == 1:
            self.y = self.op("Reshape", self.y, self.ints(0, -1))
        else:  # x.view(x.size(0), -1)
            n = self.op("Gather", self.op("Shape", self.y), self.const(np.int64(0)), axis=0)
            n = self.op("Unsqueeze", n, self.ints(0)) if self.opset >= 13 else self.op("Unsqueeze", n, axes=[0])
            self.y = self.op("Reshape", self.y, self.op("Concat", n, self.ints(-1), axis=0))
        out = int(self.r.integers(2, 11))
        w, b = self.weights(out, features), self.r.standard_normal(out).astype(np.float32)
        if self.r.random() < 0.5:
            self.y = self.op("Gemm", self.y, self.const(w, "w"), self.const(b, "b"), transB=1)
        else:
            self.y = self.op("Add", self.op("MatMul", self.y, self.const(w.T.copy(), "w")), self.const(b, "b"))
        if self.r.random() < 0.2:
            self.y = self.op("Softmax", self.y, axis=1)

    def model(self):
        layers = [self.conv] * 4 + [self.activation] * 4 + [self.residual] * 3 + [self.branches, self.pool, self.pool, self.excite, self.upsample, self.split,
                  self.crop, self.nothing, self.keep, self.shared, self.attention]
        self.conv()
        for i in self.r.integers(0, len(layers), int(self.r.integers(2, 10))):
            layers[i]()
        self.head()
        if self.y not in self.outputs:
            self.outputs.append(self.y)
        info = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        graph = helper.make_graph(self.nodes, "random", [info("x", ["N", *self.input])], [info(o, None) for o in self.outputs], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8 if self.opset < 19 else 10)


def session(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def db(signal, noise):
    return 10 * np.log10(max(np.sum(signal.astype(np.float64) ** 2), 1e-30) / max(np.sum(noise.astype(np.float64) ** 2), 1e-30))


def close(want, got):
    return want.shape == got.shape and np.all(np.abs(want - got) <= 1e-4 * (np.abs(want) + np.abs(want).max()))


def inputs(builder, count, seed):
    """Smooth signals with noise within bounds, as pictures and sounds are: white noise averages out to nothing."""
    r = np.random.default_rng(seed)
    x = r.standard_normal((count, *builder.input)) * 0.5
    for axis in range(2, x.ndim):
        x += np.cumsum(r.standard_normal((count, builder.input[0], *[builder.input[i - 1] if i == axis else 1 for i in range(2, x.ndim)])), axis) * 0.3
    return np.clip(x, -2.5, 2.5).astype(np.float32)


def check(narrow, seed, folder):
    """Returns what went wrong and the SQNR of each set of options."""
    b = Builder(seed)
    path, calib, test, out = (os.path.join(folder, f"{seed}{end}") for end in (".onnx", ".calib.npy", ".test.npy", ".out.npy"))
    onnx.save(b.model(), path)
    np.save(calib, inputs(b, 64, 2 * seed))
    x = inputs(b, 32, 2 * seed + 1)
    np.save(test, x)
    want = session(path).run(None, {"x": x})
    problems, all_sqnr = [], []

    for name, w in zip(b.outputs, want):
        done = subprocess.run([narrow, "run", path, "--input", test, "-o", out, "--output-name", name], capture_output=True, text=True)
        if done.returncode:
            problems.append("run: " + done.stderr.strip())
        elif not close(w, np.load(out)):
            problems.append(f"run: output {name} is not ONNX Runtime's")

    for i, options in enumerate(OPTIONS):
        q = os.path.join(folder, f"{seed}.{i}.onnx")
        done = subprocess.run([narrow, "quantize", path, "--calib", calib, "-o", q, *options], capture_output=True, text=True)
        if done.returncode:
            problems.append(f"{' '.join(options)}: {done.stderr.strip()}")
            continue
        try:
            got = session(q).run(None, {"x": x})
        except Exception as e:
            problems.append(f"{' '.join(options)}: ONNX Runtime: {str(e).splitlines()[0]}")
            continue
        worst = min(db(w, w - g) for w, g in zip(want, got))
        all_sqnr.append(worst)
        if not worst > LEAST_SQNR and (seed, i) not in EXPLAINED:
            problems.append(f"{' '.join(options) or 'defaults'}: SQNR {worst:.1f} dB")
    return problems, all_sqnr


def main():
    p = argparse.ArgumentParser()
    p.add_argument("narrow")
    p.add_argument("--count", type=int, default=200)
    p.add_argument("--first", type=int, default=0)
    p.add_argument("--keep", help="folder for the networks")
    p.add_argument("--table", help="file to append the results to")
    args = p.parse_args()
    failed, levels = 0, []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(args.first, args.first + args.count):
            problems, sqnr = check(os.path.abspath(args.narrow), seed, args.keep or folder)
            levels.append(sqnr)
            if problems:
                failed += 1
                print(f"network {seed}:", "; ".join(problems), flush=True)
    rows = [
        f"{args.count} random networks (`test/networks/fuzz.py`), {failed} with a problem: fp32 outputs that are not ONNX Runtime's, a file that it",
        f"does not load, or an SQNR under {LEAST_SQNR} dB.",
        "",
        "| options | least SQNR | median |",
        "|---|---|---|",
    ]
    for i, options in enumerate(OPTIONS):
        v = sorted(s[i] for s in levels if len(s) == len(OPTIONS))
        if v:
            rows.append(f"| {' '.join(options) or 'defaults'} | {v[0]:.1f} dB | {v[len(v) // 2]:.1f} dB |")
    print("\n".join(rows))
    if args.table:
        with open(args.table, "a") as f:
            f.write("\n## Random networks\n\n" + "\n".join(rows) + "\n")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
