"""How far `rerankd distill` is: bars in a terminal, lines in a log."""

from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from rerankd.core.ports import Clock

__all__ = ["Bars", "Lines", "progress"]

_STEPS = {
    "pairs": "Choosing pairs",
    "scores": "Asking the teacher",
    "narrowing": "Narrowing the student",
    "training": "Training",
    "export": "Exporting and checking",
    "judging": "Asking judged queries",
}


_SAID_SHARE = 0.05
_SAID_SECONDS = 300.0
"""A line of a log for each so much of a step, or so long after the last one."""


def progress(clock: "Clock") -> "Bars | Lines":
    """What suits standard error: rich draws a bar into a file only when it ends."""
    from rerankd.cli.terminal import progress_output

    console = progress_output()
    return Bars(console) if console.is_terminal else Lines(clock)


class Lines:
    """For a log: a line when a step begins, and now and then how far it is and how long it will still take."""

    def __init__(self, clock: "Clock") -> None:
        self._clock = clock
        self._name = ""
        self._first: tuple[float, float] | None = None
        """Share and moment that this run first heard of: what an earlier one did says nothing about the speed."""
        self._said = (0.0, 0.0)

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def step(self, name: str) -> None:
        self._name = _STEPS[name]
        self._first, self._said = None, (0.0, self._clock.now())
        typer.echo(self._name, err=True)

    def share(self, done: float, note: str = "") -> None:
        now = self._clock.now()
        share, moment = self._said
        if self._first is None:
            self._first = (done, now)
        if done - share < _SAID_SHARE and now - moment < _SAID_SECONDS:
            return
        self._said = (done, now)
        begun, since = self._first
        parts = [f"{self._name}: {done:.0%}"]
        if begun < done < 1:
            parts.append(f"{_long((now - since) * (1 - done) / (done - begun))} left")
        typer.echo(", ".join([*parts, note] if note else parts), err=True)


def _long(seconds: float) -> str:
    minutes = round(seconds / 60)
    if not minutes:
        return "less than a minute"
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"


class Bars:
    """A line a step: how much of it is done and how long it will still take."""

    def __init__(self, console: "Console") -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self._bars = Progress(
            TextColumn("{task.description:<23}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
        )
        self._task: Any = None

    def __enter__(self) -> "Bars":
        self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            self._end()
        self._bars.stop()

    def step(self, name: str) -> None:
        self._end()
        self._task = self._bars.add_task(_STEPS[name], total=1.0, note="")

    def share(self, done: float, note: str = "") -> None:
        self._bars.update(self._task, completed=done, note=note)

    def _end(self) -> None:
        if self._task is not None:
            self._bars.update(self._task, completed=1.0)
