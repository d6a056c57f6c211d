"""`rerankd` itself: help, version, and how errors look."""

import json
import subprocess
import sys
from importlib.metadata import version

import pytest

import rerankd

from .conftest import Run

COMMANDS = [
    ["rerank"],
    ["demo"],
    ["bench"],
    ["doctor"],
    ["evaluate"],
    ["settings"],
    ["models"],
    ["models", "list"],
    ["models", "pull"],
    ["models", "verify"],
    ["flag"],
    ["flag", "on"],
    ["flag", "off"],
    ["flag", "shadow"],
    ["flag", "status"],
]


def test_the_help_names_every_command(run: Run) -> None:
    done = run("--help")
    assert done.status == 0
    for command, *_ in COMMANDS:
        assert f" {command} " in done.out


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(run: Run, command: list[str]) -> None:
    done = run(*command, "--help")
    assert done.status == 0
    assert "Usage: rerankd " + " ".join(command) in done.out
    assert done.err == ""


def test_the_version_is_that_of_the_package(run: Run) -> None:
    assert run("--version").out == f"rerankd {version('rerankd')}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nosuch"], "No such command 'nosuch' (see rerankd --help)"),
        (["bench", "--nosuch"], "No such option: --nosuch (see rerankd bench --help)"),
        (["rerank"], "Missing argument 'QUERY' (see rerankd rerank --help)"),
    ],
)
def test_wrong_use_is_one_line_on_standard_error_and_status_2(
    run: Run, arguments: list[str], said: str
) -> None:
    done = run(*arguments)
    assert (done.status, done.out, done.err) == (2, "", f"rerankd: {said}\n")


def test_a_wrong_setting_is_named_and_is_wrong_use(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RERANK_CIRCUIT_MS", "soon")
    done = run("settings")
    assert done.status == 2
    assert done.err.startswith("rerankd: RERANK_CIRCUIT_MS: must be")
    assert done.err.count("\n") == 1


def test_a_group_without_a_command_shows_its_help(run: Run) -> None:
    done = run("flag")
    assert done.status == 2
    assert "shadow" in done.out + done.err


def test_an_interrupted_command_says_so_in_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(rerankd, "open", interrupted)
    done = run("rerank", "dog", "--candidates", "-", stdin=b"a dog")
    assert (done.status, done.out) == (130, "")
    assert done.err.strip() == "rerankd: interrupted"


def test_importing_the_command_line_imports_nothing_heavy() -> None:
    """`rerankd --help` and completion must be quick; rich comes with the first table."""
    program = "import sys, json, rerankd.cli; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    heavy = {
        "rich",
        "numpy",
        "onnxruntime",
        "tokenizers",
        "huggingface_hub",
        "prometheus_client",
        "ir_measures",
    }
    assert set(json.loads(done.stdout)) & heavy == set()
