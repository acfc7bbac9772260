"""Measures whole networks in narrow and in ONNX Runtime, on the very same files, and writes a table.

    python bench/inference.py NARROW RESULT.md [--rounds N] [--seconds S] [--only WORD]

Each network is quantized by narrow. Then, for batches of 1 and 16 and for one and two threads, narrow and ONNX Runtime take turns, in fp32
and in int8, round after round, so that whatever else the machine does falls on both. A turn counts by the fastest of
its runs, which other work on the machine disturbs least; a figure is the median over the rounds, a ratio the
median of the ratios within a round.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnxruntime as ort

SHARED = os.environ.get("NARROW_SHARED", "../shared")
CIFAR = ["--scale", "1/255", "--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"]
MODELS = {  # calibration data and its preprocessing
    "resnet8_cifar10": ("data/cifar10_calib_x.npy", []),
    "resnet20_cifar10": ("data/cifar10_calib_x.npy", CIFAR),
    "mobilenetv2_cifar10": ("data/cifar10_calib_x.npy", CIFAR),
    "dscnn_kws": ("data/kws_calib_x.npy", []),
    "mobilenetv1_vww": (None, []),  # random numbers: there is no data
    "autoencoder_ad": ("golden/autoencoder_ad_in.npy", []),
}


def quantize(narrow, name, folder):
    data, preprocessing = MODELS[name]
    path = f"{SHARED}/{data}"
    if data is None:
        path = f"{folder}/random.npy"
        np.save(path, np.random.default_rng(1).random((50, 3, 96, 96), np.float32))
    out = f"{folder}/{name}.onnx"
    subprocess.run([narrow, "quantize", f"{SHARED}/models/{name}.onnx", "--calib", path, "--limit", "200", "-o", out, *preprocessing],
                   check=True, stdout=subprocess.DEVNULL)
    return out


def narrow_speed(narrow, path, batch, threads, seconds):
    """Inputs a second, by the fastest run."""
    done = subprocess.run([narrow, "bench", path, "--batch", str(batch), "--threads", str(threads), "--seconds", str(seconds), "--json"],
                          check=True, capture_output=True, text=True)
    return 1000 * batch / json.loads(done.stdout)["latency_ms"]["min"]


def ort_speed(path, batch, threads, seconds):
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    spec = session.get_inputs()[0]
    x = {spec.name: np.random.default_rng(1).random([batch, *spec.shape[1:]], np.float32)}
    times = []
    for limit in seconds / 10, seconds:  # the first is to warm up
        times.clear()
        end = time.perf_counter() + limit
        while (start := time.perf_counter()) < end or not times:
            session.run(None, x)
            times.append(time.perf_counter() - start)
    return batch / min(times)


def measure(narrow, files, batch, threads, rounds, seconds):
    """Speeds by contender, one for each round."""
    speeds = {"ours fp32": [], "ORT fp32": [], "ours int8": [], "ORT int8": []}
    for _ in range(rounds):
        for kind, path in files.items():
            speeds[f"ours {kind}"].append(narrow_speed(narrow, path, batch, threads, seconds))
            speeds[f"ORT {kind}"].append(ort_speed(path, batch, threads, seconds))
    return speeds


def row(name, batch, threads, speeds):
    median = {k: statistics.median(v) for k, v in speeds.items()}
    fp32 = statistics.median(a / b for a, b in zip(speeds["ours fp32"], speeds["ORT fp32"]))
    int8 = statistics.median(a / max(b, c) for a, b, c in zip(speeds["ours int8"], speeds["ORT fp32"], speeds["ORT int8"]))
    return (f"| {name} | {batch} | {threads} | {median['ours fp32']:.0f} | {median['ORT fp32']:.0f} | {fp32:.2f} | "
            f"{median['ours int8']:.0f} | {median['ORT int8']:.0f} | {int8:.2f} |")


def processor():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("narrow")
    parser.add_argument("result")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.2)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    if not os.path.isdir(SHARED):
        sys.exit("no shared test data: set NARROW_SHARED to its folder")
    load = os.getloadavg()[0]
    lines = [
        "# Whole networks beside ONNX Runtime",
        "",
        f"{processor()}, {os.cpu_count()} processors; Python {platform.python_version()}, ONNX Runtime {ort.__version__}. Written by `make bench-peers`.",
        "",
        f"Inputs a second on the same files, fp32 and quantized by narrow (QDQ); medians of {args.rounds} rounds in which all take turns,",
        "each turn counted by its fastest run. The ratio of int8 is to the better of ONNX Runtime's fp32 and int8.",
        f"Load average before: {load:.0f}. Beside other work two threads seldom run at once, and long runs are cut into: then trust the rows of batch 1, one thread.",
        "",
        "| network | batch | threads | narrow fp32 | ORT fp32 | ratio | narrow int8 | ORT int8 | ratio |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for name in MODELS:
            if args.only not in name:
                continue
            files = {"fp32": f"{SHARED}/models/{name}.onnx", "int8": quantize(args.narrow, name, folder)}
            for batch in 1, 16:
                for threads in 1, 2:
                    lines.append(row(name, batch, threads, measure(args.narrow, files, batch, threads, args.rounds, args.seconds)))
                    print(lines[-1], flush=True)
    with open(args.result, "w") as f:
        f.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
