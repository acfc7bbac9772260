"""Measures whole int8 networks in narrow, OpenVINO and ONNX Runtime, on the very same files, and writes a table.

    python bench/peers.py NARROW RESULT.md [--rounds N] [--seconds S] [--only WORD] [--batch 1,16] [--threads 1,2] [--cpu all,avx2]

The networks are those of build_networks.py, with random weights, and the trained ones beside the project. narrow quantizes them. Then
the contenders take turns, round after round, each in a process of its own, so that one network at a time is in memory
and whatever else the machine does falls on all. A turn counts by the fastest of its runs; a figure is the median over
the rounds, a ratio the median of the ratios within a round.

"avx2" caps narrow by NARROW_CPU and OpenVINO by ONEDNN_MAX_CPU_ISA; ONNX Runtime cannot be capped. XNNPACK is not measured.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

from build_networks import NETWORKS, build
from inference import MODELS, SHARED, narrow_speed, ort_speed, processor, quantize

CAPS = {"all": {}, "avx2": {"NARROW_CPU": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}}


def openvino_speed(path, batch, threads, seconds):
    import openvino

    core = openvino.Core()
    model = core.read_model(path)
    shape = model.input(0).partial_shape
    shape[0] = batch
    model.reshape(shape)
    net = core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"})
    request = net.create_infer_request()
    x = np.random.default_rng(1).random(model.input(0).shape, np.float32)
    times = []
    for limit in seconds / 4, seconds:  # the first is to warm up
        times.clear()
        end = time.perf_counter() + limit
        while (start := time.perf_counter()) < end or not times:
            request.infer([x])
            times.append(time.perf_counter() - start)
    return batch / min(times)


SPEEDS = {"openvino": openvino_speed, "ort": ort_speed}


def in_process(peer, path, batch, threads, seconds, env):
    """A turn of a peer: inputs a second, or None where it does not run the file."""
    done = subprocess.run([sys.executable, __file__, "--turn", peer, path, str(batch), str(threads), str(seconds)],
                          capture_output=True, text=True, env={**os.environ, **env})
    if done.returncode:
        print(f"{peer} fails on {path}: {(done.stderr.strip().splitlines() or ['no message'])[-1]}", file=sys.stderr)
        return None
    return float(done.stdout)


def narrow_capped(narrow, path, batch, threads, seconds, env):
    before = dict(os.environ)
    os.environ.update(env)
    try:
        return narrow_speed(narrow, path, batch, threads, seconds)
    finally:
        os.environ.clear()
        os.environ.update(before)


def measure(args, files, cap, batch, threads):
    """Speeds by contender, one for each round."""
    def turn(contender):
        name, kind = contender.split()
        if name == "narrow":
            return narrow_capped(args.narrow, files[kind], batch, threads, args.seconds, CAPS[cap])
        return in_process(name, files[kind], batch, threads, args.seconds, CAPS[cap])

    contenders = ["narrow int8", "openvino int8", "narrow fp32"] + (["ort int8"] if cap == "all" else [])
    speeds = {c: [] for c in contenders}
    for _ in range(args.rounds):
        for c in contenders:
            speeds[c].append(turn(c))
    return speeds


def row(name, cap, batch, threads, speeds):
    def ms(contender):
        values = speeds.get(contender, [None])
        return "-" if None in values else f"{1000 * batch / statistics.median(values):.3f}"

    def ratio(contender):
        values = speeds.get(contender, [None])
        return "-" if None in values else f"**{statistics.median(a / b for a, b in zip(speeds['narrow int8'], values)):.2f}**"

    return (f"| {name} | {cap} | {batch} | {threads} | {ms('narrow int8')} | {ms('openvino int8')} | {ratio('openvino int8')} | "
            f"{ms('ort int8')} | {ratio('ort int8')} | {ms('narrow fp32')} | {ratio('narrow fp32')} |")


def prepare(narrow, name, folder):
    if name in MODELS:
        return {"fp32": f"{SHARED}/models/{name}.onnx", "int8": quantize(narrow, name, folder)}
    files = {"fp32": f"{folder}/{name}.onnx", "int8": f"{folder}/{name}.int8.onnx"}
    build(name, files["fp32"], f"{folder}/{name}.npy")
    subprocess.run([narrow, "quantize", files["fp32"], "--calib", f"{folder}/{name}.npy", "--compensate=false", "--equalize=false", "-o", files["int8"]],
                   check=True, stdout=subprocess.DEVNULL)
    return files


def header(args):
    import onnxruntime
    import openvino

    return [
        "# int8 networks beside other engines",
        "",
        f"{processor()}, {os.cpu_count()} processors; Python {platform.python_version()}, OpenVINO {openvino.__version__.split('-')[0]}, "
        f"ONNX Runtime {onnxruntime.__version__}. Written by `make bench-peers` (bench/peers.py).",
        "",
        f"Milliseconds for a batch on the same file quantized by narrow; medians of {args.rounds} rounds in which all take turns, each turn counted by its",
        "fastest run. A ratio is a peer's time by narrow's: above 1 narrow is faster; the last is narrow's own fp32 by its int8. `avx2` caps both engines; ONNX",
        f"Runtime cannot be capped. Load average before: {os.getloadavg()[0]:.0f}: beside other work long runs are cut into, and what takes more than some milliseconds tells little. "
        f"Random weights: {', '.join(NETWORKS)}.",
        "",
        "| network | processor features | batch | threads | narrow | OpenVINO | ratio | ONNX Runtime | ratio | narrow fp32 | ratio |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]


def main():
    if sys.argv[1:2] == ["--turn"]:
        peer, path, batch, threads, seconds = sys.argv[2:]
        print(SPEEDS[peer](path, int(batch), int(threads), float(seconds)))
        return
    parser = argparse.ArgumentParser()
    parser.add_argument("narrow")
    parser.add_argument("result")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--only", default="")
    parser.add_argument("--batch", default="1,16")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--cpu", default="all,avx2")
    args = parser.parse_args()
    lines = header(args)
    for name in [*MODELS, *NETWORKS]:
        if args.only not in name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            files = prepare(args.narrow, name, folder)
            for cap in args.cpu.split(","):
                for batch in map(int, args.batch.split(",")):
                    for threads in map(int, args.threads.split(",")):
                        lines.append(row(name, cap, batch, threads, measure(args, files, cap, batch, threads)))
                        print(lines[-1], flush=True)
    with open(args.result, "w") as f:
        f.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
