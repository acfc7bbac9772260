"""Quantizes the networks of testdata/networks with narrow and with onnxruntime.quantization, and compares in ONNX Runtime.

    python test/networks/check.py NARROW [--table FILE.md] [NETWORK]...

Both calibrate on the same inputs and quantize weights per channel; ONNX Runtime's tool with its Percentile method and a zero point for
every activation, so narrow is run with --asymmetric too, and with --clip auto, beside its defaults. Exits with 1 if ONNX Runtime does not
load what narrow wrote, if what it computes depends on its optimizations by more than 0.75 dB, or if the SQNR of the defaults is under the
other tool's.
"""
import argparse
import glob
import json
import os
import platform
import subprocess
import sys
import tempfile

import numpy as np
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.path.insert(0, os.path.join(ROOT, "testdata", "scripts"))
import data  # noqa: E402

CALIBRATION, TEST = 200, 400
SAME = 0.75  # dB that ONNX Runtime's optimizations may change: the transformer is at 0.5, the others under 0.1


class Reader(CalibrationDataReader):
    def __init__(self, x, batch=20):
        self.batches = iter({"x": x[i : i + batch]} for i in range(0, len(x), batch))

    def get_next(self):
        return next(self.batches, None)


def run(path, x, optimized=True):
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    if not optimized:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})


def sqnr(want, got):
    """The SQNR of each output in dB, and of all together with each scaled to unit power."""
    noise = [np.sum((a.astype(np.float64) - b) ** 2) / np.sum(a.astype(np.float64) ** 2) for a, b in zip(want, got)]
    db = lambda v: -10 * np.log10(max(v, 1e-12))
    return db(np.mean(noise)), [db(v) for v in noise]


def other(model, calib, out):
    """Quantizes with onnxruntime.quantization; returns what went wrong, or None."""
    prepared = out + ".prepared.onnx"
    try:
        quant_pre_process(model, prepared, skip_symbolic_shape=True)
        quantize_static(prepared, out, Reader(calib), quant_format=QuantFormat.QDQ, per_channel=True, activation_type=QuantType.QUInt8,
                        weight_type=QuantType.QInt8, calibrate_method=CalibrationMethod.Percentile,
                        extra_options={"CalibPercentile": 99.999})
        ort.InferenceSession(out, providers=["CPUExecutionProvider"])
    except Exception as e:  # its failures are part of the comparison
        return str(e).strip().splitlines()[0]


def narrow(command, *args):
    done = subprocess.run([command, *args, "--json"], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return json.loads(done.stdout)


def check(command, model, folder):
    """Compares on one model and returns a row of the table and what failed."""
    name = os.path.basename(model)[:-5]
    draw = data.sounds if name.startswith("audio") else data.pictures
    calib, test = draw(CALIBRATION, seed=3)[0], draw(TEST, seed=4)[0]
    calib_file, ours, theirs = (os.path.join(folder, f"{name}.{end}") for end in ("npy", "narrow.onnx", "ort.onnx"))
    np.save(calib_file, calib)
    want = run(model, test)
    row = {"network": name}
    try:
        for key, options in (("narrow", []), ("asymmetric", ["--asymmetric"]), ("auto", ["--clip", "auto"])):
            done = narrow(command, "quantize", model, "--calib", calib_file, "-o", ours, *options)
            plain = sqnr(want, run(ours, test, optimized=False))[0]
            row[key], row["each"] = sqnr(want, run(ours, test))
            if abs(plain - row[key]) > SAME:
                row["failed"] = f"{row[key]:.1f} dB with optimizations, {plain:.1f} dB without"
        row |= {"nodes": f"{done['nodes_quantized']} + {done['nodes_float']}", "share": narrow(command, "inspect", ours)["integer_macs"]}
    except Exception as e:
        return row | {"failed": str(e).strip().splitlines()[0]}
    problem = other(model, calib, theirs)
    if problem:
        row["problem"] = problem
    else:
        row["other"] = sqnr(want, run(theirs, test))[0]
        if row["narrow"] < row["other"]:
            row["failed"] = f"SQNR {row['narrow']:.2f} dB is under {row['other']:.2f} dB"
    return row


def table(rows):
    out = [
        "# Networks people bring",
        "",
        "Five networks of our own (`testdata/scripts/networks.py`), trained on drawn pictures and sounds, exported by PyTorch at opset 11 and 17.",
        f"Both tools calibrate on the same {CALIBRATION} inputs; SQNR against fp32 over {TEST} others, in ONNX Runtime {ort.__version__} with its default",
        "optimizations, from the mean of the outputs' relative noise. onnxruntime.quantization: QDQ, per channel, Percentile 99.999, a zero point for",
        "every activation, after its own pre-processing. narrow by its defaults gives one to tensors that gain clearly, with `--asymmetric` to all;",
        "`--clip auto` chooses the rule of clipping by what it does to the outputs. Nodes and share are of that last run.",
        f"{platform.machine()}, {platform.system()}. Written by `make bench-networks`.",
        "",
        "| network | narrow | --asymmetric | --clip auto | onnxruntime.quantization | nodes on integers + in float | MACs on integers |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        if "nodes" not in r:
            out.append(f"| {r['network']} | failed: {r['failed']} | | | | | |")
            continue
        peer = f"{r['other']:.1f} dB" if "other" in r else "its file is refused: " + r["problem"].split(" : ", 2)[-1].split(":")[-1].strip()
        out.append(f"| {r['network']} | {r['narrow']:.1f} dB | {r['asymmetric']:.1f} dB | {r['auto']:.1f} dB | {peer} | {r['nodes']} | {r['share']:.1f} % |")
    return "\n".join(out) + "\n"


def main():
    p = argparse.ArgumentParser()
    p.add_argument("narrow")
    p.add_argument("networks", nargs="*")
    p.add_argument("--table")
    args = p.parse_args()
    models = sorted(glob.glob(os.path.join(ROOT, "testdata", "networks", "*.onnx")))
    models = [m for m in models if not args.networks or any(n in os.path.basename(m) for n in args.networks)]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for m in models:
            r = check(os.path.abspath(args.narrow), m, folder)
            rows.append(r)
            each = " ".join(f"{v:.1f}" for v in r.get("each", []))
            print(f"{r['network']:24} narrow {r.get('narrow', 0):5.2f} dB, asymmetric {r.get('asymmetric', 0):5.2f} dB, auto {r.get('auto', 0):5.2f} dB ({each})  other {r.get('other', 0):5.2f} dB"
                  f"  {r.get('problem', '')} {'FAILED ' + r['failed'] if 'failed' in r else ''}", flush=True)
    if args.table:
        with open(args.table, "w") as f:
            f.write(table(rows))
    sys.exit(any("failed" in r for r in rows))


if __name__ == "__main__":
    main()
