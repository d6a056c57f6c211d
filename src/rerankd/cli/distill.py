"""`rerankd distill`: a small model out of a large one, on your own texts."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rerankd.cli.options import Json
from rerankd.distill.policy import DistillPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

    from rerankd.distill.distilling import Distilled, Earlier, Judge, Teacher
    from rerankd.evaluation.collection import Collection
    from rerankd.evaluation.run import Run
    from rerankd.reranker import Reranker
    from rerankd.settings import Settings

__all__ = ["register"]

_LACKING = "distilling needs more: pip install 'rerankd[distill]'"
_DEFAULT = DistillPolicy()


def register(app: typer.Typer) -> None:
    app.command("distill")(distill)


def distill(
    texts: Annotated[
        Path,
        typer.Option(
            help="A file or a folder of texts: .jsonl with text and perhaps title a line, .txt and .md with a text"
            " a paragraph.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER", help="Where the student goes; a stopped run goes on there.", show_default=False
        ),
    ],
    queries: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="One query a line. What is missing is made from the texts."),
    ] = None,
    teacher: Annotated[
        str, typer.Option(metavar="ID", help="The model that is learnt from: a hub id, a folder or an alias.")
    ] = "large",
    student: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Go on with this one, that rerankd distill has made, instead of narrowing the teacher: a folder,"
            " or small for the carried one.",
        ),
    ] = None,
    layers: Annotated[
        int | None,
        typer.Option(
            help="Of the student, taken from the teacher's, evenly spread. [default: all of them]",
            min=1,
            show_default=False,
        ),
    ] = None,
    keep: Annotated[
        float | None,
        typer.Option(
            help="The share of those layers' cost that the student keeps: fewer heads and feed-forward units, where"
            f" they are missed least. [default: {_DEFAULT.keep} with all of the teacher's layers, else 1]",
            show_default=False,
        ),
    ] = None,
    questions: Annotated[int, typer.Option(help="Asked of the texts, --queries included.")] = int(
        _DEFAULT.queries
    ),
    sentence_questions: Annotated[
        int, typer.Option(help="Asked of single sentences of the texts, besides.")
    ] = _DEFAULT.sentence_queries,
    passes: Annotated[float, typer.Option(help="How often each pair is trained on.")] = float(
        _DEFAULT.passes
    ),
    rate: Annotated[float, typer.Option(help="The highest learning rate.")] = _DEFAULT.rate,
    hidden_share: Annotated[
        float,
        typer.Option(
            help="The first so much of the training in which the teacher's layers, their states and their"
            " attention, are imitated as well."
        ),
    ] = _DEFAULT.hidden_share,
    max_tokens: Annotated[int, typer.Option(help="The longest pair that is trained on.")] = int(
        _DEFAULT.max_tokens
    ),
    seed: Annotated[int, typer.Option(help="Of everything that is drawn at random.")] = _DEFAULT.seed,
    evaluate: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="A judged collection, as rerankd evaluate takes it: nDCG@10 of the retrieval order, the teacher"
            " and the student goes into the result and the card.",
            show_default=False,
        ),
    ] = None,
    json_output: Json = False,
) -> None:
    """Make a small cross-encoder out of a large one, on your own texts; no labels are needed.

    Questions are made where there are few, the teacher scores them with texts that answer them and texts that
    do not, and the student learns the scores. Every step can be stopped and goes on with the same command. The
    student is an ONNX model with a tokenizer and a card: CROSS_ENCODER_MODEL=FOLDER.
    """
    import json as json_format
    from dataclasses import asdict

    from rerankd.cli.session import load_settings
    from rerankd.cli.terminal import fail, output
    from rerankd.distill.texts import read_queries, read_texts

    policy = DistillPolicy(
        layers=layers or 0,
        keep=keep if keep is not None else (1.0 if layers else _DEFAULT.keep),
        queries=questions,
        sentence_queries=sentence_questions,
        passes=passes,
        rate=rate,
        hidden_share=hidden_share,
        max_tokens=max_tokens,
        seed=seed,
    )
    if student is not None and (layers is not None or keep is not None):
        fail("--layers, --keep: say what is taken from the teacher; a --student has its layers already", 2)
    asked = read_queries(queries) if queries else []
    passages = read_texts(texts)
    judging = _collection(evaluate) if evaluate else None
    try:
        import bm25s  # type: ignore[import-untyped]  # noqa: F401
        import onnx  # noqa: F401
        import pyarrow  # type: ignore[import-untyped]  # noqa: F401
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        fail(f"{_LACKING} ({error})", 1)
    from rerankd.cli.distill_progress import progress
    from rerankd.cli.session import opened
    from rerankd.distill.distilling import distil
    from rerankd.engine.clock import SystemClock

    _keep_memory()
    settings = load_settings()
    clock = SystemClock()
    with opened(settings, teacher, require_model=True) as reranker, progress(clock) as told:
        distilled = distil(
            _teacher(teacher, student, reranker, settings),
            asked,
            passages,
            policy,
            out,
            clock=clock,
            told=told,
            judge=_judge(*judging, reranker, settings) if judging else None,
        )
    if json_output:
        typer.echo(json_format.dumps(asdict(distilled) | {"folder": str(out)}))
        return
    output().print(_said(distilled))


def _teacher(model: str, student: str | None, reranker: "Reranker", settings: "Settings") -> "Teacher":
    """The teacher's scores and weights from the same files; and the student to go on with.

    On CUDA the scores are of a file in half precision and the weights of the CPU's, which it was made from or with.
    """
    from dataclasses import replace

    from rerankd.backends.cpu import int8_path
    from rerankd.distill.distilling import Teacher
    from rerankd.distill.student import student_of
    from rerankd.distill.teacher_weights import network_of_checkpoint, network_of_onnx
    from rerankd.models.checkpoint import is_checkpoint, resolve_checkpoint
    from rerankd.models.resolve import resolve

    policy = replace(settings.model, model=model)
    if is_checkpoint(model):
        files = resolve_checkpoint(policy, data_dir=settings.data_dir)
        return Teacher(
            id=files.model,
            licence="",
            reranker=reranker,
            network=lambda: student_of(network_of_checkpoint(files.folder)),
            tokenizer=files.tokenizer,
            student=_earlier(student, files.tokenizer, settings),
        )
    graph = resolve(policy, data_dir=settings.data_dir, int8=int8_path())
    return Teacher(
        id=graph.model,
        licence=graph.licence,
        reranker=reranker,
        network=lambda: student_of(network_of_onnx(graph.onnx)),
        tokenizer=graph.tokenizer,
        student=_earlier(student, graph.tokenizer, settings),
    )


def _earlier(student: str | None, tokenizer: Path, settings: "Settings") -> "Earlier | None":
    from dataclasses import replace

    from rerankd.backends.cpu import int8_path
    from rerankd.distill.distilling import Earlier
    from rerankd.distill.student_weights import student_of_onnx
    from rerankd.errors import ConfigError
    from rerankd.models.resolve import resolve

    if student is None:
        return None
    policy = replace(settings.model, model=student, file="", revision="")  # those are said of the teacher
    files = resolve(policy, data_dir=settings.data_dir, int8=int8_path())
    if files.tokenizer.read_bytes() != tokenizer.read_bytes():
        raise ConfigError(
            f"--student: {student} has another tokenizer than the teacher, and cannot learn from it"
        )
    return Earlier(student, lambda: student_of_onnx(files.onnx), files.sha256)


def _collection(folder: Path) -> "tuple[Collection, Run]":
    """Read before any work, as what measures it is looked for."""
    from importlib.util import find_spec

    from rerankd.errors import ConfigError
    from rerankd.evaluation.collection import read_collection
    from rerankd.evaluation.run import choose_run, read_run

    if find_spec("ir_measures") is None:
        raise ConfigError("--evaluate needs the package ir-measures: pip install 'rerankd[evaluation]'")
    collection = read_collection(folder)
    return collection, read_run(choose_run(folder), collection)


def _judge(collection: "Collection", run: "Run", teacher: "Reranker", settings: "Settings") -> "Judge":
    from dataclasses import replace
    from tempfile import TemporaryDirectory

    import rerankd
    from rerankd.distill.judged import Judged, judged

    def judge(folder: Path, told: "Callable[[float], None]") -> Judged:
        # the CPU's is the file that was made; its digest is not to be remembered for a folder that is about to go
        policy = replace(settings.model, device="cpu", file="", revision="")
        with TemporaryDirectory() as data:
            own = replace(settings, model=policy, data_dir=Path(data)).uncached()
            with rerankd.open(str(folder), settings=own, require_model=True) as student:
                return judged(collection, run, teacher, student, told)

    return judge


def _said(distilled: "Distilled") -> str:
    graph, judged = distilled.graph, ""
    if found := distilled.judged:
        judged = (
            f"nDCG@10 on {found.dataset}, {found.queries} queries: retrieval order {found.retrieval:.4f}, teacher"
            f" {found.teacher:.4f}, student {found.student:.4f}\n"
        )
    return (
        f"{distilled.folder}: {distilled.layers} layers, from {distilled.pairs:,} pairs,"
        f" {distilled.seconds / 60:.0f} minutes of training\n"
        f"On {graph.questions} questions kept back: correlation with the teacher {graph.correlation:.4f}, its first"
        f" text {graph.same_first:.0%}, pairs in its order {graph.pairs_in_order:.1%}\n"
        f"int8 differs from fp32 by {distilled.parity:.3f} in the mean\n"
        f"{judged}"
        f"Try it: rerankd evaluate COLLECTION --model {distilled.folder}"
    )


_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
"""Of glibc's `mallopt`."""


def _keep_memory() -> None:
    """Let freed memory stay with this process, where the C library is glibc.

    Every step of the training makes and frees the same large tensors. glibc takes each from the system and gives it
    back, and the system clears its pages anew.
    """
    import ctypes
    import os

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_TOP_PAD, 2**28)
