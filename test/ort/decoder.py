"""Quantizes a small decoder of LLaMA's shape with the narrow command and runs it token by token, with past keys and values, in narrow and in ONNX Runtime.

    python test/ort/decoder.py NARROW

The network is made here: embedding, RMSNorm, rotary positions, attention with fewer heads of keys than of queries, a gated
feed-forward, weights drawn from a distribution with heavy tails. Every written form must give the same logits in both
(within a thousandth of the largest), token after token, ONNX Runtime's optimizations on and off, and the same next token. Exits with 1 if not.
"""
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LAYERS, WIDTH, HEADS, KV, SIZE, HIDDEN, WORDS, TOKENS = 2, 128, 4, 2, 32, 256, 320, 10
FORMS = [["--weight-bits", "8"], ["--weight-bits", "4", "--block", "32"], ["--weight-bits", "4", "--block", "32", "--format", "matmulnbits"]]


def decoder(path):
    """Writes the network: ids [1, T], past keys and values [1, KV, P, SIZE] to logits and those of P+T places."""
    rng = np.random.default_rng(7)
    constants, nodes = [], []

    def const(name, x):
        constants.append(numpy_helper.from_array(x, name))
        return name

    def weights(name, rows, columns):
        return const(name, (rng.standard_t(4, (rows, columns)) / np.sqrt(2 * rows)).astype(np.float32))

    def node(op, inputs, *outputs, **attributes):
        nodes.append(helper.make_node(op, inputs, list(outputs), **attributes))
        return outputs[0]

    def norm(x, name):
        return node("RMSNormalization", [x, const(name + "_scale", (1 + rng.random(WIDTH) / 4).astype(np.float32))], name, epsilon=1e-5, axis=-1)

    angles = np.arange(64)[:, None] / 10000 ** (np.arange(0, SIZE, 2)[None] / SIZE)
    cos, sin = const("cos", np.cos(angles).astype(np.float32)), const("sin", np.sin(angles).astype(np.float32))
    x = node("Gather", [const("table", rng.standard_t(4, (WORDS, WIDTH)).astype(np.float32) / 2), "ids"], "embedded")
    values = [("ids", TensorProto.INT64, [1, "T"]), ("positions", TensorProto.INT64, [1, "T"])]
    results = [("logits", TensorProto.FLOAT, [1, "T", WORDS])]
    for i in range(LAYERS):
        n, p = norm(x, f"norm{i}a"), f"l{i}_"
        q, k, v = (node("MatMul", [n, weights(p + m + "_w", WIDTH, h * SIZE)], p + m) for m, h in (("q", HEADS), ("k", KV), ("v", KV)))
        q = node("RotaryEmbedding", [q, cos, sin, "positions"], p + "q_turned", num_heads=HEADS)
        k = node("RotaryEmbedding", [k, cos, sin, "positions"], p + "k_turned", num_heads=KV)
        past = [p + "past_k", p + "past_v"]
        now = [p + "now_k", p + "now_v"]
        a = node("Attention", [q, k, v, "", *past], p + "attended", *now, q_num_heads=HEADS, kv_num_heads=KV, is_causal=1)
        x = node("Add", [x, node("MatMul", [a, weights(p + "o_w", HEADS * SIZE, WIDTH)], p + "o")], p + "after")
        n = norm(x, f"norm{i}b")
        gate, up = (node("MatMul", [n, weights(p + m + "_w", WIDTH, HIDDEN)], p + m) for m in ("gate", "up"))
        gate = node("Mul", [gate, node("Sigmoid", [gate], p + "sigmoid")], p + "silu")
        down = node("MatMul", [node("Mul", [gate, up], p + "gated"), weights(p + "down_w", HIDDEN, WIDTH)], p + "down")
        x = node("Add", [x, down], p + "out")
        values += [(m, TensorProto.FLOAT, [1, KV, "P", SIZE]) for m in past]
        results += [(m, TensorProto.FLOAT, [1, KV, "N", SIZE]) for m in now]
    node("MatMul", [norm(x, "norm"), weights("head_w", WIDTH, WORDS)], "logits")
    io = [[helper.make_tensor_value_info(*v) for v in vs] for vs in (values, results)]
    model = helper.make_model(helper.make_graph(nodes, "decoder", *io, constants), opset_imports=[helper.make_opsetid("", 23)])
    model.ir_version = 10
    onnx.checker.check_model(model)
    onnx.save(model, path)


def first():
    """Returns the inputs of the first step: a prompt of three tokens and no past."""
    past = {f"l{i}_past_{m}": np.zeros((1, KV, 0, SIZE), np.float32) for i in range(LAYERS) for m in "kv"}
    return {"ids": np.array([[5, 17, 211]]), "positions": np.arange(3)[None], **past}


def step(run):
    """Runs token by token, taking the likeliest word, and yields the logits of each step."""
    inputs, at = first(), 0
    for _ in range(TOKENS):
        out = run(inputs)
        yield out["logits"][0, -1]
        at += inputs["ids"].shape[1]
        inputs = {"ids": out["logits"][:, -1:].argmax(-1), "positions": np.array([[at]]),
                  **{f"l{i}_past_{m}": out[f"l{i}_now_{m}"] for i in range(LAYERS) for m in "kv"}}


def by_narrow(narrow, path, folder):
    def run(inputs):
        names = os.path.join(folder, "in.npz"), os.path.join(folder, "out.npz")
        np.savez(names[0], **inputs)
        subprocess.run([narrow, "run", path, "--input", names[0], "-o", names[1]], check=True, capture_output=True)
        return dict(np.load(names[1]))
    return run


def by_onnxruntime(path, optimized):
    import onnxruntime as ort
    ort.set_default_logger_severity(3)
    options = ort.SessionOptions()
    options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "0")
    if not optimized:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(None, inputs)))


def main(narrow):
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        plain = os.path.join(folder, "decoder.onnx")
        decoder(plain)
        for form in [None, *FORMS]:
            path = plain
            if form:
                path = os.path.join(folder, "quantized.onnx")
                subprocess.run([narrow, "quantize", plain, "--weights-only", "-o", path, *form], check=True, capture_output=True)
            own = np.array(list(step(by_narrow(narrow, path, folder))))
            for optimized in (True, False):
                want = np.array(list(step(by_onnxruntime(path, optimized))))
                off = np.abs(own - want).max() / np.abs(want).max()
                same = bool((own.argmax(-1) == want.argmax(-1)).all())
                failed |= off > 1e-3 or not same
                print(f"{' '.join(form or ['float']):55} {'optimized' if optimized else 'plain':10} {os.path.getsize(path) / 1e6:5.2f} MB, largest difference {off:.1e}, words {'the same' if same else 'DIFFERENT'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
