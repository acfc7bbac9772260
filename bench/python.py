"""Measures what the way through Python and ctypes adds to the kernels, and writes a table.

    python bench/python.py ASM_TEST_BINARY LIBRARY RESULT.md [--rounds N] [--seconds S]

On 4 MiB of float32, one thread each: the Go benchmark of a kernel and the call from Python that ends in the same kernel
take turns, round after round, so that whatever else the machine does falls on both. Of a turn the quickest call
counts, by its processor time if it was interrupted; the cost is the median over the rounds of the ratios within a round.
"""
import argparse
import os
import pathlib
import statistics
import subprocess
import sys

import numpy as np

from kernels import TIERS, GoBenchmarks, machine, time_call

SIZE = "4MiB"
GOAL = 5  # per cent, of the histogram


def floats():
    """Room for the numbers that begins where a large page does, as that of the benchmarks."""
    page, size = 2 << 20, 4 << 20
    room = np.zeros(size + page, np.uint8)
    start = -room.ctypes.data % page
    return room[start : start + size].view(np.float32)


def calls(narrow):
    """The name of each Go benchmark and the same work from Python."""
    x, relu, y = floats(), floats(), floats()
    x[:] = np.tile(np.random.default_rng(1).standard_normal(1 << 18, dtype=np.float32), 4)  # as the benchmarks' repeat
    np.maximum(x, 0, out=relu)
    normal, half = narrow.Histogram(-6, 6, 2048), narrow.Histogram(0, 6, 2048)
    return {
        "histogram, 2048 bins, normal data": ("HistogramF32", lambda: normal.add(x)),
        "histogram, 2048 bins, half zeros": ("HistogramF32Relu", lambda: half.add(relu)),
        "min and max": ("MinMaxF32", lambda: narrow.minmax(x)),
        "quantize-dequantize": ("QuantizeDequantizeF32", lambda: narrow.fake_quantize(x, 0.037, out=y)),
    }


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("binary", help="the tests of package asm, compiled")
    args.add_argument("library", help="libnarrow.so")
    args.add_argument("result", help="the file to write")
    args.add_argument("--rounds", type=int, default=15)
    args.add_argument("--seconds", type=float, default=0.1, help="of each contender in each round")
    args = args.parse_args()
    os.environ["NARROW_LIBRARY"] = os.path.abspath(args.library)
    sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "python"))
    import narrow

    go = GoBenchmarks(args.binary, args.seconds)
    go_version = subprocess.run(["go", "version"], capture_output=True, text=True).stdout.split()[2]
    lines = []
    for title, (benchmark, call) in calls(narrow).items():
        name = next(n for n in (f"Benchmark{benchmark}/{tier}/{SIZE}" for tier in TIERS + ["generic"]) if go.time(n))
        pairs = [(go.time(name), time_call(call, args.seconds)) for _ in range(args.rounds)]
        ours, python = (1e6 * statistics.median(p) for p in zip(*pairs))
        cost = 100 * (statistics.median(p / g for g, p in pairs) - 1)
        goal = f", goal at most {GOAL} %" if benchmark == "HistogramF32" else ""
        lines.append(f"| {title} | {name.split('/')[1]} | {ours:.1f} | {python:.1f} | **{cost:+.1f} %**{goal} |")
        print(lines[-1], file=sys.stderr, flush=True)
    text = f"""# Kernels from Python

Written by `make bench-peers`: {SIZE} of float32, one thread, Go's benchmark of a kernel and the Python package's call in turns of
{args.seconds * 1000:.0f} ms, {args.rounds} rounds. Of a turn the quickest call counts, by its processor time if it was
interrupted; times are medians, the cost is the median of the ratios within a round.

- Machine: {machine()}
- Versions: {go_version}, Python {sys.version.split()[0]}, numpy {np.__version__}

| work | tier | Go, µs | Python, µs | through ctypes |
|---|---|---|---|---|
""" + "\n".join(lines) + "\n"
    pathlib.Path(args.result).write_text(text)


if __name__ == "__main__":
    main()
