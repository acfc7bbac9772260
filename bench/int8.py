"""Measures the integer convolutions of package asm beside what the instructions can do, and writes a table.

    python bench/int8.py ASM.TEST RESULT.md [--rounds N]

ASM.TEST is made by `go test -c ./asm`. The loops on registers alone and the convolutions take turns, round after round; a figure
is the median of the rounds, of which each counts by its fastest call.
"""

import argparse
import os
import re
import statistics
import subprocess

from inference import processor

SETS = {"avx2": "AVX2", "avxvnni": "AVX-VNNI", "avx512": "AVX-512 VNNI"}
LINE = re.compile(r"^Benchmark(Peak|ConvS8)/(\S+)/(\w+)-\d+ .* ([\d.]+) best-GOP/s")


def measure(test, rounds):
    """GOP/s by (benchmark, features)."""
    rates = {}
    for _ in range(rounds):
        done = subprocess.run([os.path.abspath(test), "-test.run", "^$", "-test.bench", "Peak$/int8|Peak$/safe|ConvS8$/./avx", "-test.benchtime", "20ms"],
                              check=True, capture_output=True, text=True)
        for line in done.stdout.splitlines():
            if m := LINE.match(line):
                rates.setdefault((m[2], m[3]), []).append(float(m[4]))
    return {key: statistics.median(values) for key, values in rates.items()}


def table(best):
    sets = [s for s in SETS if ("int8", s) in best]
    lines = ["| convolution | " + " | ".join(f"{SETS[s]} | of the peak" for s in sets) + " |", "|---|" + "---|---|" * len(sets)]
    for name in dict.fromkeys(n for n, _ in best):
        if ("avx2" in sets) and name not in ("int8", "safe_int8"):
            cells = (f"{best[name, s]:.0f} | {100 * best[name, s] / best['int8', s]:.0f} %" for s in sets)
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("test")
    parser.add_argument("result")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    best = measure(args.test, args.rounds)
    peaks = "; ".join(f"{SETS[s]} {v:.0f}" + (" by VPMADDUBSW" if n == "safe_int8" else "") for (n, s), v in best.items() if n in ("int8", "safe_int8"))
    lines = [
        "# Integer convolutions and what the instructions can do",
        "",
        f"{processor()}, one thread; medians of {args.rounds} rounds. Written by `make bench-peers` (bench/int8.py).",
        "",
        f"GOP/s, two for each product. Peaks, on registers alone: {peaks}. The peak of AVX2 is that of VPMADDWD, which any weights allow;",
        "those here do not saturate, as narrow's quantizer makes them. More than all of it is done by VPMADDUBSW, and by F(2x2, 3x3), which makes",
        "2.25 times fewer products than are counted.",
        "",
        *table(best),
    ]
    with open(args.result, "w") as f:
        f.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
