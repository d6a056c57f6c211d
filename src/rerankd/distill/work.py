"""What a run has done so far, so that the next one goes on there."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rerankd.distill.pairs import Group
from rerankd.distill.policy import DistillPolicy
from rerankd.errors import ConfigError

__all__ = ["Work"]

_SEPARATOR = b"\0"
_LATER = ("passes", "fall_share")
"""May be decided on while the training runs: until the learning rate falls, they change nothing."""


@dataclass(frozen=True, slots=True)
class Work:
    """The folder `work` in the folder of a student. A file in it is whole or is not there."""

    folder: Path

    @property
    def scores(self) -> Path:
        return self.folder / "scores"

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    def begin(
        self,
        teacher: str,
        queries: Sequence[str],
        texts: Sequence[str],
        policy: DistillPolicy,
        *,
        student: str = "",
        student_file: str = "",
    ) -> None:
        """Remember what is being made. `student`: what it begins with, if not with the teacher. `student_file`: the
        digest of its file, as the name says little of a folder that may be written anew.

        Raises `ConfigError` when the folder holds the work on something else.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        wanted: dict[str, Any] = {
            "teacher": teacher,
            "student": student,
            "student_file": student_file,
            "asked": _digest(queries),
            "texts": _digest(texts),
            **asdict(policy),
        }
        for name in _LATER:
            del wanted[name]
        path = self.folder / "begun.json"
        if not path.is_file():
            _write(path, wanted)
            return
        # what earlier releases did not note is taken to be as it is now, or as it then could only be
        begun = {"student": "", "student_file": student_file} | json.loads(path.read_text(encoding="utf-8"))
        if changed := sorted(name for name in wanted if begun.get(name) != wanted[name]):
            raise ConfigError(
                f"--out: {self.folder.parent} holds work that was begun with other {', '.join(changed)};"
                " name another folder, or delete that one"
            )

    def groups(self) -> list[Group] | None:
        """The pairs that were chosen; None: not chosen yet."""
        path = self.folder / "pairs.json"
        if not path.is_file():
            return None
        return [Group(query, tuple(texts)) for query, texts in json.loads(path.read_text(encoding="utf-8"))]

    def keep_groups(self, groups: Sequence[Group]) -> None:
        _write(self.folder / "pairs.json", [(group.query, group.texts) for group in groups])


def _digest(parts: Sequence[str]) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(part.encode("utf-8", "surrogatepass") + _SEPARATOR)
    return whole.hexdigest()


def _write(path: Path, value: Any) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    partial.replace(path)
