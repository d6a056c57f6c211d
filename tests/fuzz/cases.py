"""Sends made-up requests, good and bad ones, and counts what should not have come back."""

import warnings
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

__all__ = ["Fuzzed", "fuzz"]

CHECKS = (content_type_conformance, response_schema_conformance, status_code_conformance)
"""The status is one that is described, and so is the body."""
PUBLIC = ("/health", "/ready")
_SHOWN = 20


@dataclass(slots=True)
class Fuzzed:
    """What came of it."""

    cases: Counter[str] = field(default_factory=Counter)
    """Operation → how many requests were sent."""
    statuses: Counter[int] = field(default_factory=Counter)
    server_errors: list[str] = field(default_factory=list)
    """5xx that are not the described 503."""
    violations: list[str] = field(default_factory=list)
    let_in: list[str] = field(default_factory=list)
    """Answers with data to a request without a key."""

    @property
    def total(self) -> int:
        return sum(self.cases.values())

    def failed(self) -> list[str]:
        return [*self.server_errors, *self.violations, *self.let_in]


def fuzz(url: str, key: str, cases: int, *, start: int = 0) -> Fuzzed:
    """About `cases` requests, spread over all operations; half of each are made to be wrong.

    `key`: an API key that may do everything. Every fourth request is sent without it.
    """
    fuzzed = Fuzzed()
    document = requests.get(f"{url}/openapi.json", headers=_bearer(key), timeout=10).json()
    schema = schemathesis.openapi.from_dict(document)
    operations = [each.ok() for each in schema.get_all_operations()]
    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    with requests.Session() as session:
        for number, operation in enumerate(operations):
            for mode in modes:
                if mode is GenerationMode.NEGATIVE and not (operation.body or _parameters(operation)):
                    continue  # there is nothing that could be wrong
                each = max(2, round(cases * _weight(operation) / sum(map(_weight, operations)) / len(modes)))
                _operation(fuzzed, session, url, key, operation, mode, each, start + number)
    return fuzzed


def _operation(
    fuzzed: Fuzzed,
    session: requests.Session,
    url: str,
    key: str,
    operation: Any,
    mode: Any,
    count: int,
    number: int,
) -> None:
    sent = 0

    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode))
    def send(case: Any) -> None:
        nonlocal sent
        sent += 1
        _send(fuzzed, session, url, key if sent % 4 else None, case)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the generator's own
        send()


def _send(fuzzed: Fuzzed, session: requests.Session, url: str, key: str | None, case: Any) -> None:
    name = f"{case.operation.method.upper()} {case.operation.path}"
    headers = {each: value for each, value in (case.headers or {}).items() if each.lower() != "authorization"}
    case.headers = headers
    try:
        answer = case.call(base_url=url, session=session, headers=_bearer(key) if key else {}, timeout=10)
    except (requests.exceptions.InvalidHeader, UnicodeError):
        return  # it cannot be written down as a request
    fuzzed.cases[name] += 1
    fuzzed.statuses[answer.status_code] += 1
    if answer.status_code >= 500 and answer.status_code != 503:
        _note(fuzzed.server_errors, f"{name}: {answer.status_code}")
    if key is None and case.operation.path not in PUBLIC and answer.status_code != 401:
        _note(fuzzed.let_in, f"{name}: {answer.status_code} without a key")
    try:
        case.validate_response(answer, checks=list(CHECKS))
    except (FailureGroup, AssertionError) as failure:
        found = getattr(failure, "exceptions", [failure])
        for each in found:
            _note(fuzzed.violations, f"{name}: {answer.status_code}: {str(each)[:300]}")


def _note(found: list[str], line: str) -> None:
    if len(found) < _SHOWN:
        found.append(line)


def _weight(operation: Any) -> float:
    """A route that reads a body deserves more than one that only tells something."""
    return 1.0 if operation.body else 0.1


def _parameters(operation: Any) -> bool:
    return bool(list(operation.query) or list(operation.path_parameters))


def _bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}
