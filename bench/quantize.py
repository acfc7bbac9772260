"""Quantizes the same models on the same inputs with narrow and with onnxruntime.quantization, one process each, and
runs what they wrote in ONNX Runtime.

    python bench/quantize.py NARROW OUTPUT.md [SHARED]

Writes a table: top-1, agreement with and SQNR against fp32 on the test inputs; processor seconds, which other load on the
machine hardly changes, wall seconds and peak memory. The library's seconds are those of its call alone, narrow's those of the
whole process. A second table times whole processes of both, which take turns.
"""
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnxruntime as ort

CIFAR = ["--scale", "1/255", "--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"]
ort.set_default_logger_severity(3)  # its quantizer warns of every initializer that it drops
MODELS = {  # name: data, calibration inputs, preprocessing
    "resnet8_cifar10": ("cifar10", 500, []),
    "resnet20_cifar10": ("cifar10", 500, CIFAR),
    "dscnn_kws": ("kws", 200, []),
    "mobilenetv2_cifar10": ("cifar10", 500, CIFAR),
}
PEERS = ["MinMax", "Entropy", "Percentile"]
OURS = [["--clip", "max"], ["--clip", "mse"], ["--clip", "kl"], ["--clip", "mse", "--compensate=false"]]
TESTS = 2000
ROUNDS = 7


def load(path, preprocessing, limit):
    x = np.load(path, mmap_mode="r")[:limit].astype(np.float32)
    if preprocessing:
        shape = (1, 3, 1, 1)
        mean = np.array([0.485, 0.456, 0.406], np.float32).reshape(shape)
        std = np.array([0.229, 0.224, 0.225], np.float32).reshape(shape)
        x = (x * np.float32(1 / 255) - mean) / std
    return x


def child_cpu():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def peak_rss():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def peer(method, model, data, count, preprocess, out):
    """Runs in a process of its own: quantizes as the library's documentation says."""
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self):
            name = ort.InferenceSession(model, providers=["CPUExecutionProvider"]).get_inputs()[0].name
            x = load(data, preprocess == "1", int(count))
            self.batches = iter([{name: x[i:i + 1]} for i in range(len(x))])

        def get_next(self):
            return next(self.batches, None)

    start, cpu = time.perf_counter(), time.process_time()
    quantize_static(model, out, Reader(), quant_format=QuantFormat.QDQ, per_channel=True, weight_type=QuantType.QInt8,
                    activation_type=QuantType.QInt8, calibrate_method=getattr(CalibrationMethod, method))
    print(json.dumps({"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu, "peak_rss_bytes": peak_rss()}))


def run_json(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-500:]}")
    return json.loads(done.stdout.splitlines()[-1])


def infer(path, x):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 2
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: x[i:i + 100]})[0] for i in range(0, len(x), 100)])


def row(tool, cost, reference, got, y):
    r, q = reference.astype(np.float64), got.astype(np.float64)
    top1, agreement = 100 * (got.argmax(1) == y).mean(), 100 * (got.argmax(1) == reference.argmax(1)).mean()
    db = 10 * np.log10((r**2).sum() / ((r - q)**2).sum())
    return f"| {tool} | {top1:.2f} | {agreement:.2f} | {db:.1f} | {cost['cpu']:.2f} | {cost['seconds']:.2f} | {cost['peak_rss_bytes'] / 1e6:.0f} |"


