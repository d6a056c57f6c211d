"""The report of a GPU host says what was missed, and its trials of memory and loss find out what they should."""

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra torch")

from benchmarks.gpu import __main__ as program  # noqa: E402 - only where torch is there
from benchmarks.gpu import sections  # noqa: E402
from benchmarks.gpu.report import markdown  # noqa: E402
from benchmarks.gpu.sections import Plan  # noqa: E402

from rerankd.backends.devices import CPU  # noqa: E402
from rerankd.backends.torch import TorchScorer  # noqa: E402
from rerankd.core.ports import Model  # noqa: E402
from rerankd.core.types import Pair, Text  # noqa: E402
from rerankd.testing import FakeScorer, FakeTokenizer  # noqa: E402


class Tiny(torch.nn.Module):
    """A pair's logit is the mean of its ids."""

    def forward(self, input_ids: Any, attention_mask: Any = None, token_type_ids: Any = None) -> Any:
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        logits = (input_ids * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True)
        return type("Output", (), {"logits": logits.float()})


class Words(FakeTokenizer):
    """Ids that fit any network."""


class TinyForms:
    folder = Path()

    def torch(self, device: Any, *, tokens: int = 0, **_: Any) -> TorchScorer:
        return TorchScorer(Tiny(), model="tiny", max_batch_tokens=tokens or 2_048)

    def carried(self) -> FakeScorer:
        return FakeScorer()

    def model(self, scorer: Any) -> Model:
        return Model(scorer=scorer, tokenizer=Words(), max_tokens=512)

    def pairs(self, tokens: int, count: int) -> list[Pair]:
        return [Pair(Text(""), Text(""), tokens, ids=[number] * tokens) for number in range(count)]


@pytest.fixture
def plan() -> Plan:
    forms: Any = TinyForms()
    return Plan(device=CPU, forms=forms, queries=1, lengths=(8,), budgets=(64, 4_096), pairs=4, requests=2)


def test_too_little_memory_costs_no_score_and_the_budget_comes_back(plan: Plan) -> None:
    (row,) = sections.memory(plan)
    assert row["good"]
    assert row["scored"] == "64 of 64"
    assert row["budget then"] <= 512 < row["budget before"] == 4_096


@pytest.mark.threads
def test_a_lost_device_is_answered_in_retrieval_order_and_left_for_the_cpu(plan: Plan) -> None:
    (row,) = sections.lost(plan)
    assert row["good"]
    assert row["answer meanwhile"].startswith("skipped/model_")
    assert row["then on"] == "cpu"


def test_speed_is_told_for_each_length_and_budget(plan: Plan) -> None:
    assert [(row["tokens a pair"], row["tokens a batch"]) for row in sections.speed(plan)] == [
        (8, 64),
        (8, 4_096),
    ]


def report(
    monkeypatch: pytest.MonkeyPatch, plan: Plan, rows: dict[str, list[dict[str, Any]]], quick: bool
) -> Any:
    monkeypatch.setattr(
        program,
        "_sections",
        lambda *_: iter((title, "What it is.", lambda found=found: found) for title, found in rows.items()),
    )
    return program.measure(plan, quick=quick)


SLOW = {"name": "Latency p95", "status": "fail", "figure": "900 ms", "remedy": "a GPU"}
BROKEN = {"name": "Test batch", "status": "fail", "figure": "wrong order", "remedy": "install anew"}


def test_what_misses_its_limit_is_named_and_in_the_quick_form_speed_is_not(
    monkeypatch: pytest.MonkeyPatch, plan: Plan
) -> None:
    rows = {"Doctor": [SLOW, BROKEN], "Parity": [{"form": "fp16", "largest difference": 0.5, "good": False}]}
    assert report(monkeypatch, plan, rows, quick=True)["missed"] == [
        "Test batch",
        "Parity: form fp16, largest difference 0.5",
    ]
    whole = report(monkeypatch, plan, rows, quick=False)
    assert whole["missed"][0] == "Latency p95"
    text = markdown(whole)
    assert "**Missed:** Latency p95; Test batch; Parity: form fp16, largest difference 0.5." in text
    assert "| fp16 | 0.5 | **no** |" in text
    assert text.index("## Doctor") < text.index("## Parity") < text.index("## NVML")


def test_a_device_that_is_not_there_ends_it_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    monkeypatch.setattr("sys.argv", ["benchmarks.gpu", "--quick"])
    with pytest.raises(SystemExit, match="cuda:0 is not usable: "):
        program.main()
