"""The page at `/`, and the API's description at `/docs`: files of the package, nothing from elsewhere."""

import json
from collections.abc import Awaitable, Callable
from functools import cache
from importlib.resources import files

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from rerankd.http.refusal import Refusal

__all__ = ["add_page"]

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "json": "application/json",
}
_HEADERS = {"cache-control": "no-cache"}
"""Asked for again each time, so that a new version is seen at once."""
_CANDIDATES = 12


def add_page(app: FastAPI) -> None:
    """Serve the page. Its files are public: there is nothing in them that the package does not show."""
    for path, name in (("/", "index.html"), ("/docs", "docs.html")):
        app.add_api_route(path, _file(name), methods=["GET"], include_in_schema=False)
    app.add_api_route("/ui/{name}", _asset, methods=["GET"], include_in_schema=False)


def _file(name: str) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return _shown(name)

    return answer


async def _asset(request: Request) -> Response:
    return _shown(str(request.path_params["name"]))


def _shown(name: str) -> Response:
    content = _files().get(name)
    if content is None:
        raise Refusal("not_found", "there is no such file")
    return Response(content, media_type=_TYPES[name.rpartition(".")[2]], headers=_HEADERS)


@cache
def _files() -> dict[str, bytes]:
    """Every file of the page, read once: a request's name is looked up and never opened as a path."""
    folder = files("rerankd.http") / "ui"
    found = {
        each.name: each.read_bytes() for each in folder.iterdir() if each.name.rpartition(".")[2] in _TYPES
    }
    made = {"samples.json": _samples(), "conversations.json": _conversations()}
    return found | {name: json.dumps(content).encode() for name, content in made.items()}


def _samples() -> list[dict[str, object]]:
    """Questions to start with, and what a first stage found for them."""
    from rerankd.sample.questions import questions

    return [
        {"query": each.text, "candidates": [passage.text for passage in each.candidates[:_CANDIDATES]]}
        for each in questions()
    ]


def _conversations() -> list[dict[str, object]]:
    """What some people told a chat, and questions about it, for trying the memory."""
    from rerankd.sample.conversation import asked, turns

    return [
        {
            "user": user,
            "turns": [
                {"text": each.text, "created_at": each.created_at.isoformat()}
                for each in turns()
                if each.user == user
            ],
            "questions": [each.question for each in asked() if each.user == user],
        }
        for user in sorted({each.user for each in turns()})
    ]