def compare(narrow, shared, name, folder):
    data, count, preprocessing = MODELS[name]
    model, calib = f"{shared}/models/{name}.onnx", f"{shared}/data/{data}_calib_x.npy"
    x = load(f"{shared}/data/{data}_test_x.npy", preprocessing, TESTS)
    y = np.load(f"{shared}/data/{data}_test_y.npy")[:TESTS]
    reference, out = infer(model, x), f"{folder}/out.onnx"
    lines = [f"\n## {name}", "", f"fp32 top-1 {100 * (reference.argmax(1) == y).mean():.2f} % on {len(x)} inputs; calibrated on {count}.", "",
             "| tool | top-1 % | agreement % | SQNR dB | CPU s | wall s | peak MB |", "|---|---|---|---|---|---|---|"]
    for method in PEERS:
        cost = run_json(sys.executable, __file__, "--peer", method, model, calib, str(count), "1" if preprocessing else "0", out)
        lines.append(row(f"onnxruntime.quantization {method}", cost, reference, infer(out, x), y))
    for choice in OURS:
        start, cpu = time.perf_counter(), child_cpu()
        cost = run_json(narrow, "quantize", model, "--calib", calib, "--limit", str(count), *preprocessing, *choice, "-o", out, "--json")
        cost["seconds"], cost["cpu"] = time.perf_counter() - start, child_cpu() - cpu
        lines.append(row("narrow " + " ".join(choice), cost, reference, infer(out, x), y))
    print("\n".join(lines), flush=True)
    return lines


def whole_process(command):
    """Wall seconds of a process, from its start to its end, and the peak bytes that it reports, if it does."""
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-500:]}")
    last = (done.stdout.splitlines() or [""])[-1]
    return seconds, json.loads(last)["peak_rss_bytes"] if last.startswith("{") else None


def race(narrow, shared, folder, name="resnet20_cifar10", count=500):
    """Whole processes with two threads, which take turns."""
    data, _, preprocessing = MODELS[name]
    model, calib, out = f"{shared}/models/{name}.onnx", f"{shared}/data/{data}_calib_x.npy", f"{folder}/race.onnx"
    ours = ["--limit", str(count), "--threads", "2", *preprocessing]
    kl = [narrow, "quantize", model, "--calib", calib, *ours, "--clip", "kl", "-o", out, "--json"]
    contenders = {
        "narrow quantize --clip kl": kl,
        "narrow quantize --clip kl --compensate=false --equalize=false": [*kl, "--compensate=false", "--equalize=false"],
        "narrow run: the fp32 forward pass": [narrow, "run", model, "--input", calib, *ours, "-o", f"{folder}/y.npy"],
        "onnxruntime.quantization Entropy": [sys.executable, __file__, "--peer", "Entropy", model, calib, str(count), "1", out],
    }
    costs = {contender: [] for contender in contenders}
    for _ in range(ROUNDS):
        for contender, command in contenders.items():
            costs[contender].append(whole_process(command))
    first = costs[next(iter(contenders))]
    lines = [f"\n## Whole processes, {name}, {count} inputs, two threads", "",
             f"{ROUNDS} rounds in which they take turns; the ratio is the median of the rounds' ratios to the first row.", "",
             "| process | min s | median s | ratio | peak MB |", "|---|---|---|---|---|"]
    for contender, cost in costs.items():
        walls = [wall for wall, _ in cost]
        ratio = statistics.median(wall / f for wall, (f, _) in zip(walls, first))
        peaks = [peak for _, peak in cost if peak]
        lines.append(f"| {contender} | {min(walls):.2f} | {statistics.median(walls):.2f} | {ratio:.2f} | {max(peaks) / 1e6:.0f} |" if peaks
                     else f"| {contender} | {min(walls):.2f} | {statistics.median(walls):.2f} | {ratio:.2f} | |")
    print("\n".join(lines), flush=True)
    return lines


def main(narrow, output, shared="../shared"):
    with open("/proc/cpuinfo") as info:
        cpu = next(line.split(":")[1].strip() for line in info if line.startswith("model name"))
    lines = ["# Quantization beside onnxruntime.quantization", "",
             f"{cpu}, {os.cpu_count()} processors; ONNX Runtime {ort.__version__}. Per-channel int8, both with their other defaults; "
             "every file run by ONNX Runtime without graph optimization. CPU s is processor time of all threads. Written by `make bench-peers`."]
    with tempfile.TemporaryDirectory() as folder:
        for name in MODELS:
            lines += compare(os.path.abspath(narrow), shared, name, folder)
        lines += race(os.path.abspath(narrow), shared, folder)
    with open(output, "w") as f:
        f.write("\n".join(lines) + "\n")


if sys.argv[1] == "--peer":
    peer(*sys.argv[2:])
else:
    main(*sys.argv[1:])
