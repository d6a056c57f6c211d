"""An int8 file turned back into numbers scores as PyTorch does with the same weights, in fp32 and in fp16."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from rerankd.errors import BackendError
from rerankd.models.dequantise import bert_of, graph_of, half_graph_of
from tests.onnx_graphs import write_reranker

QUERY = "how do I reset my password"
TEXTS = [
    "To reset your password, open Settings and choose Reset password.",
    "Passwords must have at least twelve characters.",
    "Our office is closed on public holidays. " * 12,
]


@pytest.fixture(scope="module")
def feeds(embedded: Path) -> list[dict[str, np.ndarray]]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(embedded / "tokenizer.json"))
    tokenizer.no_padding()
    encoded = [tokenizer.encode(QUERY, text) for text in TEXTS]
    return [
        {
            "input_ids": np.array([each.ids]),
            "attention_mask": np.array([each.attention_mask]),
            "token_type_ids": np.array([each.type_ids]),
        }
        for each in encoded
    ]


def logits(graph: bytes | str, feeds: Sequence[dict[str, np.ndarray]]) -> list[float]:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return [float(session.run(None, feed)[0][0, 0]) for feed in feeds]


@pytest.fixture(scope="module")
def plain(embedded: Path, feeds: list[dict[str, np.ndarray]]) -> list[float]:
    return logits(graph_of(embedded / "model.onnx").SerializeToString(), feeds)


@pytest.mark.model
def test_in_fp32_it_differs_from_the_int8_file_as_far_as_quantised_activations_do(
    embedded: Path, feeds: list[dict[str, np.ndarray]], plain: list[float]
) -> None:
    quantised = logits(str(embedded / "model.onnx"), feeds)
    assert plain == pytest.approx(quantised, abs=0.6)
    assert plain != pytest.approx(quantised, abs=1e-3)


@pytest.mark.model
def test_in_fp16_it_scores_within_two_hundredths_of_fp32(
    embedded: Path, feeds: list[dict[str, np.ndarray]], plain: list[float]
) -> None:
    assert logits(half_graph_of(embedded / "model.onnx").SerializeToString(), feeds) == pytest.approx(
        plain, abs=2e-2
    )


@pytest.mark.model
def test_pytorch_gives_the_scores_of_the_fp32_graph_with_the_same_weights(
    embedded: Path, feeds: list[dict[str, np.ndarray]], plain: list[float]
) -> None:
    torch = pytest.importorskip("torch", reason="needs the extra torch")
    transformers = pytest.importorskip("transformers", reason="needs the extra torch")
    bert = bert_of(embedded / "model.onnx")
    network = transformers.BertForSequenceClassification(transformers.BertConfig(**bert.config)).eval()
    network.load_state_dict({name: torch.tensor(each) for name, each in bert.weights.items()}, strict=True)
    with torch.inference_mode():
        seen = [
            float(network(**{name: torch.tensor(each) for name, each in feed.items()}).logits)
            for feed in feeds
        ]
    assert seen == pytest.approx(plain, abs=1e-4)


def test_a_graph_that_was_not_quantised_is_refused_by_name(tmp_path: Path) -> None:
    path = write_reranker(tmp_path / "model.onnx")
    with pytest.raises(BackendError, match=r"model\.onnx: was not quantised dynamically"):
        graph_of(path)
    with pytest.raises(BackendError, match=r"model\.onnx: is not the graph of a dynamically quantised BERT"):
        bert_of(path)


def test_a_graph_quantised_in_another_way_is_refused_by_name(tmp_path: Path) -> None:
    path = write_reranker(tmp_path / "model.onnx", dynamic=True)
    with pytest.raises(BackendError, match=r"model\.onnx: was quantised in a way that cannot be undone"):
        graph_of(path)


@pytest.mark.parametrize("content", [b"", b"nonsense"])
def test_a_file_that_is_no_graph_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    for read in (graph_of, bert_of):
        with pytest.raises(BackendError, match=r"model\.onnx: "):
            read(path)
    with pytest.raises(BackendError, match=r"gone\.onnx: cannot be read"):
        graph_of(tmp_path / "gone.onnx")
