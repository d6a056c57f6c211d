"""The report of a GPU host says what was missed, and its trials of memory and loss find out what they should."""

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
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
from rerankd.errors import BackendError  # noqa: E402
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
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    monkeypatch.setattr("sys.argv", ["benchmarks.gpu", "--quick"])
    assert program.main() == 2
    assert capsys.readouterr().err.startswith("cuda:0 is not usable: ")


def test_a_device_of_another_name_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["benchmarks.gpu", "--device", "tpu"])
    assert program.main() == 2
    assert capsys.readouterr().err == "--device must be cpu, cuda or cuda:N, got 'tpu'\n"


# --- what cannot be used, and what fails -------------------------------------------------------------------------


class NoOnnxOnDevice(TinyForms):
    """ONNX Runtime gives the reference on the CPU, and cannot be loaded on the device."""

    def onnx(self, device: Any, *, full: bool = False) -> Any:
        if not full:
            raise BackendError("model.onnx: cannot be loaded on cuda:0: CUDA or cuDNN is missing or too old")
        return self.torch(device)

    def torch(self, device: Any, *, tokens: int = 0, **_: Any) -> TorchScorer:
        return super().torch(CPU, tokens=tokens)

    def carried(self) -> Any:
        return self.torch(CPU)

    def tokenizer(self) -> Any:
        return self

    def encode(self, query: Text, texts: list[Text], *, max_tokens: int) -> list[tuple[Pair, ...]]:
        return [
            (Pair(query, text, 3 + at % 5, ids=[at % 40] * (3 + at % 5)),) for at, text in enumerate(texts)
        ]


def test_a_back_end_that_cannot_be_used_is_told_and_the_others_go_on(plan: Plan) -> None:
    forms: Any = NoOnnxOnDevice()
    (refused, *others) = sorted(
        sections.parity(replace(plan, forms=forms)), key=lambda row: "note" not in row
    )
    assert refused["form"] == "ONNX Runtime fp16 on cpu"
    assert refused["note"].startswith("not usable: model.onnx: cannot be loaded on cuda:0")
    assert len(others) == 4
    assert all(row["good"] for row in others)


@pytest.mark.threads
def test_throughput_of_one_back_end_is_told_without_the_other(plan: Plan) -> None:
    forms: Any = NoOnnxOnDevice()
    rows = sections.throughput(replace(plan, forms=forms))
    assert [(row["back end"], row["callers"], "note" in row) for row in rows] == [
        ("PyTorch", 1, False),
        ("PyTorch", 8, False),
        ("ONNX Runtime", 1, True),
        ("ONNX Runtime", 8, True),
    ]
    assert "CUDA or cuDNN is missing" in rows[-1]["note"]
    assert program._capacity(rows) > 0
    assert program._capacity(rows[2:]) == 0


def test_without_a_known_rate_no_load_is_a_share_of_it(plan: Plan) -> None:
    with pytest.raises(BackendError, match="rate"):
        sections.arrivals(plan, 0.0)


def test_a_section_that_fails_is_noted_and_the_others_are_kept_as_they_come(
    monkeypatch: pytest.MonkeyPatch, plan: Plan, tmp_path: Path
) -> None:
    seen: list[Any] = []

    def looked() -> list[dict[str, Any]]:
        seen.append(json.loads((tmp_path / "report.json").read_text(encoding="utf-8")))
        return [{"form": "fp16", "note": "not usable: no provider"}]

    def failing() -> list[dict[str, Any]]:
        raise ZeroDivisionError("by nought")

    acts = {"Versions": lambda: [{"what": "Python"}], "Pairs a second": failing, "Parity": looked}
    monkeypatch.setattr(
        program, "_sections", lambda *_: iter((title, "What it is.", act) for title, act in acts.items())
    )
    monkeypatch.setattr(program, "_plan", lambda *_, **__: plan)
    monkeypatch.setattr("sys.argv", ["benchmarks.gpu", "--device", "cpu", "--out", str(tmp_path)])
    assert program.main() == 1
    assert [section["title"] for section in seen[0]["sections"]] == ["Versions", "Pairs a second"]
    assert not seen[0]["finished"]
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "**Failed:** Pairs a second: ZeroDivisionError: by nought." in text
    assert "**Not usable:** Parity: form fp16, note not usable: no provider." in text
    assert "Not finished" not in text
    assert text.index("## Pairs a second") < text.index("## Parity") < text.index("## NVML")


# --- its environment ---------------------------------------------------------------------------------------------


_OF_MAKE = ("MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "ARGS")
"""What a `make` that runs these tests would hand on."""


def commands(repository: Path, nvidia: str) -> str:
    """What `make gpu-report` would do, with that for the path of `nvidia-smi`; nothing is done."""
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")
    told = subprocess.run(
        [make, "--dry-run", "--no-print-directory", "gpu-report", f"NVIDIA={nvidia}"],
        cwd=repository,
        env={name: value for name, value in os.environ.items() if name not in _OF_MAKE},
        capture_output=True,
        text=True,
        check=True,
    )
    return told.stdout


def test_with_an_nvidia_driver_its_own_environment_has_onnxruntime_gpu_last(repository: Path) -> None:
    said = commands(repository, "/usr/bin/nvidia-smi")
    assert said.rstrip().endswith(".venv-gpu/bin/python -m benchmarks.gpu")
    if "tools/venv" not in said:
        pytest.skip("the environment is there already")
    steps = ("-e '.[", "torch.version.cuda", "uninstall --quiet --yes onnxruntime onnxruntime-gpu")
    last = "onnxruntime-gpu[cuda,cudnn]=="
    places = [said.index(step) for step in (*steps, last)]
    assert places == sorted(places)
    assert "ARG ONNXRUNTIME_GPU=" in said, "the version is that of the image"
    assert re.search(
        r"^ARG ONNXRUNTIME_GPU=\d", (repository / "deploy/Dockerfile.cuda").read_text(encoding="utf-8"), re.M
    )


def test_without_a_driver_it_runs_in_the_environment_of_the_tests(repository: Path) -> None:
    said = commands(repository, "")
    assert said.rstrip().endswith(" .venv/bin/python -m benchmarks.gpu")
    assert ".venv-gpu" not in said
