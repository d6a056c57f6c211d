"""The whole way from texts to a model: pairs, scores, narrowing, training, check, export, card.

Every step keeps what it has done in the folder `work` of the student's folder, and a run that was stopped goes on
there. Nothing is drawn at random but by the policy's seed.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rerankd.core.ports import Clock
from rerankd.distill.card import Facts, card
from rerankd.distill.held_out import Agreement, agreement, scores_of_network
from rerankd.distill.judged import Judged
from rerankd.distill.pairs import Group, groups_of
from rerankd.distill.policy import DistillPolicy
from rerankd.distill.questions import make_questions
from rerankd.distill.sentences import ask, sentences_of
from rerankd.distill.teacher import read_scores, score_groups
from rerankd.distill.texts import Passage
from rerankd.distill.work import Work
from rerankd.errors import BackendError, ConfigError

if TYPE_CHECKING:
    from rerankd.distill.lessons import Lesson
    from rerankd.distill.student import Student
    from rerankd.distill.training import Progress
    from rerankd.reranker import Reranker

__all__ = ["Distilled", "Earlier", "Judge", "Teacher", "Told", "distil"]

Judge = Callable[[Path, Callable[[float], None]], Judged]
"""Is given the folder of the student, and what hears the share that is done."""

_FEWEST_QUERIES = 20
_PARITY = 0.5
"""Logits: int8 may move a score so far in the mean, of a span of about 20."""
_NARROWING = 40
"""Questions whose pairs show which heads and units are missed least: some 15,000 tokens."""
_CHECKED = 400
"""Held-out questions that are looked at, at most."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """A student that an earlier run has made."""

    id: str
    network: "Callable[[], Student]"
    digest: str = ""
    """Of its file."""


@dataclass(frozen=True, slots=True)
class Teacher:
    """What is learnt from."""

    id: str
    licence: str
    reranker: "Reranker"
    """It scores."""
    network: "Callable[[], Student]"
    """Makes the network whose weights the student begins with."""
    tokenizer: Path
    student: "Earlier | None" = None
    """A student to go on with; `layers` and `keep` are then not looked at."""


class Told(Protocol):
    """What a run says while it works; a step's share is from 0 to 1."""

    def step(self, name: str) -> None: ...

    def share(self, done: float, note: str = "") -> None: ...


@dataclass(frozen=True, slots=True)
class Distilled:
    """What came of it."""

    folder: Path
    layers: int
    pairs: int
    seconds: float
    """Of training."""
    network: Agreement
    """The fp32 network and the teacher, on held-out questions."""
    graph: Agreement
    """The int8 file and the teacher, on the same."""
    parity: float
    """Mean absolute difference of the logits between the int8 file and the fp32 network."""
    judged: Judged | None = None
    """On a collection with judgements, where one was named."""


def distil(
    teacher: Teacher,
    queries: Sequence[str],
    passages: Sequence[Passage],
    policy: DistillPolicy,
    out: Path,
    *,
    clock: Clock,
    told: Told,
    judge: Judge | None = None,
) -> Distilled:
    """Make a student in the folder `out`, or go on with one. `judge`: looks at it when it is done.

    Raises `ConfigError` for too few questions, for a folder with other work and for layers that the teacher does
    not have, `BackendError` for a teacher or student whose weights cannot be read and for an export that does not
    score as the network does. What the networks are is looked at before the teacher's hours of work.
    """
    from rerankd.distill.training import steps_of, train

    _fit(teacher, policy)
    work = Work(out / "work")
    texts = [passage.text for passage in passages]
    earlier = teacher.student or Earlier("", teacher.network)
    work.begin(teacher.id, queries, texts, policy, student=earlier.id, student_file=earlier.digest)
    told.step("pairs")
    groups, pool = _groups(work, queries, passages, policy, told)
    told.step("scores")
    score_groups(
        teacher.reranker,
        groups,
        pool,
        work.scores,
        lambda done: told.share(done / len(groups), f"{done} questions"),
    )
    lessons, held = _lessons(work, teacher.tokenizer, policy)
    told.step("narrowing")
    whole = teacher.network()
    student = _student(work, whole, teacher.student, lessons, policy)
    told.step("training")
    steps = steps_of(lessons, policy)

    def trained(progress: "Progress") -> None:
        told.share(progress.step / max(1, steps), f"loss {progress.score_loss:.2f}")

    progress = train(whole, student, lessons, policy, work.checkpoint, clock=clock, told=trained)
    told.step("export")

    def judged(folder: Path) -> Judged | None:
        if judge is None:
            return None
        told.step("judging")
        return judge(folder, told.share)

    return _finished(teacher, student, held, progress, policy, out, groups, len(whole.layers), judged)


def _fit(teacher: Teacher, policy: DistillPolicy) -> None:
    """Raises where teacher or student cannot be made, or do not suit each other. Nothing of them is kept: while the
    teacher scores, for hours, the memory is its own.
    """
    from rerankd.distill.student import spread

    whole = teacher.network().shape
    if teacher.student is None:
        spread(policy.layers or len(whole.units), len(whole.units))
        return
    own = teacher.student.network().shape
    if own.vocabulary != whole.vocabulary:
        raise ConfigError(
            f"--student: {teacher.student.id} knows {own.vocabulary} tokens, the teacher {whole.vocabulary}"
        )
    if policy.hidden_share and len(own.units) > len(whole.units):
        raise ConfigError(
            f"--hidden-share: {teacher.student.id} has {len(own.units)} layers, the teacher {len(whole.units)};"
            " it cannot imitate layers that are not there"
        )
    if policy.hidden_share and own.width != whole.width:
        raise ConfigError(
            f"--hidden-share: the layers of {teacher.student.id} are {own.width} wide, the teacher's {whole.width};"
            " they cannot imitate those"
        )


