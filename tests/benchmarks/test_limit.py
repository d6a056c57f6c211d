"""The int8 limit: what a graph multiplies is counted from it, and the report says all that the page shows."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from benchmarks import limit
from benchmarks.int8_limit import product
from benchmarks.int8_path import microseconds
from benchmarks.operations import Operations, count, weight_types
from onnx import TensorProto, helper, numpy_helper

from rerankd.backends.onnx import evaluate
from rerankd.models.rewriting.model import Model
from rerankd.models.rewriting.rewrite import lean
from tests.encoder_graphs import INNER, WIDTH, Encoder

KEPT = Path(limit.__file__).parent / "results" / "limit.json"


def graph(*nodes: Any, **stored: Any) -> Model:
    values = [numpy_helper.from_array(value, name) for name, value in stored.items()]
    read = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, "tokens", 4])
    written = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)
    made = helper.make_model(helper.make_graph(nodes, "tiny", [read], [written], values))
    return Model(made.SerializeToString())


def test_a_product_counts_for_the_rows_that_reach_it() -> None:
    # seven rows by 4 x 6, then the first row alone by 6 x 2; the scale beside the rows has none
    tiny = graph(
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node("MatMulInteger", ["q", "w", "z"], ["all"]),
        helper.make_node("Cast", ["all"], ["wide"], to=TensorProto.UINT8),
        helper.make_node("Slice", ["wide", "zero", "one", "one"], ["first"]),
        helper.make_node("MatMulInteger", ["first", "v"], ["out"]),
        helper.make_node("Cast", ["out"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["float", "s"], ["scaled"]),
        helper.make_node("MatMul", ["scaled", "u"], ["end"]),
        w=np.ones((4, 6), np.int8),
        v=np.ones((6, 2), np.int8),
        u=np.ones((2, 3), np.float32),
        zero=np.array([0]),
        one=np.array([1]),
    )
    assert count(tiny, 7) == Operations(integer=2 * 7 * 4 * 6 + 2 * 6 * 2, floating=2 * 2 * 3)
    assert weight_types(tiny) == {TensorProto.INT8}


def test_a_product_of_unknown_shape_is_not_guessed() -> None:
    with pytest.raises(ValueError, match="no attention"):
        count(graph(helper.make_node("MatMul", ["x", "x"], ["y"])), 7)


def test_the_last_layer_of_the_lean_form_counts_for_the_first_token(tmp_path: Path) -> None:
    written = lean(Encoder(layers=2).save(tmp_path / "model.onnx", dynamic=True), evaluate)
    assert written is not None
    tokens, square, inner = 9, 2 * WIDTH * WIDTH, 2 * 2 * WIDTH * INNER
    whole_layer = tokens * (4 * square + inner)
    last_layer = tokens * 2 * square + 2 * square + inner
    head = square + 2 * WIDTH
    attention = 2 * 2 * WIDTH * tokens * (tokens + 1)
    assert count(Model(written), tokens) == Operations(whole_layer + last_layer + head, attention)


def test_the_limit_is_one_integer_product_of_uint8_by_int8() -> None:
    made = onnx.load_from_string(product(3, 4, 5))
    onnx.checker.check_model(made)
    assert [node.op_type for node in made.graph.node] == ["MatMulInteger"]
    assert made.graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8
    assert count(Model(product(3, 4, 5)), 3) == Operations(2 * 3 * 4 * 5, 0)


def test_only_the_nodes_own_time_counts() -> None:
    events = [
        {"cat": "Session", "name": "model_run", "dur": 90},
        {"cat": "Node", "name": "a_kernel_time", "dur": 10, "args": {"op_name": "Add"}},
        {"cat": "Node", "name": "a_fence_before", "dur": 40, "args": {"op_name": "Add"}},
        {"cat": "Node", "name": "b_kernel_time", "dur": 30, "args": {"op_name": "Gelu"}},
        {"cat": "Node", "name": "c_kernel_time", "dur": 5, "args": {"op_name": "Add"}},
    ]
    assert list(microseconds(events).items()) == [("Gelu", 30), ("Add", 15)]


def test_the_kept_report_has_all_that_its_section_shows() -> None:
    report = json.loads(KEPT.read_text(encoding="utf-8"))
    assert report["schema"] == limit.SCHEMA
    assert {"date", "processor", "cores"} <= set(report["machine"])
    shown = "\n".join(limit.section(report))
    assert shown.startswith("\n## ")
    for model in report["models"]:
        assert [row["pairs"] for row in model["rows"]] == ["20", "55", "80", "180", "350", "mixed"]
        assert all(0 < row[scope]["share"] <= 1 for row in model["rows"] for scope in ("core", "machine"))
        assert sum(model["operators"].values()) == pytest.approx(1, abs=0.01)
        assert f"| {model['alias']} | mixed" in shown


@pytest.mark.model
@pytest.mark.threads
def test_a_quick_run_writes_a_report_only_where_it_is_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(limit, "RESULTS", tmp_path / "nowhere")
    monkeypatch.setattr(sys, "argv", ["limit", "--quick", "--output", str(tmp_path / "limit.json")])
    assert limit.main() == 0
    assert not (tmp_path / "nowhere").exists()
    report = json.loads((tmp_path / "limit.json").read_text(encoding="utf-8"))
    assert set(report) == set(json.loads(KEPT.read_text(encoding="utf-8")))
    assert limit.tables(report)[0] in capsys.readouterr().out


def test_the_section_needs_no_package() -> None:
    program = (
        "import sys, benchmarks.limit; sys.exit(any(n in sys.modules for n in ('numpy', 'onnxruntime')))"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=KEPT.parents[2], check=False).returncode == 0
