"""A small network and its inputs."""
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

rng = np.random.default_rng(1)


def weights(name, *shape):
    return numpy_helper.from_array((rng.normal(size=shape) / 3).astype(np.float32), name)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], name="conv1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], name="relu1"),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], name="conv2", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c2", "r1"], ["a"], name="add"),
        helper.make_node("GlobalAveragePool", ["a"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flat"),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["y"], name="fc"),
    ]
    g = helper.make_graph(
        nodes, "net",
        [helper.make_tensor_value_info("x", 1, ["N", 3, 12, 12])], [helper.make_tensor_value_info("y", 1, ["N", 5])],
        [weights("w1", 8, 3, 3, 3), weights("b1", 8), weights("w2", 8, 8, 3, 3), weights("b2", 8), weights("w3", 8, 5), weights("b3", 5)])
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    onnx.save(helper.make_model(g, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def data():
    return rng.normal(size=(64, 3, 12, 12)).astype(np.float32)
