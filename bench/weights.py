"""Quantizes weights alone by narrow (nearest, mse, compensated), ONNX Runtime's MatMulNBits quantizer and NNCF's
compress_weights, and scores what they wrote on unseen inputs in ONNX Runtime: dB of the first output, size, seconds.

    python bench/weights.py NARROW OUTPUT.md [SHARED] [NETWORK...]

MiniLM is built by SHARED/zoo/minilm.py. A peer that fails, or lacks a setting, is in the table with the first words of its error.
ONNX Runtime and NNCF leave convolutions alone.
"""
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
import onnxruntime as ort

ort.set_default_logger_severity(4)
SETTINGS = [(8, "channel"), (8, "32"), (4, "channel"), (4, "128"), (4, "32"), (3, "channel"), (3, "128"), (3, "32")]
CIFAR = ["--scale", "1/255"]
NETWORKS = {"minilm": [], "resnet20_cifar10": CIFAR, "mobilenetv2_cifar10": CIFAR}
SEEN = 128  # calibration inputs


class Network:
    """A float network, its inputs for calibration and for scoring."""

    def __init__(self, name, shared, folder):
        self.name, self.prepare = name, NETWORKS[name]
        if name == "minilm":
            self.path = os.path.join(folder, "minilm.onnx")
            if not os.path.exists(self.path):
                subprocess.run([sys.executable, f"{shared}/zoo/minilm.py", self.path], check=True)
            self.calib = f"{shared}/zoo/data/minilm_calib.npz"
            seen, unseen = dict(np.load(self.calib)), dict(np.load(f"{shared}/zoo/data/minilm_test.npz"))
        else:
            self.path, self.calib = f"{shared}/models/{name}.onnx", f"{shared}/data/cifar10_calib_x.npy"
            only = onnx.load(self.path).graph.input[0].name
            scaled = lambda x: {only: (x / np.float32(255)).astype(np.float32)}
            seen, unseen = scaled(np.load(self.calib)[:SEEN]), scaled(np.load(f"{shared}/data/cifar10_test_x.npy")[:300])
        self.seen = [{k: v[i:i + 1] for k, v in seen.items()} for i in range(SEEN)]
        self.unseen = unseen
        self.want = self.run(self.path)

    def run(self, path):
        options = ort.SessionOptions()
        options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "0")
        s = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        n = len(next(iter(self.unseen.values())))
        return np.concatenate([s.run(None, {i.name: self.unseen[i.name][k:k + 20] for i in s.get_inputs()})[0] for k in range(0, n, 20)]).astype(np.float64)

    def score(self, path):
        return 10 * np.log10((self.want ** 2).sum() / ((self.run(path) - self.want) ** 2).sum())


def narrow(binary, scales, calibrated):
    def quantize(net, bits, block, out):
        args = [binary, "quantize", net.path, "--weights-only", "--weight-bits", str(bits), "--block", block, "--scales", scales, "-o", out]
        if calibrated:
            args += ["--calib", net.calib, "--limit", str(SEEN)] + net.prepare
        subprocess.run(args, check=True, capture_output=True)
    return quantize


def ort_nbits(config):
    def quantize(net, bits, block, out):
        from onnxruntime.quantization import matmul_nbits_quantizer as m
        if block == "channel" or bits not in (4, 8):
            raise ValueError("no such setting")
        kinds = {"RTN": lambda: m.DefaultWeightOnlyQuantConfig(block_size=int(block), is_symmetric=False, bits=bits),
                 "HQQ": lambda: m.HQQWeightOnlyQuantConfig(block_size=int(block), bits=bits),
                 "k-quant": lambda: m.KQuantWeightOnlyQuantConfig()}
        q = m.MatMulNBitsQuantizer(onnx.load(net.path), bits=bits, block_size=int(block), is_symmetric=False, algo_config=kinds[config]())
        q.process()
        if not any(n.op_type == "MatMulNBits" for n in q.model.model.graph.node):
            raise ValueError("quantizes nothing")
        q.model.save_model_to_file(out, False)
    return quantize


def nncf_weights(**how):
    def quantize(net, bits, block, out):
        import nncf
        if bits == 3 or bits == 8 and block != "channel":
            raise ValueError("no such setting")
        mode = nncf.CompressWeightsMode.INT8_ASYM if bits == 8 else nncf.CompressWeightsMode.INT4_ASYM
        args = {} if bits == 8 else dict(group_size=-1 if block == "channel" else int(block), all_layers=True, ratio=1.0, **how)
        if how and bits == 8:
            raise ValueError("no such setting")
        model = nncf.compress_weights(onnx.load(net.path), mode=mode, dataset=nncf.Dataset(net.seen) if how else None, **args)
        onnx.save(model, out)
    return quantize


def main(binary, output, shared="../shared", *names):
    ways = {"narrow nearest": narrow(binary, "nearest", False), "narrow mse": narrow(binary, "mse", False), "narrow compensated": narrow(binary, "mse", True),
            "ONNX Runtime RTN": ort_nbits("RTN"), "ONNX Runtime HQQ": ort_nbits("HQQ"), "ONNX Runtime k-quant": ort_nbits("k-quant"),
            "NNCF": nncf_weights(), "NNCF AWQ": nncf_weights(awq=True), "NNCF scale estimation": nncf_weights(scale_estimation=True),
            "NNCF AWQ + scale estimation": nncf_weights(awq=True, scale_estimation=True), "NNCF GPTQ": nncf_weights(gptq=True)}
    lines = ["# Weights alone", "", f"dB of the outputs on unseen inputs in ONNX Runtime {ort.__version__}, size and seconds (`make bench-weights`; the machine was not quiet: compare times by their order).", ""]
    with tempfile.TemporaryDirectory() as folder:
        for name in names or NETWORKS:
            net = Network(name, shared, folder)
            lines += [f"## {name}, {os.path.getsize(net.path) / 1e6:.1f} MB in float", "", "| way | " + " | ".join(f"{b} bits, {k}" for b, k in SETTINGS) + " |", "|---" * (len(SETTINGS) + 1) + "|"]
            for way, quantize in ways.items():
                cells = []
                for bits, block in SETTINGS:
                    path = os.path.join(folder, "out.onnx")
                    try:
                        start = time.monotonic()
                        quantize(net, bits, block, path)
                        seconds = time.monotonic() - start
                        cells.append(f"{net.score(path):.1f} dB, {os.path.getsize(path) / 1e6:.1f} MB, {seconds:.1f} s")
                    except Exception as e:  # a peer's failure is a result
                        words = str(e).strip().splitlines()[-1] if str(e).strip() else type(e).__name__
                        cells.append("-" if words == "no such setting" else words[:60].replace("|", "/"))
                lines.append(f"| {way} | " + " | ".join(cells) + " |")
                print(lines[-1], flush=True)
            lines.append("")
    with open(output, "w") as f:
        f.write("\n".join(lines))


if __name__ == "__main__":
    main(*sys.argv[1:])
