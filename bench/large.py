"""What quantizing large networks costs: processor time beside the fp32 forward passes over the same inputs, and memory beside the file.

    python bench/large.py NARROW RESULTS.md [--only NAME,...] [--products N] [--peers]

Networks with random weights: those of bench/build_networks.py, and N products (40: 2.7 GB) of 4096 x 4096 with external data.
--peers quantizes the convolutional ones with onnxruntime.quantization too, in processes of their own.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper

import build_networks

INPUTS = {"resnet50": 100, "mobilenetv2_224": 100, "bert_base": 32, "vit_b16": 32, "products": 32}
VARIANTS = {"resnet50": [[], ["--compensate=false"]], "mobilenetv2_224": [[], ["--compensate=false"]]}
WIDTH = 4096

PEER = """
import sys
import numpy as np
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
class Reader(CalibrationDataReader):
    def __init__(self): self.x = iter(np.load(sys.argv[3]))
    def get_next(self):
        x = next(self.x, None)
        return None if x is None else {"x": x[None]}
quantize_static(sys.argv[1], sys.argv[2], Reader(), quant_format=QuantFormat.QDQ, per_channel=True, weight_type=QuantType.QInt8,
                activation_type=QuantType.QUInt8, calibrate_method=CalibrationMethod[sys.argv[4]])
"""


def build_products(model, count):
    """A chain of products whose weights are written as they are made: never more than one of them is in memory."""
    rng = np.random.default_rng(1)
    nodes, weights, value = [], [], "x"
    with open(model + ".data", "wb") as f:
        for i in range(count):
            w = onnx.TensorProto(name=f"w{i}", data_type=TensorProto.FLOAT, dims=[WIDTH, WIDTH], data_location=TensorProto.EXTERNAL)
            for key, of in ("location", os.path.basename(f.name)), ("offset", f.tell()), ("length", 4 * WIDTH * WIDTH):
                w.external_data.add(key=key, value=str(of))
            f.write((rng.standard_normal((WIDTH, WIDTH), np.float32) * np.float32(WIDTH**-0.5)).tobytes())
            weights.append(w)
            nodes.append(helper.make_node("MatMul", [value, w.name], [f"y{i}"], f"product{i}"))
            value = f"y{i}"
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", WIDTH]) for n in ("x", value))
    onnx.save(helper.make_model(helper.make_graph(nodes, "products", [x], [y], weights), opset_imports=[helper.make_opsetid("", 17)], ir_version=8), model)


def measure(*command):
    """Processor seconds and peak MB of a process; None if it failed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    timed = subprocess.run(["/usr/bin/time", "-f", "%M", *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if timed.returncode:
        print(timed.stderr, file=sys.stderr)
        return None
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, int(timed.stderr.split()[-1]) / 1024


def network(narrow, name, folder, products, peers):
    """The rows of one network's table."""
    model, calibration, out = (os.path.join(folder, n) for n in ("model.onnx", "x.npy", "out.onnx"))
    if name == "products":
        build_products(model, products)
        np.save(calibration, np.random.default_rng(2).standard_normal((INPUTS[name], WIDTH), np.float32))
    else:
        build_networks.build(name, model, calibration, INPUTS[name])
    size = sum(os.path.getsize(os.path.join(folder, f)) for f in os.listdir(folder) if f.startswith("model.onnx")) / 2**20
    forward = measure(narrow, "run", model, "--input", calibration, "-o", os.path.join(folder, "y.npy"))
    commands = {"narrow inspect": (narrow, "inspect", model)}
    for options in VARIANTS.get(name, [[]]):
        commands[" ".join(["narrow quantize", *options])] = narrow, "quantize", model, "--calib", calibration, "-o", out, *options
    if peers and name in VARIANTS:
        for method in "MinMax", "Entropy", "Percentile":
            commands[f"onnxruntime.quantization {method}"] = sys.executable, "-c", PEER, model, out, calibration, method
    if forward is None:
        sys.exit(f"narrow run fails on {name}")
    rows = [("narrow run: the forward passes", forward)] + [(what, measure(*c)) for what, c in commands.items()]
    lines = [f"\n## {name}\n", f"{INPUTS[name]} inputs, a file of {size:.0f} MB.\n", "| process | CPU s | of the forward passes | peak MB | of the file |",
             "|---|---|---|---|---|"]
    for what, got in rows:
        lines.append(f"| {what} | " + (f"{got[0]:.2f} | {got[0] / forward[0]:.2f} | {got[1]:.0f} | {got[1] / size:.2f} |" if got else "fails | | | |"))
    return lines


def main():
    p = argparse.ArgumentParser()
    p.add_argument("narrow")
    p.add_argument("results")
    p.add_argument("--only", default=",".join(INPUTS))
    p.add_argument("--products", type=int, default=40)
    p.add_argument("--peers", action="store_true")
    a = p.parse_args()
    lines = ["# Quantizing large networks\n", "Random weights; processor time of all threads, peak of the resident memory. Written by `make bench-large`."]
    for name in a.only.split(","):
        with tempfile.TemporaryDirectory() as folder:
            lines += network(os.path.abspath(a.narrow), name, folder, a.products, a.peers)
        print("\n".join(lines[-4:]), flush=True)
    with open(a.results, "w") as f:
        f.write("\n".join(lines) + "\n")


main()
