"""Measures the kernels beside other libraries and writes a table of ratios.

    python bench/kernels.py ASM_TEST_BINARY RESULT.md [--rounds N] [--seconds S] [--only WORD]

One thread each. The contenders of a row take turns, round after round, so that
whatever else the machine does falls on all of them; a ratio is the median over
the rounds of the ratios within a round. narrow's side are the benchmarks of
package asm; the other side does the same work here, with its output allocated
once.
"""

import argparse
import os
import platform
import re
import statistics
import subprocess
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import boost_histogram
import fast_histogram
import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

try:
    import torch

    torch.set_num_threads(1)
except ImportError:
    torch = None

SIZES = {"256KiB": 1 << 16, "4MiB": 1 << 20, "64MiB": 1 << 24}
TIERS = ["avx512", "avx2"]


class Row:
    """One line of the table: the same work by narrow and by others.

    work is what rates count (elements or operations), unit its name.
    ours maps a tier to a benchmark; peers maps a name to a function to call or
    to the name of a Go benchmark; limits maps a tier to a function of the peak
    rates that gives the least time the machine could take.
    goals maps a peer to the ratio wanted.
    """

    def __init__(self, title, work, unit, ours, peers, limit, goals=None):
        self.title, self.work, self.unit = title, work, unit
        self.ours, self.peers, self.limit, self.goals = ours, peers, limit, goals or {}


class GoBenchmarks:
    """Runs single benchmarks of a test binary."""

    def __init__(self, binary, seconds):
        self.binary, self.seconds = os.path.abspath(binary), seconds

    def time(self, name, seconds=None):
        """Seconds of the quickest operation, None if there is no such benchmark here."""
        pattern = "/".join(f"^{re.escape(part)}$" for part in name.split("/"))
        out = subprocess.run(
            [self.binary, "-test.run=^$", f"-test.bench={pattern}",
             f"-test.benchtime={seconds or self.seconds}s"],
            env={**os.environ, "GOMAXPROCS": "1"}, cwd=os.path.dirname(self.binary),
            capture_output=True, text=True, check=True).stdout
        best = re.search(r"([\d.]+) best-ns/op", out)
        return float(best[1]) * 1e-9 if best else None


def time_call(call, seconds):
    """Seconds of the quickest call in so many seconds of calls; an interrupted one counts by its processor time."""
    call()
    best, end = float("inf"), time.perf_counter() + seconds
    while True:
        start, used = time.perf_counter(), time.thread_time()
        call()
        now = time.perf_counter()
        best = min(best, now - start, time.thread_time() - used)
        if now >= end:
            return best


def session(model):
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def ort_call(nodes, inputs, output, initializers, opset=21):
    """A call of a model with its input and output bound to memory once."""
    name, data = inputs
    kind = helper.np_dtype_to_tensor_dtype
    graph = helper.make_graph(
        nodes, "bench", [helper.make_tensor_value_info(name, kind(data.dtype), data.shape)],
        [helper.make_tensor_value_info("y", kind(output.dtype), output.shape)],
        [onnx.numpy_helper.from_array(v, k) for k, v in initializers.items()])
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    run = session(helper.make_model(graph, opset_imports=opsets, ir_version=10))
    binding = run.io_binding()
    binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(data))
    binding.bind_ortvalue_output("y", ort.OrtValue.ortvalue_from_numpy(output))
    return lambda: run.run_with_iobinding(binding)


def memory_limit(read, write, size):
    """The time to read and write so many bytes for each element."""
    def least(peak, tier):
        elements = SIZES[size]
        seconds = read * elements / peak[f"read/{tier}/{size}"]
        return seconds + (write * elements / peak[f"write/{tier}/{size}"] if write else 0)
    return least


