"""A graph in its lean form gives the scores of the file, and whatever is not known runs as it is."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from rerankd.backends.onnx import evaluate
from rerankd.models.rewriting.rewrite import lean
from tests.encoder_graphs import HEADS, LONGEST, VOCABULARY, Encoder
from tests.onnx_graphs import write_reranker

LENGTHS = (1, 2, 7, 23, LONGEST)


def scores(graph, lengths=LENGTHS, vocabulary=VOCABULARY) -> list[float]:
    source = graph if isinstance(graph, bytes) else str(graph)
    session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    dice = np.random.default_rng(3)
    found = []
    for length in lengths:
        types = np.arange(length)[None, :] >= length // 3
        feed = {
            "input_ids": dice.integers(0, vocabulary, (1, length)),
            "attention_mask": np.ones((1, length), np.int64),
            "token_type_ids": types.astype(np.int64),
        }
        found.append(session.run(None, {name: feed[name] for name in names})[0].item())
    return found


def operators(graph: bytes) -> list[str]:
    return [each.op_type for each in onnx.load_from_string(graph).graph.node]


@pytest.mark.parametrize("scaled", ["scores", "both"])
@pytest.mark.parametrize("shapes", ["computed", "stored"])
@pytest.mark.parametrize("mask", ["padding", "none"])
def test_the_scores_of_fp32_weights_stay_what_they_were(tmp_path, scaled, shapes, mask):
    path = Encoder(scaled=scaled, shapes=shapes, mask=mask).save(tmp_path / "model.onnx")
    graph = lean(path, evaluate)
    assert graph is not None
    assert scores(graph) == pytest.approx(scores(path), abs=1e-4)
    assert operators(graph).count("FusedMatMul") == 4
    assert operators(graph).count("Transpose") == 2
    assert operators(graph).count("Slice") == 2  # positions, and the first token


def test_the_mask_is_not_even_asked_for(tmp_path):
    graph = lean(Encoder().save(tmp_path / "model.onnx"), evaluate)
    assert graph is not None
    names = [each.name for each in onnx.load_from_string(graph).graph.input]
    assert names == ["input_ids", "token_type_ids"]


def test_the_last_layer_computes_the_first_token_alone_where_nothing_else_is_read(tmp_path):
    for pooled, slices in (("first", 2), ("second", 1), ("mean", 1)):
        path = Encoder(pooled=pooled).save(tmp_path / f"{pooled}.onnx")
        graph = lean(path, evaluate)
        assert graph is not None
        assert operators(graph).count("Slice") == slices, pooled
        assert scores(graph, LENGTHS[1:]) == pytest.approx(scores(path, LENGTHS[1:]), abs=1e-4)


def test_the_last_layer_is_whole_where_another_output_reads_it(tmp_path):
    path = Encoder().save(tmp_path / "model.onnx")
    model = onnx.load(str(path))
    last = next(each.input[0] for each in model.graph.node if each.op_type == "Gather" and each.attribute)
    model.graph.output.append(helper.make_tensor_value_info(last, onnx.TensorProto.FLOAT, ["n", "s", 16]))
    onnx.save(model, str(path))
    graph = lean(path, evaluate)
    assert graph is not None
    assert operators(graph).count("Slice") == 1


def test_dynamically_quantised_weights_differ_by_the_noise_of_their_quantisation(tmp_path):
    encoder = Encoder(layers=3)
    exact = np.array(scores(encoder.save(tmp_path / "fp32.onnx")))
    path = encoder.save(tmp_path / "int8.onnx", dynamic=True)
    graph = lean(path, evaluate)
    assert graph is not None
    assert operators(graph).count("FusedMatMul") == 6
    assert operators(graph).count("Slice") == 3
    noise = np.abs(np.array(scores(path)) - exact).max()
    assert np.abs(np.array(scores(graph)) - exact).max() < 3 * noise


@pytest.mark.parametrize("how", [{"mask": "causal"}, {"bias": False}], ids=["causal mask", "no bias"])
def test_what_is_not_a_known_attention_runs_as_it_is(tmp_path, how):
    assert lean(Encoder(**how).save(tmp_path / "model.onnx"), evaluate) is None


def test_an_attention_whose_scale_depends_on_the_text_runs_as_it_is(tmp_path):
    path = Encoder(scaled="scores").save(tmp_path / "model.onnx")
    model = onnx.load(str(path))
    graph = model.graph
    for at, each in enumerate(graph.node):
        if each.op_type == "Div" and graph.node[at - 2].op_type == "MatMul":
            length = [
                helper.make_node("Size", ["input_ids"], [f"size_{at}"]),
                helper.make_node("Cast", [f"size_{at}"], [f"scale_{at}"], to=onnx.TensorProto.FLOAT),
            ]
            each.input[1] = f"scale_{at}"
            for node in reversed(length):
                graph.node.insert(0, node)
            break
    else:
        pytest.fail("no scale was found")
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    assert lean(path, evaluate) is None


def test_heads_that_do_not_make_up_the_width_run_as_they_are(tmp_path):
    path = Encoder(shapes="stored").save(tmp_path / "model.onnx")
    model = onnx.load(str(path))
    for each in model.graph.node:
        values = each.attribute[0].t if each.op_type == "Constant" else None
        if values is not None and list(onnx.numpy_helper.to_array(values).reshape(-1)) == [0, 0, HEADS, 4]:
            values.CopyFrom(onnx.numpy_helper.from_array(np.array([0, 0, HEADS // 2, 4], np.int64)))
    path.write_bytes(model.SerializeToString())
    assert lean(path, evaluate) is None


def test_a_graph_without_attention_or_with_subgraphs_or_no_graph_at_all_runs_as_it_is(tmp_path):
    assert lean(write_reranker(tmp_path / "plain.onnx"), evaluate) is None
    path = Encoder().save(tmp_path / "model.onnx")
    model = onnx.load(str(path))
    body = helper.make_graph([], "body", [], [])
    model.graph.node.append(helper.make_node("If", ["c"], ["d"], then_branch=body, else_branch=body))
    (tmp_path / "branch.onnx").write_bytes(model.SerializeToString())
    assert lean(tmp_path / "branch.onnx", evaluate) is None
    (tmp_path / "text.onnx").write_text("no graph")
    assert lean(tmp_path / "text.onnx", evaluate) is None
    (tmp_path / "empty.onnx").write_bytes(b"")
    assert lean(tmp_path / "empty.onnx", evaluate) is None


def test_the_lean_form_is_the_same_every_time(tmp_path):
    path = Encoder().save(tmp_path / "model.onnx")
    assert lean(path, evaluate) == lean(path, evaluate)
