"""The page's files are those of the package, and ask nothing of any other host."""

import re
from importlib.resources import files

import pytest

from rerankd.http.policy import HttpPolicy
from tests.http.service import service

FILES = sorted(each.name for each in (files("rerankd.http") / "ui").iterdir())


@pytest.mark.parametrize("name", FILES)
async def test_every_file_is_served_with_its_type(name: str) -> None:
    async with service() as client:
        answer = await client.get(f"/ui/{name}")
    assert answer.status_code == 200
    kinds = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
    assert answer.headers["content-type"].startswith(kinds[name.rpartition(".")[2]])


@pytest.mark.parametrize("name", FILES)
def test_no_file_names_another_host_or_holds_inline_code(name: str) -> None:
    text = (files("rerankd.http") / "ui" / name).read_text(encoding="utf-8")
    foreign = [
        url for url in re.findall(r"https?://[^\s\"'`)]+", text) if url != "http://www.w3.org/2000/svg"
    ]
    assert foreign == []
    assert "innerHTML" not in text
    assert not re.search(r"\son\w+=", text)
    assert "<style" not in text
    assert not re.search(r"<script(?![^>]*\ssrc=)", text)


async def test_the_page_and_the_description_of_the_api_are_where_they_should_be() -> None:
    async with service() as client:
        assert "Try it" in (await client.get("/")).text
        assert "docs.js" in (await client.get("/docs")).text


async def test_the_samples_are_questions_with_candidates() -> None:
    async with service() as client:
        samples = (await client.get("/ui/samples.json")).json()
    assert len(samples) >= 12
    assert all(sample["query"] and len(sample["candidates"]) > 5 for sample in samples)


async def test_the_sample_conversations_fit_into_one_request_each() -> None:
    async with service() as client:
        found = (await client.get("/ui/conversations.json")).json()
    assert [each["user"] for each in found] == ["jonas", "marta", "owen", "priya"]
    for each in found:
        assert 24 < len(each["turns"]) <= HttpPolicy().max_memories
        assert each["questions"]
        assert set(each["turns"][0]) == {"text", "created_at"}


@pytest.mark.parametrize("name", ["../app.py", "..%2fapp.py", "nothing.js", "page.py"])
async def test_nothing_else_is_served(name: str) -> None:
    async with service() as client:
        assert (await client.get(f"/ui/{name}")).status_code == 404
