"""Makes engine/testdata/cases.zip of the calls that the tests of graph/op write.

    cases.py FOLDER OUT.zip

Each model of FOLDER is one node that reads constants. Here they become inputs, and what ONNX Runtime gives for
them the expected outputs, in the layout of the ONNX project's cases: CASE/model.onnx, CASE/test_data_set_0/input_0.pb. The archive
is the same for the same calls. What ONNX Runtime refuses, or gives large tensors for, is left out.
"""

import pathlib
import sys
import zipfile

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

EACH = 6  # cases of an operator
LARGEST = 256  # elements of a tensor

options = ort.SessionOptions()
options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
options.intra_op_num_threads = 1
ort.set_default_logger_severity(4)


def answer(model):
    """The case's model, inputs and outputs; None if ONNX Runtime refuses it."""
    graph = model.graph
    inputs = [numpy_helper.to_array(t) for t in graph.initializer]
    for t in graph.initializer:
        graph.input.append(helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)))
    del graph.initializer[:]
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        outputs = session.run(None, {v.name: x for v, x in zip(graph.input, inputs)})
    except Exception:  # every way to refuse is one
        return None
    if any(np.size(x) > LARGEST for x in [*inputs, *outputs]) or any(not np.all(np.isfinite(y)) for y in outputs if y.dtype.kind == "f"):
        return None
    return model, inputs, [np.asarray(y) for y in outputs]


def main(folder, out):
    count, total = {}, 0
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as z:

        def put(name, message):
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            z.writestr(info, message.SerializeToString(deterministic=True))

        for path in sorted(pathlib.Path(folder).glob("*.onnx")):
            operator = path.stem.rsplit("-", 1)[0]
            if count.get(operator, 0) == EACH:
                continue
            case = answer(onnx.load(path))
            if case is None:
                continue
            model, inputs, outputs = case
            put(f"{path.stem}/model.onnx", model)
            for kind, tensors in (("input", inputs), ("output", outputs)):
                for i, x in enumerate(tensors):
                    put(f"{path.stem}/test_data_set_0/{kind}_{i}.pb", numpy_helper.from_array(x, ""))
            count[operator] = count.get(operator, 0) + 1
            total += 1
    print(f"{total} cases of {len(count)} operators in {out}, by ONNX Runtime {ort.__version__}")


if __name__ == "__main__":
    main(*sys.argv[1:])
