"""An ONNX file's precision, its dynamic quantisation and its damage are seen without running it."""

import onnx
import pytest
from onnx import helper, numpy_helper

from rerankd.errors import BackendError
from rerankd.models.graph import Graph, read_graph
from tests.onnx_graphs import save_external, write_endless, write_reranker


def test_a_plain_graph_is_fp32_and_not_dynamic(tmp_path):
    assert read_graph(write_reranker(tmp_path / "model.onnx")) == Graph(precision="fp32", dynamic=False)


def test_half_precision_is_seen(tmp_path):
    path = write_reranker(tmp_path / "model.onnx", half=True)
    assert read_graph(path) == Graph(precision="fp16", dynamic=False)


def test_dynamic_quantisation_is_seen(tmp_path):
    path = write_reranker(tmp_path / "model.onnx", dynamic=True)
    assert read_graph(path) == Graph(precision="int8", dynamic=True)


def test_dynamic_quantisation_inside_a_loop_is_seen(tmp_path):
    path = write_endless(tmp_path / "model.onnx")
    model = onnx.load(str(path))
    body = next(node for node in model.graph.node if node.op_type == "Loop").attribute[0].g
    body.node.append(helper.make_node("DynamicQuantizeLinear", ["at"], ["q", "s", "z"]))
    onnx.save(model, str(path))
    assert read_graph(path).dynamic


def test_dynamic_quantisation_inside_a_function_is_seen(tmp_path):
    path = write_reranker(tmp_path / "model.onnx")
    model = onnx.load(str(path))
    quantise = helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"])
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("local", "Quantise", ["x"], ["q"], [quantise], opsets))
    onnx.save(model, str(path))
    assert read_graph(path).dynamic


@pytest.mark.parametrize("place", ["initializer", "sparse", "attribute"])
def test_weights_in_another_file_are_seen_wherever_the_graph_keeps_them(tmp_path, place):
    path = write_reranker(tmp_path / "model.onnx")
    model = onnx.load(str(path))
    away = onnx.TensorProto(name="away", data_type=onnx.TensorProto.FLOAT, dims=[1])
    away.data_location = onnx.TensorProto.EXTERNAL
    away.external_data.add(key="location", value="../../secrets")
    if place == "initializer":
        model.graph.initializer.append(away)
    elif place == "sparse":
        model.graph.sparse_initializer.append(onnx.SparseTensorProto(values=away, dims=[4]))
    else:
        sparse = onnx.SparseTensorProto(values=away, dims=[4])
        node = helper.make_node("Constant", [], ["c"], sparse_value=sparse)
        model.graph.node.append(node)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(BackendError, match=r"model\.onnx.*outside"):
        read_graph(path)


def test_fields_of_every_wire_type_are_jumped_over(tmp_path):
    path = write_reranker(tmp_path / "model.onnx")
    fixed = b"\xc1\x3e" + b"\x07" * 8 + b"\xc5\x3e" + b"\x07" * 4  # field 1000 as 64 and as 32 bits
    path.write_bytes(fixed + path.read_bytes())
    assert read_graph(path).precision == "fp32"


def test_a_number_without_an_end_is_no_onnx_file(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x80" * 40)
    with pytest.raises(BackendError, match=r"model\.onnx"):
        read_graph(path)


def test_weights_stored_as_int8_make_an_int8_file(tmp_path):
    import numpy as np

    path = write_reranker(tmp_path / "model.onnx")
    model = onnx.load(str(path))
    model.graph.initializer.append(numpy_helper.from_array(np.ones((400, 4), np.int8), "weights"))
    onnx.save(model, str(path))
    assert read_graph(path) == Graph(precision="int8", dynamic=False)


def test_weights_in_another_file_are_refused(tmp_path):
    inner = write_reranker(tmp_path / "model.onnx")
    with pytest.raises(BackendError, match=r"split\.onnx.*outside"):
        read_graph(save_external(tmp_path / "split.onnx", inner))


def test_a_file_cut_anywhere_is_named(tmp_path):
    whole = write_reranker(tmp_path / "model.onnx").read_bytes()
    cut = tmp_path / "cut.onnx"
    start = whole.index(b"table")
    for length in [0, 1, 2, 5, *range(20, start, 40), len(whole) // 2, len(whole) - 30]:
        cut.write_bytes(whole[:length])
        with pytest.raises(BackendError, match=r"cut\.onnx"):
            read_graph(cut)


@pytest.mark.parametrize(
    "content", [b"\xff" * 200, b"{}", b"<html>not found</html>", b"\x0b" * 50], ids=range(4)
)
def test_something_else_is_named(tmp_path, content):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(BackendError, match=r"model\.onnx"):
        read_graph(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BackendError, match=r"gone\.onnx"):
        read_graph(tmp_path / "gone.onnx")
