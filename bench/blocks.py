"""Times products by 4-bit weights in blocks of 32, a token and a prompt at a time, in narrow and ONNX Runtime
(MatMulNBits, accuracy level 4, on both), with the memory's bandwidth in between.

    python bench/blocks.py NARROW OUTPUT.md [LAYERS [SIZE [ROUNDS]]]

The network is a stack of layers with random weights, larger than the caches of a core. Rounds alternate; the least time of all counts.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

BLOCK = 32


def network(path, layers, size, rows):
    """Writes a stack of MatMulNBits; returns the bytes of its weights."""
    rng = np.random.default_rng(1)
    blocks = size // BLOCK
    nodes, constants, total = [], [], 0
    for i in range(layers):
        parts = {"w": rng.integers(0, 256, (size, blocks, BLOCK // 2), dtype=np.uint8),
                 "s": (rng.random((size, blocks), dtype=np.float32) + .5) / 8 / np.sqrt(size, dtype=np.float32),
                 "z": rng.integers(0, 256, (size, blocks // 2), dtype=np.uint8)}
        total += sum(v.nbytes for v in parts.values())
        constants += [numpy_helper.from_array(v, f"{k}{i}") for k, v in parts.items()]
        nodes.append(helper.make_node("MatMulNBits", [f"x{i}", f"w{i}", f"s{i}", f"z{i}"], [f"x{i + 1}"], domain="com.microsoft",
                                      K=size, N=size, bits=4, block_size=BLOCK, accuracy_level=4))
    io = [helper.make_tensor_value_info(f"x{i}", TensorProto.FLOAT, [1, rows, size]) for i in (0, layers)]
    g = helper.make_graph(nodes, "stack", io[:1], io[1:], constants)
    model = helper.make_model(g, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)])
    model.ir_version = 8
    onnx.save(model, path)
    return total


def ort_time(path, threads, seconds=2):
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    shape = session.get_inputs()[0].shape
    x = {"x0": np.random.default_rng(2).standard_normal(shape).astype(np.float32)}
    session.run(None, x)
    times, end = [], time.monotonic() + seconds
    while time.monotonic() < end or len(times) < 3:
        start = time.perf_counter()
        session.run(None, x)
        times.append(time.perf_counter() - start)
    return min(times)


def narrow_time(narrow, path, threads):
    out = subprocess.run([narrow, "bench", path, "--threads", str(threads), "--seconds", "2", "--json"], check=True, capture_output=True, text=True).stdout
    return json.loads(out)["latency_ms"]["min"] / 1000


def bandwidth(test):
    """Returns the most that one core reads of 64 MiB, bytes a second."""
    out = subprocess.run([test, "-test.run", "^$", "-test.bench", "PeakMemory/read/.*/64MiB", "-test.benchtime", "0.2s"], check=True, capture_output=True, text=True).stdout
    return max(float(v) for v in re.findall(r"([\d.]+) best-GB/s", out)) * 1e9


def main(narrow, output, layers=8, size=4096, rounds=3):
    layers, size, rounds = int(layers), int(size), int(rounds)
    with tempfile.TemporaryDirectory() as folder:
        test = os.path.join(folder, "asm.test")
        subprocess.run(["go", "test", "-c", "-o", test, "./asm"], check=True)
        cases = [(rows, threads) for rows in (1, 128) for threads in (1, 2)]
        paths = {rows: os.path.join(folder, f"{rows}.onnx") for rows in (1, 128)}
        weights = {rows: network(path, layers, size, rows) for rows, path in paths.items()}[1]
        best = {case: [float("inf")] * 2 for case in cases}
        memory = 0
        for _ in range(rounds):
            memory = max(memory, bandwidth(test))
            for rows, threads in cases:
                for i, run in enumerate((lambda: narrow_time(narrow, paths[rows], threads), lambda: ort_time(paths[rows], threads))):
                    best[rows, threads][i] = min(best[rows, threads][i], run())
    lines = ["# Products by 4-bit weights", "",
             f"{layers} layers of {size}x{size}, blocks of {BLOCK}, zero points, {weights / 1e6:.0f} MB, accuracy level 4; ONNX Runtime {ort.__version__}. One core reads {memory / 1e9:.1f} GB/s of memory (`make bench-blocks`).", "",
             "| rows | threads | narrow ms | ONNX Runtime ms | times as fast | weights read, GB/s |", "|---|---|---|---|---|---|"]
    for (rows, threads), (own, other) in best.items():
        lines.append(f"| {rows} | {threads} | {own * 1e3:.2f} | {other * 1e3:.2f} | {other / own:.2f} | {weights / own / 1e9:.1f} |")
    text = "\n".join(lines) + "\n"
    print(text)
    with open(output, "w") as f:
        f.write(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
