import sys
from pathlib import Path

import pytest

from rerankd.cli import main


def test_what_is_wrong_is_said_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(*arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["distill", "--out", str(tmp_path / "out"), *arguments])
        assert ended.value.code in (1, 2)
        return capsys.readouterr().err

    few = tmp_path / "few.jsonl"
    few.write_text('{"text": "one"}\n{"text": "two"}\n', encoding="utf-8")
    assert "has 2 different texts; at least 200 are needed" in said("--texts", str(few))
    assert "there is no" in said("--texts", str(tmp_path / "nowhere"))
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"text": 1}\n', encoding="utf-8")
    assert "line 1: needs an object with a string in text" in said("--texts", str(broken))
    assert "must be a number from 0.05 to 1" in said("--texts", str(few), "--keep", "7")
    assert "--layers, --keep: say what is taken from the teacher" in said(
        "--texts", str(few), "--student", "small", "--layers", "3"
    )
    many = tmp_path / "many.jsonl"
    many.write_text("".join(f'{{"text": "text number {at}"}}\n' for at in range(300)), encoding="utf-8")
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "pip install 'rerankd[distill]'" in said("--texts", str(many))
    assert not (tmp_path / "out").exists()