def _groups(
    work: Work, queries: Sequence[str], passages: Sequence[Passage], policy: DistillPolicy, told: Told
) -> tuple[list[Group], list[str]]:
    """The groups, and the texts that they point into: the passages, then single sentences of them."""
    sentences = sentences_of(passages, policy.sentences, policy.seed) if policy.sentence_queries else []
    texts = [passage.text for passage in passages]
    pool = texts + [sentence.text for sentence in sentences]
    if (kept := work.groups()) is not None:
        return kept, pool
    asked = list(queries[: policy.queries])
    asked += make_questions(passages, policy.queries - len(asked), policy.seed)
    short = ask(sentences, policy.sentence_queries, policy.seed)
    asked = list(dict.fromkeys(asked))
    if len(asked) + len(short) < _FEWEST_QUERIES:
        raise ConfigError(
            f"--queries: {len(asked) + len(short)} questions are too few to learn from, also with those made from"
            f" the texts; at least {_FEWEST_QUERIES} are needed"
        )
    total = len(asked) + len(short)
    groups = list(groups_of(asked, texts, policy, lambda done: told.share(done / total)))
    if short:
        found = groups_of(
            short, pool[len(texts) :], policy, lambda done: told.share((len(asked) + done) / total)
        )
        groups += [Group(each.query, tuple(len(texts) + at for at in each.texts)) for each in found]
    work.keep_groups(groups)
    return groups, pool


def _lessons(work: Work, tokenizer: Path, policy: DistillPolicy) -> "tuple[list[Lesson], list[Lesson]]":
    """What is trained on, and what is kept back for the check."""
    from rerankd.distill.lessons import lessons_of
    from rerankd.models.pairs import PairTokenizer

    lessons = lessons_of(read_scores(work.scores), PairTokenizer(tokenizer), policy.max_tokens)
    random.Random(policy.seed).shuffle(lessons)
    back = max(1, round(len(lessons) * policy.held_out))
    return lessons[back:], lessons[:back][:_CHECKED]


def _student(
    work: Work,
    whole: "Student",
    earlier: Earlier | None,
    lessons: "Sequence[Lesson]",
    policy: DistillPolicy,
) -> "Student":
    """The student before its first lesson."""
    from rerankd.distill.narrow import narrowed
    from rerankd.distill.student import load, save, some_layers

    path = work.folder / "student.pt"
    if path.is_file():
        return load(path)
    if earlier is not None:
        student = earlier.network()
    else:
        student = some_layers(whole, policy.layers or len(whole.layers))
        if policy.keep < 1:
            student = narrowed(student, lessons[:_NARROWING], policy.keep)
    save(student, path)
    return student


def _finished(
    teacher: Teacher,
    student: "Student",
    held: "Sequence[Lesson]",
    progress: "Progress",
    policy: DistillPolicy,
    out: Path,
    groups: Sequence[Group],
    teacher_layers: int,
    judged: Callable[[Path], Judged | None],
) -> Distilled:
    """Export, check the file against the network and both against the teacher, and write the card. Only what has
    been checked gets into the folder that is named as a model.
    """
    from rerankd.distill.export import INT8, export, moved, scores_of_graph
    from rerankd.distill.student import spread

    exported = out / "work" / "export"
    export(student, teacher.tokenizer, exported)
    wanted = [lesson.logits for lesson in held]
    plain = scores_of_network(student, held)
    small = [scores_of_graph(exported / INT8, lesson.ids, lesson.types) for lesson in held]
    apart = [
        abs(a - b) for one, other in zip(plain, small, strict=True) for a, b in zip(one, other, strict=True)
    ]
    distilled = Distilled(
        folder=out,
        layers=len(student.layers),
        pairs=sum(len(group.texts) for group in groups),
        seconds=progress.seconds,
        network=agreement(plain, wanted),
        graph=agreement(small, wanted),
        parity=sum(apart) / len(apart),
    )
    if not distilled.parity <= _PARITY:
        raise BackendError(
            f"{exported / INT8}: its scores differ from the network's by {distilled.parity:.2f} in the mean, more"
            f" than {_PARITY}; the network is in {out / 'work'}, and {out} is as it was"
        )
    distilled = replace(distilled, judged=judged(exported))
    facts = Facts(
        name=out.name,
        teacher=teacher.id,
        student=teacher.student.id if teacher.student else "",
        taken=() if teacher.student else spread(policy.layers or teacher_layers, teacher_layers),
        teacher_layers=teacher_layers,
        licence=teacher.licence,
        policy=policy,
        shape=student.shape,
        questions=len(groups),
        pairs=distilled.pairs,
        seen=progress.pairs,
        seconds=progress.seconds,
        network=distilled.network,
        graph=distilled.graph,
        parity=distilled.parity,
        bytes=(exported / INT8).stat().st_size,
        judged=distilled.judged,
    )
    (out / "README.md").write_text(card(facts), encoding="utf-8")
    moved(exported, out)
    return distilled
