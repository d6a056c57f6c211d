"""The switch with an OpenFeature provider (flagd, Unleash, LaunchDarkly, ...), through the standard SDK."""

import importlib
import itertools
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rerankd.core.flag import Flag
from rerankd.errors import ConfigError
from rerankd.flags.notation import flag_from_json, flag_from_object

if TYPE_CHECKING:
    from openfeature.client import OpenFeatureClient
    from openfeature.flag_evaluation import FlagEvaluationDetails

__all__ = ["DOMAIN", "OpenFeatureFlag"]

logger = logging.getLogger(__name__)

DOMAIN = "rerankd"
"""The OpenFeature domain. Where none is bound to it the SDK answers from the host's default provider."""

KINDS = ("object", "string", "boolean")
_numbers = itertools.count(1)


class OpenFeatureFlag:
    """Asks an OpenFeature provider. A provider that fails leaves the last known flag in force.

    The flag may be of type object (`{"mode": "on", "percent": 25}`), string (`on`, `off`, `shadow`, or such
    an object in JSON) or boolean (on or off). Raises `ConfigError` when the SDK is not installed, or when
    `provider` ("module:name") is given and cannot be made. Such a provider serves this flag alone, in
    a domain of its own; the host's stay as they are.
    """

    name = "openfeature"
    immediate = False

    def __init__(self, key: str, *, provider: str = "") -> None:
        self.key = key
        self._domain = f"{DOMAIN}-{next(_numbers)}" if provider else None
        self._client = _client(self._domain or DOMAIN, provider)
        self._kind = KINDS[0]
        self._last = False
        self._problem: str | None = None

    def read(self, context: Mapping[str, str]) -> Flag | None:
        """Evaluate the flag; `context["targeting_key"]`, where given, is OpenFeature's targeting key."""
        try:
            details = self._evaluate(context)
        except Exception as error:  # noqa: BLE001 - a provider and its hooks are foreign code, which may raise anything
            self._failed(f"the provider raised {type(error).__name__}")
            return None
        if details.error_code is not None:
            code = details.error_code.value
            # A provider connects in a thread of its own, so that the first reads find it so every time.
            level = logging.INFO if code == "PROVIDER_NOT_READY" else logging.WARNING
            self._failed(f"the provider answered {code}", level)
            return None
        value = details.value
        if value in ({}, ""):  # our own default: the provider has no value, which is not a failure
            return None
        try:
            flag = _flag(value)
        except ConfigError as error:
            self._failed(str(error))
            return None
        if isinstance(value, bool):
            self._last = value
        self._problem = None
        return flag

    def close(self) -> None:
        """Let go of the provider that this flag made; one that the host has set is left alone."""
        if self._domain is not None:
            from openfeature import api
            from openfeature.provider.no_op_provider import NoOpProvider

            api.set_provider(NoOpProvider(), domain=self._domain)

    def _evaluate(self, context: Mapping[str, str]) -> "FlagEvaluationDetails[Any]":
        """Ask for the type that was right last time first: a wrong guess is an error in their telemetry."""
        from openfeature.evaluation_context import EvaluationContext
        from openfeature.exception import ErrorCode

        attributes = {name: value for name, value in context.items() if name != "targeting_key"}
        where = EvaluationContext(targeting_key=context.get("targeting_key"), attributes=attributes)
        # A boolean has no value that means "none", so its default is what was last read.
        defaults: dict[str, Any] = {"object": {}, "string": "", "boolean": self._last}
        details: FlagEvaluationDetails[Any] | None = None
        for kind in sorted(KINDS, key=lambda kind: kind != self._kind):
            evaluate = getattr(self._client, f"get_{kind}_details")
            details = evaluate(self.key, defaults[kind], where)
            if details.error_code is not ErrorCode.TYPE_MISMATCH:
                self._kind = kind
                break
        assert details is not None
        return details

    def _failed(self, problem: str, level: int = logging.WARNING) -> None:
        if problem != self._problem:  # said once, not twice a second
            self._problem = problem
            logger.log(
                level, "OpenFeature flag %s: %s; the last known flag stays in force", self.key, problem
            )


def _flag(value: object) -> Flag:
    if isinstance(value, bool):
        return flag_from_object({"mode": "on" if value else "off"})
    if isinstance(value, str):
        return flag_from_json(value) if value.lstrip().startswith("{") else flag_from_object({"mode": value})
    return flag_from_object(value)


def _client(domain: str, provider: str) -> "OpenFeatureClient":
    try:
        from openfeature import api
    except ImportError:
        raise ConfigError(
            "FlagPolicy.openfeature_key: needs the OpenFeature SDK: pip install 'rerankd[openfeature]'"
        ) from None
    if provider:
        module, _, attribute = provider.partition(":")
        try:
            made = getattr(importlib.import_module(module), attribute)()
        except Exception as error:  # foreign code, at start-up: it becomes a refusal to start
            raise ConfigError(
                f"FlagPolicy.openfeature_provider: {provider!r} could not be made: {type(error).__name__}"
            ) from error
        api.set_provider(made, domain=domain)
    return api.get_client(domain=domain)
