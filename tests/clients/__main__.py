"""Points other people's clients at a running service: the right order, and the retrieval order when it is broken.

python -m tests.clients                    every client, each in an environment of its own under .venv-clients
python -m tests.clients --only voyage
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.clients.server import MODES, QUERY
from tests.running import Running

__all__ = ["CLIENTS", "main"]

BUDGET_MS = 250
"""The default of a service; no client here sends another."""
ALLOWED_MS = 50
"""What a client may take beyond the budget."""
TEXTS = [
    "Our office is closed on Sundays and public holidays.",
    "Parcels are usually delivered within three working days.",
    "Refunds go back to the card that you paid with.",
    "The green model is sold out until spring.",
    "To get your money back, send the item within 30 days; the refund takes five days after that.",
    "You can change the language at the bottom of every page.",
]
_ROOT = Path(__file__).resolve().parents[2]
_ENVIRONMENTS = _ROOT / ".venv-clients"


@dataclass(frozen=True, slots=True)
class Client:
    """A package, pinned, and the script that speaks with it."""

    speaker: str
    requirements: tuple[str, ...]


CLIENTS: dict[str, Client] = {
    "cohere": Client("cohere_sdk", ("cohere==7.3.1",)),
    "llama-index": Client("llama_index_tei", ("llama-index-postprocessor-tei-rerank==0.6.0",)),
    "litellm": Client("litellm_rerank", ("litellm==1.110.2",)),
    "voyage": Client("voyage_sdk", ("voyageai==0.5.0",)),
    "infinity": Client("infinity_sdk", ("infinity-client==0.0.78",)),
    "langchain-cohere": Client("langchain_cohere_rerank", ("langchain-cohere==0.6.0",)),
    "haystack-2": Client("haystack_tei", ("haystack-ai==2.31.0",)),
    "haystack-3": Client("haystack_tei", ("haystack-ai==3.4.1", "huggingface-api-haystack==3.1.0")),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.clients", description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=sorted(CLIENTS), help="only this client")
    arguments = parser.parse_args()
    failed = 0
    for name in arguments.only or CLIENTS:
        python = environment(name, CLIENTS[name].requirements)
        for line, holds in judged(name, python, CLIENTS[name].speaker):
            print(f"{'pass' if holds else 'FAIL'}  {line}", flush=True)
            failed += not holds
    print("all clients are served" if not failed else f"{failed} failed")
    return 1 if failed else 0


def environment(name: str, requirements: Sequence[str]) -> Path:
    """The Python of the client's environment, which is made when it is not there as it should be."""
    folder = _ENVIRONMENTS / name
    stamp, wanted = folder / ".installed", "\n".join(requirements)
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        print(f"Installing {', '.join(requirements)} into {folder.relative_to(_ROOT)} (once) ...", flush=True)
        subprocess.run([_ROOT / "tools" / "venv", folder], check=True)
        install = ["-m", "pip", "--disable-pip-version-check", "install", "--quiet", *requirements]
        subprocess.run([folder / "bin" / "python", *install], check=True)
        stamp.write_text(wanted, encoding="utf-8")
    return folder / "bin" / "python"


def judged(name: str, python: Path, speaker: str) -> Iterator[tuple[str, bool]]:
    """A line for each way of this client and each state of the model, and whether it is as promised."""
    with ExitStack() as stack:
        # all the time that it wants where it works, for there the order is judged
        services = {"works": stack.enter_context(Running(RERANK_CIRCUIT_MS="10000"))}
        for mode in MODES:
            command = (sys.executable, "-m", "tests.clients.server", mode)
            services[mode] = stack.enter_context(Running(command))
        best = best_order(services["works"].url)
        asked = dict.fromkeys(services, 0)
        for told in spoken(python, speaker, {mode: service.url for mode, service in services.items()}):
            expected = best if told["mode"] == "works" else list(range(len(TEXTS)))
            asked[told["mode"]] += len(told["answers"])
            yield verdict(name, told, expected)
        for mode, service in services.items():
            seen = [line for line in service.requests() if line["method"] == "POST" and line["route"] != OWN]
            statuses = sorted({str(line["status"]) for line in seen})
            yield (
                f"{name}, model {mode}: asked {asked[mode]} times, the service saw {len(seen)},"
                f" status {', '.join(statuses)}",
                len(seen) == asked[mode] > 0 and statuses == ["200"],
            )


def verdict(name: str, told: dict[str, Any], expected: list[int]) -> tuple[str, bool]:
    errors = [answer["error"] for answer in told["answers"] if answer["error"]]
    orders = [answer["order"] for answer in told["answers"]]
    timed = told["answers"][-1]["ms"]
    in_time = told["mode"] == "works" or timed <= BUDGET_MS + ALLOWED_MS
    says = errors[0] if errors else f"{orders[-1]} in {timed:.0f} ms"
    return (
        f"{name}, {told['way']}, model {told['mode']}: {says}",
        not errors and in_time and all(order == expected for order in orders),
    )


OWN = "/api/v1/rerank"


def best_order(url: str) -> list[int]:
    """What the service itself says, once its model is there."""
    with httpx.Client(base_url=url) as client:
        while client.get("/ready").status_code != 200:
            pass
        body = {"query": QUERY, "candidates": TEXTS, "budget_ms": 10_000}
        answer = client.post(OWN, json=body).raise_for_status().json()
    assert answer["outcome"] == "reranked"
    order = [each["id"] for each in answer["results"]]
    assert order[0] == 4, "the carried model knows which text is about refunds"
    return order


def spoken(python: Path, speaker: str, urls: dict[str, str]) -> Iterator[dict[str, Any]]:
    script = Path(__file__).with_name("speakers") / f"{speaker}.py"
    told = json.dumps({"urls": urls, "query": QUERY, "texts": TEXTS})
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        "HF_HUB_OFFLINE": "1",
        "HAYSTACK_TELEMETRY_ENABLED": "False",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "ANONYMIZED_TELEMETRY": "False",
        "no_proxy": "*",
    }
    done = subprocess.run(
        [python, "-W", "ignore", script],
        input=told,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"mode"')]
    if done.returncode or not found:
        raise RuntimeError(f"{speaker}: ended with {done.returncode}\n{done.stderr[-2000:]}")
    yield from found


if __name__ == "__main__":
    sys.exit(main())
