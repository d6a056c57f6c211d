"""An OpenFeature provider holds the switch; one that fails leaves the last known flag in force."""

import logging
import subprocess
import sys
import threading

import pytest

from rerankd.core.flag import Flag, Mode
from rerankd.errors import ConfigError
from rerankd.flags.openfeature import DOMAIN, OpenFeatureFlag

api = pytest.importorskip("openfeature.api", reason="needs the extra rerankd[openfeature]")
from openfeature.event import ProviderEvent  # noqa: E402
from openfeature.exception import ErrorCode  # noqa: E402
from openfeature.flag_evaluation import FlagResolutionDetails  # noqa: E402
from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider  # noqa: E402
from openfeature.provider.metadata import Metadata  # noqa: E402

CANARY = "canary-7f3a the patient's name is Ada"


@pytest.fixture(autouse=True)
def _no_providers_left():
    yield
    api.shutdown()


class Provider(InMemoryProvider):
    """A provider with one flag, `rerank`, that a test changes; it records what it was asked."""

    def __init__(self, value=None):
        super().__init__({})
        self.asked = []
        self.put(value)

    def put(self, value):
        self._flags = {} if value is None else {"rerank": InMemoryFlag("it", {"it": value})}

    def _resolve(self, flag_key, default_value, evaluation_context):
        self.asked.append((type(default_value).__name__, evaluation_context))
        return super()._resolve(flag_key, default_value, evaluation_context)

    def kinds(self):
        kinds = [kind for kind, _ in self.asked]
        self.asked.clear()
        return kinds


def made(value=None):
    provider = Provider(value)
    api.set_provider_and_wait(provider)
    return provider, OpenFeatureFlag("rerank")


@pytest.mark.parametrize(
    ("value", "flag"),
    [
        ({"mode": "on", "percent": 25}, Flag(Mode.ON, 25)),
        ({"mode": "shadow"}, Flag(Mode.SHADOW)),
        ("off", Flag(Mode.OFF)),
        ("shadow", Flag(Mode.SHADOW)),
        (' {"mode": "on", "percent": 0.5}', Flag(Mode.ON, 0.5)),
        (True, Flag(Mode.ON)),
        (False, Flag(Mode.OFF)),
    ],
)
def test_a_flag_of_type_object_string_or_boolean_is_understood(value, flag):
    _, source = made(value)
    assert source.name == "openfeature"
    assert source.read({}) == flag
    assert source.read({}) == flag


def test_the_type_that_was_right_is_asked_first_from_then_on():
    provider, source = made("on")
    source.read({})
    assert provider.kinds() == ["dict", "str"]
    source.read({})
    assert provider.kinds() == ["str"]
    provider.put({"mode": "off"})
    assert source.read({}) == Flag(Mode.OFF)
    assert provider.kinds() == ["str", "dict"]


def test_the_context_reaches_the_provider_with_its_targeting_key():
    provider, source = made("on")
    source.read({"targeting_key": "tenant-1", "region": "eu"})
    context = provider.asked[0][1]
    assert context.targeting_key == "tenant-1"
    assert context.attributes == {"region": "eu"}


@pytest.mark.parametrize("value", [CANARY, {"mode": CANARY}, {"mode": "on", "percent": 101}, [CANARY], 7])
def test_a_value_that_is_no_flag_gives_none_and_is_said_once_without_repeating_it(value, caplog):
    _, source = made(value)
    assert source.read({}) is None
    assert source.read({}) is None
    ours = [record for record in caplog.records if record.name.startswith("rerankd")]
    assert len(ours) == 1
    assert "OpenFeature flag rerank" in ours[0].getMessage()
    assert "canary" not in ours[0].getMessage()