def sweep_rows():
    rng = np.random.default_rng(1)
    for size, n in SIZES.items():
        x = rng.standard_normal(n, dtype=np.float32)
        relu = np.maximum(x, 0)
        goal = size == "4MiB"

        def ours(name, size=size):
            return {tier: f"Benchmark{name}/{tier}/{size}" for tier in TIERS}

        def histograms(data, lo, plain):
            axis = boost_histogram.axis.Regular(2048, lo, 6)
            peers = {
                "plain Go loop": f"BenchmarkHistogramPlainGo/{plain}/{size}",
                "fast-histogram": lambda: fast_histogram.histogram1d(data, bins=2048, range=(lo, 6)),
                "boost-histogram": lambda: boost_histogram.Histogram(axis).fill(data),
                "numpy": lambda: np.histogram(data, bins=2048, range=(lo, 6)),
            }
            if torch:
                t = torch.from_numpy(data)
                peers["torch.histc"] = lambda: torch.histc(t, 2048, lo, 6)
            return peers

        yield Row(f"histogram, 2048 bins, normal data, {size}", n, "Gelem/s", ours("HistogramF32"),
                  histograms(x, -6, "normal"), memory_limit(4, 0, size),
                  {"fast-histogram": 3, "plain Go loop": 1.5} if goal else None)
        yield Row(f"histogram, 2048 bins, half zeros, {size}", n, "Gelem/s", ours("HistogramF32Relu"),
                  histograms(relu, 0, "relu"), memory_limit(4, 0, size),
                  {"fast-histogram": 5, "plain Go loop": 3} if goal else None)

        peers = {"numpy": lambda: (x.min(), x.max())}
        if torch:
            t = torch.from_numpy(x)
            peers["torch.aminmax"] = lambda: torch.aminmax(t)
        yield Row(f"min and max, {size}", n, "Gelem/s", ours("MinMaxF32"), peers, memory_limit(4, 0, size),
                  {"numpy": 1.7} if goal else None)

        y, scale = np.empty_like(x), np.float32(0.037)

        def numpy_both():
            np.divide(x, scale, out=y)
            np.rint(y, out=y)
            np.clip(y, -128, 127, out=y)
            np.multiply(y, scale, out=y)

        peers = {"numpy": numpy_both}
        if torch:
            peers["torch.fake_quantize"] = lambda: torch.fake_quantize_per_tensor_affine(t, 0.037, 0, -128, 127)
        yield Row(f"quantize-dequantize, {size}", n, "Gelem/s", ours("QuantizeDequantizeF32"), peers,
                  memory_limit(4, 4, size), {"numpy": 5, "torch.fake_quantize": 30} if goal else None)

        grid = {"scale": np.array(0.037, np.float32), "zero": np.array(0, np.int8)}
        q = np.empty(n, np.int8)
        quantize = ort_call([helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["y"])], ("x", x), q, grid)
        dequantize = ort_call([helper.make_node("DequantizeLinear", ["x", "scale", "zero"], ["y"])], ("x", q), x, grid)
        yield Row(f"quantize f32 to s8, {size}", n, "Gelem/s", ours("QuantizeF32S8"), {"ONNX Runtime": quantize},
                  memory_limit(4, 1, size), {"ONNX Runtime": 1.2} if goal else None)
        yield Row(f"dequantize s8 to f32, {size}", n, "Gelem/s", ours("DequantizeS8F32"), {"ONNX Runtime": dequantize},
                  memory_limit(1, 4, size), {"ONNX Runtime": 2} if goal else None)


# name; int8 and f32 benchmark; in and out channels, kernel, stride, groups, input size, batch; goals for int8 and f32
CONVOLUTIONS = [
    ("3x3 64-64 56x56", "3x3_64_64_56", "3x3_64-64_56x56", 64, 64, 3, 1, 1, 56, 1, 1, 1),
    ("1x1 256-64 56x56", "1x1_256_64_56", "1x1_256-64_56x56", 256, 64, 1, 1, 1, 56, 1, 1, 1),
    ("3x3 256-256 14x14", "3x3_256_256_14", "3x3_256-256_14x14", 256, 256, 3, 1, 1, 14, 1, 1, 1),
    ("1x1 1024-2048 14x14 stride 2", "1x1_1024_2048_14s2", "1x1_1024-2048_14x14_stride2", 1024, 2048, 1, 2, 1, 14, 1, 1, 1),
    ("depthwise 3x3 96 56x56", "dw3x3_96_56", "depthwise_3x3_96_56x56", 96, 96, 3, 1, 96, 56, 1, 3, 1),
    ("7x7 stride 2 3-64 224x224", "7x7s2_3_64_224", "7x7_3-64_224x224_stride2", 3, 64, 7, 2, 1, 224, 1, 1.5, 1),
    ("3x3 16-16 32x32 batch 16", "3x3_16_16_32_b16", "3x3_16-16_32x32_batch16", 16, 16, 3, 1, 1, 32, 16, 1.5, 1),
    ("3x3 64-64 8x8 batch 16", "3x3_64_64_8_b16", "3x3_64-64_8x8_batch16", 64, 64, 3, 1, 1, 8, 16, 1, 1),
]


