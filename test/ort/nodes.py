"""Writes the ONNX project's operator cases (onnx.backend.test) as files.

    nodes.py DIR

makes DIR/node/CASE/model.onnx and its data sets, as the Go test
TestNodeSuite of engine reads them. The cases are made anew from the installed
onnx package, with its seed, so nothing of it is kept here.
"""

import os
import sys

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnx.backend.test.case.node import collect_testcases


def serialized(value, info):
    kind = info.type.WhichOneof("value")
    if kind == "sequence_type":
        return numpy_helper.from_list(value, info.name)
    if kind == "optional_type":
        return numpy_helper.from_optional(value, info.name)
    if kind == "map_type":
        return numpy_helper.from_dict(value, info.name)
    return value if isinstance(value, TensorProto) else numpy_helper.from_array(np.asarray(value), info.name)


def main(out):
    count = 0
    for case in collect_testcases(None):
        if case.kind != "node":
            continue
        folder = os.path.join(out, "node", case.name)
        os.makedirs(folder, exist_ok=True)
        onnx.save(case.model, os.path.join(folder, "model.onnx"))
        for i, (inputs, outputs) in enumerate(case.data_sets):
            data = os.path.join(folder, f"test_data_set_{i}")
            os.makedirs(data, exist_ok=True)
            for kind, values, infos in (("input", inputs, case.model.graph.input), ("output", outputs, case.model.graph.output)):
                for j, value in enumerate(values):
                    with open(os.path.join(data, f"{kind}_{j}.pb"), "wb") as f:
                        f.write(serialized(value, infos[j]).SerializeToString())
        count += 1
    print(f"{count} cases of onnx {onnx.__version__} in {out}")


if __name__ == "__main__":
    main(sys.argv[1])
