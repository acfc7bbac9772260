"""Runs every model of a folder, which have no inputs, in ONNX Runtime.

Prints a line of JSON for each: its name and either an error or its outputs,
as a shape and a flat list of values.
"""
import json
import pathlib
import sys

import numpy as np
import onnxruntime as ort

ort.set_default_logger_severity(4)
options = ort.SessionOptions()
options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
options.intra_op_num_threads = 1

for path in sorted(pathlib.Path(sys.argv[1]).glob("*.onnx")):
    line = {"name": path.stem}
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        outputs = session.run(None, {})
        line["outputs"] = [{"shape": list(y.shape), "values": np.asarray(y, np.float64).ravel().tolist()} for y in outputs]
    except Exception as e:  # every way to refuse is an answer
        line["error"] = str(e)
    print(json.dumps(line))