def test_a_missing_flag_gives_none_and_coming_and_going_is_said_each_time(caplog):
    provider, source = made()
    assert source.read({}) is None
    assert "FLAG_NOT_FOUND" in caplog.text
    provider.put("off")
    assert source.read({}) == Flag(Mode.OFF)
    provider.put(None)
    assert source.read({}) is None
    assert caplog.text.count("the provider answered FLAG_NOT_FOUND; the last known flag stays in force") == 2


def test_without_a_provider_there_is_no_value_and_nothing_to_complain_about(caplog):
    assert OpenFeatureFlag("rerank").read({}) is None
    assert caplog.records == []


def test_a_switched_off_boolean_flag_keeps_what_was_last_read():
    provider, source = made(True)
    assert source.read({}) == Flag(Mode.ON)
    provider.resolve_boolean_details = lambda flag_key, default_value, evaluation_context=None: (
        FlagResolutionDetails(value=default_value)
    )
    assert source.read({}) == Flag(Mode.ON)


def test_a_provider_that_raises_gives_none():
    provider, source = made("on")
    assert source.read({}) == Flag(Mode.ON)

    def broken(*_, **__):
        raise RuntimeError(CANARY)

    provider.resolve_string_details = provider.resolve_object_details = broken
    assert source.read({}) is None


def test_a_provider_that_breaks_outside_the_sdk_s_own_net_gives_none(caplog):
    provider, source = made("on")

    def broken():
        raise RuntimeError(CANARY)

    provider.get_provider_hooks = broken
    assert source.read({}) is None
    assert "the provider raised RuntimeError" in caplog.text
    assert "canary" not in caplog.text


def test_a_provider_that_is_still_connecting_is_no_warning(caplog):
    caplog.set_level(logging.INFO)
    provider, source = made("on")
    provider.resolve_object_details = lambda **_: FlagResolutionDetails(
        value={}, error_code=ErrorCode.PROVIDER_NOT_READY
    )
    assert source.read({}) is None
    ours = [record for record in caplog.records if record.name.startswith("rerankd")]
    assert [record.levelno for record in ours] == [logging.INFO]


class OwnProvider(Provider):
    """Made by its name, without arguments."""

    def __init__(self):
        super().__init__("shadow")

    def get_metadata(self):
        return Metadata("own")


def test_a_provider_named_in_the_settings_serves_this_flag_alone():
    api.set_provider_and_wait(Provider("off"))
    source = OpenFeatureFlag("rerank", provider=f"{__name__}:OwnProvider")
    ready = threading.Event()  # the SDK starts a provider in a thread of its own
    source._client.add_handler(ProviderEvent.PROVIDER_READY, lambda _: ready.set())
    assert ready.wait(10)
    assert source.read({}) == Flag(Mode.SHADOW)
    assert OpenFeatureFlag("rerank").read({}) == Flag(Mode.OFF)
    source.close()
    assert source.read({}) is None


def test_closing_leaves_the_host_s_provider_alone():
    _, source = made("off")
    source.close()
    assert source.read({}) == Flag(Mode.OFF)


def test_the_host_may_bind_a_provider_to_our_domain():
    api.set_provider_and_wait(Provider("off"))
    api.set_provider_and_wait(Provider("shadow"), domain=DOMAIN)
    assert OpenFeatureFlag("rerank").read({}) == Flag(Mode.SHADOW)


@pytest.mark.parametrize("provider", ["does_not_exist:Provider", "json:absent", "json:loads"])
def test_a_named_provider_that_cannot_be_made_refuses_to_start(provider):
    with pytest.raises(ConfigError, match=f"'{provider}' could not be made: "):
        OpenFeatureFlag("rerank", provider=provider)


def test_without_the_sdk_the_refusal_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "openfeature", None)
    with pytest.raises(ConfigError, match=r"pip install 'rerankd\[openfeature\]'"):
        OpenFeatureFlag("rerank")


def test_the_sdk_is_imported_only_when_it_is_used():
    code = (
        "import sys, rerankd.flags.openfeature, rerankd.flags.choice; sys.exit('openfeature' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