def convolution_rows():
    rng = np.random.default_rng(1)
    for title, int8, f32, c, m, k, stride, groups, size, batch, goal8, goal32 in CONVOLUTIONS:
        pad = k // 2
        out = (size + 2 * pad - k) // stride + 1
        operations = 2 * m * (c // groups) * k * k * out * out * batch
        attributes = dict(kernel_shape=[k, k], pads=[pad] * 4, strides=[stride] * 2, group=groups)

        x8 = rng.integers(0, 255, (batch, size, size, c), np.uint8)  # channels last, as its own graph rewriting does
        parameters = {
            "xs": np.array(0.02, np.float32), "xz": np.array(0, np.uint8),
            "w": rng.integers(-127, 127, (m, c // groups, k, k), np.int8),
            "ws": np.full(m, 0.01, np.float32), "wz": np.zeros(m, np.int8),
            "ys": np.array(0.5, np.float32), "yz": np.array(0, np.uint8), "b": np.zeros(m, np.int32),
        }
        node = helper.make_node("QLinearConv", ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"], ["y"],
                                domain="com.microsoft", channels_last=1, **attributes)
        call8 = ort_call([node], ("x", x8), np.empty((batch, out, out, m), np.uint8), parameters)
        yield Row(f"int8 {title}", operations, "GOP/s", {t: f"BenchmarkConvS8/{int8}/{t}" for t in TIERS},
                  {"ONNX Runtime": call8}, lambda peak, tier, ops=operations: ops / peak[f"int8/{tier}"],
                  {"ONNX Runtime": goal8})

        x32 = rng.standard_normal((batch, c, size, size), dtype=np.float32)
        parameters = {"w": rng.standard_normal((m, c // groups, k, k), dtype=np.float32), "b": np.zeros(m, np.float32)}
        node = helper.make_node("Conv", ["x", "w", "b"], ["y"], **attributes)
        call32 = ort_call([node], ("x", x32), np.empty((batch, m, out, out), np.float32), parameters)
        yield Row(f"f32 {title}", operations, "GOP/s", {t: f"BenchmarkConvF32/{f32}/{t}" for t in TIERS},
                  {"ONNX Runtime": call32}, lambda peak, tier, ops=operations: ops / peak[f"f32/{tier}"],
                  {"ONNX Runtime": goal32})


def gemm_rows():
    n = 512
    yield Row("f32 matrix product, 512", 2 * n**3, "GOP/s", {t: f"BenchmarkSgemmF32/{t}" for t in TIERS},
              {"gonum blas32": "BenchmarkSgemmF32/gonum"}, lambda peak, tier: 2 * n**3 / peak[f"f32/{tier}"],
              {"gonum blas32": 12})


def measure_peaks(go, rounds):
    """Rates: bytes per second of memory, operations per second of a core."""
    peak = {}
    for tier in TIERS:
        for what in ("read", "write"):
            for size, n in SIZES.items():
                times = [go.time(f"BenchmarkPeakMemory/{what}/{tier}/{size}", 0.1) for _ in range(rounds)]
                if times[0]:
                    peak[f"{what}/{tier}/{size}"] = 4 * n / min(times)
        for what, lanes in (("f32", {"avx512": 16, "avx2": 8}), ("int8", {"avx512": 64, "avx2": 16})):
            times = [go.time(f"BenchmarkPeak/{what}/{tier}", 0.1) for _ in range(rounds)]
            if times[0]:  # an operation there is 10000 times 12 multiply-adds of a vector
                peak[f"{what}/{tier}"] = 2 * 12 * lanes[tier] * 10000 / min(times)
    return peak


def measure(row, go, rounds, seconds):
    """The times of each contender, one a round; without those that cannot run here."""
    contenders = {**row.ours, **row.peers}
    times = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, work in contenders.items():
            times[name].append(go.time(work) if isinstance(work, str) else time_call(work, seconds))
    return {name: t for name, t in times.items() if t[0]}


def line(row, times, peak):
    rate = lambda name: row.work / statistics.median(times[name]) / 1e9
    tiers = [t for t in TIERS if t in times]
    best = tiers[0]
    try:
        limit = f"{row.limit(peak, best) / statistics.median(times[best]):.0%}"
    except KeyError:
        limit = "-"
    cells = [row.title] + [f"{rate(t):.2f}" if t in times else "-" for t in TIERS] + [row.unit, limit]
    beside = []
    for peer in row.peers:
        if peer in times:
            ratio = statistics.median(p / o for p, o in zip(times[peer], times[best]))
            goal = f", goal {row.goals[peer]}x" if peer in row.goals else ""
            beside.append(f"{peer} {rate(peer):.2f} (**{ratio:.2f}x**{goal})")
    return "| " + " | ".join(cells + ["; ".join(beside)]) + " |"


def machine():
    model = platform.processor()
    try:
        with open("/proc/cpuinfo") as f:
            model = re.search(r"model name\s*: (.*)", f.read())[1]
    except (OSError, TypeError):
        pass
    return f"{model}, {os.cpu_count()} processors, {platform.system()}"


def versions(go_version):
    named = [("numpy", np), ("fast-histogram", fast_histogram), ("boost-histogram", boost_histogram), ("ONNX Runtime", ort)]
    if torch:
        named.append(("torch", torch))
    return ", ".join([go_version, f"Python {platform.python_version()}"] + [f"{n} {m.__version__}" for n, m in named])


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("binary", help="the tests of package asm, compiled")
    args.add_argument("result", help="the file to write")
    args.add_argument("--rounds", type=int, default=11)
    args.add_argument("--seconds", type=float, default=0.03, help="of each contender in each round")
    args.add_argument("--only", default="", help="rows whose title contains this")
    args = args.parse_args()
    go = GoBenchmarks(args.binary, args.seconds)
    go_version = subprocess.run(["go", "version"], capture_output=True, text=True).stdout.split()[2:3]

    peak = measure_peaks(go, 5)
    lines = []
    for rows in (sweep_rows, gemm_rows, convolution_rows):
        for row in rows():
            if args.only in row.title:
                lines.append(line(row, measure(row, go, args.rounds, args.seconds), peak))
                print(lines[-1], file=sys.stderr, flush=True)

    limits = "; ".join(f"{name} {value / 1e9:.0f}" for name, value in peak.items())
    text = f"""# Kernels beside other libraries

Written by `make bench-peers`. One thread each; medians of {args.rounds} rounds in which the contenders take turns of
{args.seconds * 1000:.0f} ms; of a turn the quickest call counts, by its processor time if it was interrupted. A ratio is the median of the rounds' ratios, above 1 where narrow's best tier is faster. "Of the
limit" is the share of what this machine could do: its memory's bandwidth for data of that size, or its multiply-adds on
registers alone, both measured by loops of ours in the same run: where it is near 100%, only less memory traffic could
be faster. The f32 3x3 convolutions of stride 1 go beyond it: the minimal algorithm F(2x2, 3x3) makes fewer
multiplications than are counted. Convolutions: narrow's source image already holds its
padding, ONNX Runtime's int8 is channels-last as its own graph rewriting makes it.

- Machine: {machine()}
- Versions: {versions(go_version[0] if go_version else "Go")}
- Limits (GB/s, GOP/s): {limits}

| work | AVX-512 | AVX2 | unit | of the limit | beside |
|---|---|---|---|---|---|
""" + "\n".join(lines) + "\n"
    os.makedirs(os.path.dirname(os.path.abspath(args.result)), exist_ok=True)
    with open(args.result + ".new", "w") as f:
        f.write(text)
    os.replace(args.result + ".new", args.result)


if __name__ == "__main__":
    main()
