"""Quantizes real models with the narrow command and runs them in OpenVINO, on this processor and as one without VNNI.

    python test/ort/saturation.py NARROW SHARED

oneDNN, which computes for OpenVINO, adds two products in 16 bits where it is told that the processor has AVX2 alone
(ONEDNN_MAX_CPU_ISA). Files that are saturation-safe must mean the same there: within 0.3 dB of what they are on this
processor and in ONNX Runtime. What the limit costs is compared with files that are not safe, of which `narrow eval --saturating`
must foresee what happens, roughly: within 6 dB. Exits with 1 if anything misses its mark.
"""
import json
import os
import subprocess
import sys
import tempfile

import numpy as np

CIFAR = ["--scale", "1/255", "--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"]
MODELS = [  # name, data, calibration inputs, preprocessing
    ("resnet8_cifar10", "cifar10", 500, []),
    ("resnet20_cifar10", "cifar10", 500, CIFAR),
    ("mobilenetv2_cifar10", "cifar10", 500, CIFAR),
    ("dscnn_kws", "kws", 200, []),
    ("mobilenetv1_vww", None, 100, []),  # there is no data: pictures of cifar10, three times as large
]
TOLERANCE, MEAN_COST, COST = 0.3, 0.3, 0.6  # dB


def openvino_run():
    """In a process of its own: openvino MODEL X OUT, under the environment's limits."""
    import openvino as ov
    core = ov.Core()
    net = core.compile_model(core.read_model(sys.argv[2]), "CPU", {"INFERENCE_NUM_THREADS": 2})
    x = np.load(sys.argv[3])
    np.save(sys.argv[4], np.concatenate([net(x[i:i + 50])[0] for i in range(0, len(x), 50)]))


def openvino(model, x, out, isa):
    environment = dict(os.environ, **({"ONEDNN_MAX_CPU_ISA": isa} if isa else {}))
    subprocess.run([sys.executable, __file__, "openvino", model, x, out], check=True, env=environment)
    return np.load(out).astype(np.float64)


def sqnr(reference, got):
    reference = reference.astype(np.float64)
    return 10 * np.log10((reference**2).sum() / ((reference - got)**2).sum())


def onnxruntime(path, x):
    import onnxruntime as ort
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: x[i:i + 50]})[0] for i in range(0, len(x), 50)])


def pictures(shared, data, kind, count, preprocessing):
    """The inputs as narrow takes them, and as the network does."""
    x = np.load(f"{shared}/data/{data or 'cifar10'}_{kind}_x.npy")[:count].astype(np.float32)
    if data is None:
        x = x.repeat(3, 2).repeat(3, 3) / np.float32(255)
    ready = x
    if preprocessing:
        mean, std = (np.array(v, np.float32).reshape(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        ready = (x * np.float32(1 / 255) - mean) / std
    return x, ready


class Check:
    def __init__(self, narrow, shared, folder):
        self.narrow, self.shared, self.folder = narrow, shared, folder
        self.failures, self.costs = [], []

    def expect(self, what, ok, detail):
        if not ok:
            self.failures.append(what)
            print(f"FAILED {what}: {detail}", flush=True)

    def command(self, *args):
        done = subprocess.run([self.narrow, *args, "--json"], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"narrow {' '.join(args)}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def measure(self, model, data, calibration, preprocessing, *options):
        """Whether it is safe, and the SQNR in ONNX Runtime, OpenVINO, OpenVINO without VNNI and, foreseen for that, by narrow."""
        calib, test, ready, out = (f"{self.folder}/{n}" for n in ("calib.npy", "test.npy", "ready.npy", "out.npy"))
        np.save(calib, pictures(self.shared, data, "calib", calibration, preprocessing)[0])
        x, network = pictures(self.shared, data, "test", 2000, preprocessing)
        np.save(test, x)
        np.save(ready, network)
        float_path, path = f"{self.shared}/models/{model}.onnx", f"{self.folder}/int8.onnx"
        self.command("quantize", float_path, "--calib", calib, "-o", path, *preprocessing, *options)
        reference = onnxruntime(float_path, network)
        safe = self.command("inspect", path)["saturation_safe"]
        foreseen = self.command("eval", path, "--data", test, "--against", float_path, "--saturating", *preprocessing)["sqnr_db"]
        return safe, [sqnr(reference, onnxruntime(path, network)), *(sqnr(reference, openvino(path, ready, out, isa)) for isa in ("", "AVX2"))], foreseen

    def model(self, name, *how):
        for options in [], ["--compensate=false"], ["--per-channel=false"]:
            safe, (ort, full, avx2), foreseen = self.measure(name, *how, *options)
            print(f"{name:22} {' '.join(options) or 'defaults':24} {ort:7.2f} {full:7.2f} {avx2:7.2f} {foreseen:7.2f}", flush=True)
            what = f"{name} {' '.join(options)}"
            self.expect(f"{what}: inspect", safe, "it is not safe")
            self.expect(f"{what}: without VNNI", abs(avx2 - full) <= TOLERANCE, f"{full:.2f} and {avx2:.2f} dB")
            self.expect(f"{what}: eval --saturating", abs(foreseen - ort) <= TOLERANCE, f"{ort:.2f} and {foreseen:.2f} dB")
            if not options:
                best = ort
        safe, (ort, full, avx2), foreseen = self.measure(name, *how, "--saturation-safe=false")
        print(f"{name:22} {'--saturation-safe=false':24} {ort:7.2f} {full:7.2f} {avx2:7.2f} {foreseen:7.2f}", flush=True)
        self.expect(f"{name}: inspect", not safe, "files without the limit are called safe")
        self.expect(f"{name}: eval --saturating", abs(foreseen - avx2) <= 6, f"{avx2:.2f} and {foreseen:.2f} dB")
        self.costs.append(ort - best)
        self.expect(f"{name}: cost", ort - best <= COST, f"{ort:.2f} dB, safe {best:.2f}")

    def run(self):
        print(f"{'model':22} {'':24} {'ORT':>7} {'OpenV.':>7} {'AVX2':>7} {'narrow':>7}  dB; the last is eval --saturating")
        for m in MODELS:
            self.model(*m)
        mean = sum(self.costs) / len(self.costs)
        print(f"mean cost {mean:.2f} dB")
        self.expect("mean cost", mean <= MEAN_COST, f"{mean:.2f} dB")
        print(f"{len(self.failures)} failures")
        return bool(self.failures)


if sys.argv[1] == "openvino":
    openvino_run()
else:
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(Check(os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), folder).run())
