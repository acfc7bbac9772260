"""Writes testdata/networks/{pictures,sounds}.npy, inputs as bytes (x = byte/32 - 4), and expected.npy: what ONNX Runtime gives for the last 16
of them, network after network, for the tests of package ptq."""
import os

import numpy as np
import onnxruntime as ort

import data

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "networks")
COUNT, TEST = 48, 16


def main():
    expected = []
    for kind, draw, networks in (("pictures", data.pictures, ("mobilenetv3", "vit")), ("sounds", data.sounds, ("audio",))):
        x = np.clip(np.round((draw(COUNT, seed=5)[0] + 4) * 32), 0, 255).astype(np.uint8)
        np.save(os.path.join(OUT, kind + ".npy"), x)
        for name in networks:
            for opset in (11, 17):
                network = f"{name}_opset{opset}"
                session = ort.InferenceSession(os.path.join(OUT, network + ".onnx"), providers=["CPUExecutionProvider"])
                expected += session.run(None, {"x": x[-TEST:].astype(np.float32) / 32 - 4})
    np.save(os.path.join(OUT, "expected.npy"), np.stack(expected))


if __name__ == "__main__":
    main()
