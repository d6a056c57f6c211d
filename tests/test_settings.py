"""A setting comes from the call, else the environment, the file, its default; a wrong one is named."""

import dataclasses
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.core.batch import BatchPolicy
from rerankd.core.breaker import BreakerPolicy
from rerankd.core.request import RerankPolicy
from rerankd.errors import ConfigError
from rerankd.settings import (
    SPECIAL_NAMES,
    ConfigWarning,
    Secret,
    Settings,
    default_data_dir,
    describe,
    refuse_unknown,
    setting_fields,
    unknown_keys,
    warn_unknown,
)

CANARY = "canary-7f3a-secret"


@pytest.fixture
def toml(tmp_path):
    """Write a settings file."""

    def write(text):
        path = tmp_path / "rerankd.toml"
        path.write_text(text)
        return path

    return write


def refused(*args, **kwargs):
    with pytest.raises(ConfigError) as caught:
        Settings.load(*args, **kwargs)
    assert caught.value.__cause__ is None
    return str(caught.value)


def test_with_nothing_set_everything_is_at_its_default():
    settings = Settings.load({})
    assert settings == Settings(data_dir=default_data_dir({}))
    assert settings.sources == {}
    assert settings.unknown == ()
    assert settings.enabled
    assert settings.rerank == RerankPolicy()


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("CROSS_ENCODER_MODEL", "cross-encoder/x", "model.model", "cross-encoder/x"),
        ("DEVICE", "cuda:1", "model.device", "cuda:1"),
        ("RERANK_BUDGET_MS", "150", "rerank.target_ms", 150.0),
        ("RERANK_CIRCUIT_MS", "400", "rerank.budget_ms", 400.0),
        ("RERANK_BATCH_SIZE", "8", "batch.max_pairs", 8),
        ("RERANK_ENABLED", "false", "enabled", False),
        ("RERANKD_FLAG_FILE", "/etc/flag.json", "flag.file", Path("/etc/flag.json")),
        ("RERANKD_FLAG_PERCENT", "12.5", "flag.percent", 12.5),
        ("RERANKD_DATA_DIR", "/data", "data_dir", Path("/data")),
        ("RERANKD_API_KEY", "k", "api_key", Secret("k")),
        ("RERANKD_TEST_DATASETS", "/sets", "test_datasets", Path("/sets")),
        ("RERANKD_LOG_FORMAT", "json", "log.format", "json"),
        ("RERANKD_BREAKER_OPEN_MS", "500", "breaker.open_ms", 500.0),
        ("RERANKD_RERANK_TARGET_MS", "150", "rerank.target_ms", 150.0),
        ("RERANKD_MODEL_DEVICE", "cpu", "model.device", "cpu"),
    ],
)
def test_a_variable_sets_what_it_is_named_after(variable, text, name, value):
    settings = Settings.load({variable: text})
    section, _, key = name.rpartition(".")
    assert getattr(getattr(settings, section) if section else settings, key) == value
    assert settings.sources == {name: f"environment {variable}"}
    assert settings.unknown == ()


def test_an_empty_variable_counts_as_not_set():
    settings = Settings.load(
        {"DEVICE": "", "RERANK_BATCH_SIZE": " ", "RERANKD_CONFIG": "", "RERANKD_API_KEY": ""}
    )
    assert settings == Settings.load({})
    assert settings.sources == {}


def test_without_an_environment_the_process_s_own_is_read(monkeypatch):
    monkeypatch.setenv("RERANK_BATCH_SIZE", "5")
    monkeypatch.setenv("RERANKD_TYPO", "5")
    assert Settings.load().batch.max_pairs == 5
    assert "RERANKD_TYPO" in [key.name for key in unknown_keys()]
    monkeypatch.setenv("RERANK_BATCH_SIZE", "6")
    assert Settings.load().batch.max_pairs == 6


def test_the_call_comes_before_the_environment_before_the_file_before_the_default(toml):
    path = toml("[batch]\nmax_pairs = 1\nmax_tokens = 1\nqueue_pairs = 1\n")
    environ = {"RERANKD_CONFIG": str(path), "RERANK_BATCH_SIZE": "2", "RERANKD_BATCH_MAX_TOKENS": "2"}
    settings = Settings.load(environ, batch={"max_pairs": 3})
    assert settings.batch == BatchPolicy(max_pairs=3, max_tokens=2, queue_pairs=1)
    assert settings.sources == {
        "batch.max_pairs": "call",
        "batch.max_tokens": "environment RERANKD_BATCH_MAX_TOKENS",
        "batch.queue_pairs": f"file {path}",
        "config": "environment RERANKD_CONFIG",
    }
    assert settings.config == path


def test_a_file_handed_in_comes_before_the_one_in_the_environment(toml, tmp_path):
    path = toml('log.level = "debug"\n')
    settings = Settings.load({"RERANKD_CONFIG": str(tmp_path / "absent.toml")}, file=path)
    assert settings.log.level == "debug"
    assert settings.config == path
    assert settings.sources["config"] == "call"


def test_a_file_may_set_everything_by_section(toml, tmp_path):
    settings = Settings.load(
        {},
        file=toml(
            'enabled = false\ndata_dir = "data"\napi_key = "k"\n'
            "[rerank]\nbudget_ms = 100\n[model]\ndownload = false\n"
            '[flag]\nfile = "/etc/flag.json"\nmode = "shadow"\n'
        ),
    )
    assert not settings.enabled
    assert settings.data_dir == tmp_path / "data"  # counted from the file, not from wherever one stands
    assert settings.api_key == "k"
    assert settings.rerank.budget_ms == 100.0
    assert not settings.model.download
    assert settings.flag.file == Path("/etc/flag.json")
    assert settings.flag.mode == "shadow"


@pytest.mark.parametrize(
    "overrides",
    [
        {"batch": BatchPolicy(max_pairs=4)},
        {"batch": {"max_pairs": 4}},
        {"batch.max_pairs": 4},
        {"batch.max_pairs": "4"},
    ],
)
def test_a_call_names_a_policy_a_part_of_one_or_one_setting(overrides):
    assert Settings.load({}, **overrides).batch == BatchPolicy(max_pairs=4)


def test_a_whole_policy_in_a_call_leaves_nothing_of_it_to_the_environment():
    assert Settings.load({"RERANK_BATCH_SIZE": "5"}, batch=BatchPolicy()).batch.max_pairs == 32


def test_none_in_a_call_says_nothing():
    settings = Settings.load({"DEVICE": "cpu"}, batch=None, data_dir=None, **{"model.device": None})
    assert settings.model.device == "cpu"
    assert set(settings.sources) == {"model.device"}


def test_settings_can_be_sent_to_another_process():
    settings = Settings.load({"RERANKD_API_KEY": "k", "RERANKD_TYPO": "1"})
    again = pickle.loads(pickle.dumps(settings))
    assert again == settings
    assert again.sources == settings.sources


# -- refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"RERANK_BATCH_SIZE": "many"}, "RERANK_BATCH_SIZE: must be a whole number, got 'many'"),
        ({"RERANK_BATCH_SIZE": "0"}, "RERANK_BATCH_SIZE: must be a whole number at least 1, got 0"),
        (
            {"RERANKD_BATCH_MAX_PAIRS": "0"},
            "RERANKD_BATCH_MAX_PAIRS: must be a whole number at least 1, got 0",
        ),
        ({"RERANK_ENABLED": "perhaps"}, "RERANK_ENABLED: must be true or false, got 'perhaps'"),
        ({"RERANK_CIRCUIT_MS": "nan"}, "RERANK_CIRCUIT_MS: must be a number, got 'nan'"),
        ({"RERANK_CIRCUIT_MS": "-1"}, "RERANK_CIRCUIT_MS: must be a number at least 0, got -1.0"),
        (
            {"RERANKD_LOG_LEVEL": "loud"},
            "RERANKD_LOG_LEVEL: must be one of debug, info, warning, error, got 'loud'",
        ),
        ({"RERANKD_FLAG_PERCENT": "101"}, "RERANKD_FLAG_PERCENT: must be a number from 0 to 100, got 101.0"),
        ({"DEVICE": "tpu"}, "DEVICE: must be cpu, cuda, cuda:N or empty, got 'tpu'"),
        (
            {"RERANKD_BREAKER_OPEN_MS": "5000"},
            "breaker.open_max_ms: must be at least open_ms (5000.0), got 2000.0, its default; "
            "set here: RERANKD_BREAKER_OPEN_MS",
        ),
        (
            {"RERANK_BATCH_SIZE": "4", "RERANKD_BATCH_MAX_PAIRS": "5"},
            "RERANK_BATCH_SIZE and RERANKD_BATCH_MAX_PAIRS are the same setting and differ: unset one",
        ),
    ],
)
def test_a_wrong_variable_is_named_with_the_value_seen_and_what_is_allowed(environ, message):
    assert refused(environ) == message


def test_two_names_of_a_setting_may_both_be_set_to_the_same_value():
    environ = {"RERANK_BATCH_SIZE": "4", "RERANKD_BATCH_MAX_PAIRS": "4"}
    assert Settings.load(environ).sources == {"batch.max_pairs": "environment RERANK_BATCH_SIZE"}


def test_a_wrong_value_in_a_file_is_named_with_the_file(toml):
    path = toml("[batch]\nmax_pairs = 0\n")
    assert refused({}, file=path) == f"{path}: batch.max_pairs: must be a whole number at least 1, got 0"
    path = toml('[batch]\nmax_pairs = "4"\n')
    assert refused({}, file=path) == f"{path}: batch.max_pairs: must be a whole number, got '4'"
    path = toml("batch = 4\n")
    assert refused({}, file=path) == f"{path}: batch: must be a table of settings, got int"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"batch": {"max_pairs": 0}}, "batch.max_pairs: must be a whole number at least 1, got 0"),
        ({"batch.max_pairs": "x"}, "batch.max_pairs: must be a whole number, got 'x'"),
        ({"batch.max_pairs": 1.5}, "batch.max_pairs: must be a whole number, got 1.5"),
        ({"batch": 4}, "batch: must be a table of settings, got int"),
        ({"bach.max_pairs": 4}, "bach.max_pairs: is not a setting; did you mean batch.max_pairs?"),
        ({"zzzzzz": 4}, "zzzzzz: is not a setting"),
        ({"config": "x.toml"}, "config: is not a setting"),
    ],
)
def test_a_wrong_call_is_refused(overrides, message):
    assert refused({}, **overrides).startswith(message)


def test_a_policy_s_complaint_about_several_fields_names_all_that_was_set():
    @dataclasses.dataclass
    class Strange:
        budget_ms: int = 1
        target_ms: int = 1

        def __post_init__(self):
            raise ConfigError("a and b do not go together")

    from rerankd.settings.sources import Given, made

    with pytest.raises(ConfigError, match=r"^X_A, X_B: a and b do not go together$"):
        made(
            Strange,
            "rerank",
            {"rerank.budget_ms": Given(1, "X_A", ""), "rerank.target_ms": Given(1, "X_B", "")},
            setting_fields(),
        )


def test_a_file_that_cannot_be_read_is_named_with_how_it_was_given(tmp_path):
    path = tmp_path / "absent.toml"
    assert refused({}, file=path) == f"settings file: {path} cannot be read: No such file or directory"
    assert refused({"RERANKD_CONFIG": str(path)}).startswith(f"RERANKD_CONFIG: {path} cannot be read")


def test_a_file_that_is_no_toml_is_refused_by_place_without_repeating_it(toml):
    path = toml(f"[batch]\nmax_pairs = {CANARY}\n")
    message = refused({}, file=path)
    assert message.startswith(f"settings file: {path} is not valid TOML (at line 2, column ")
    assert CANARY not in message
    path.write_bytes(b"\xff\xfe")
    assert refused({}, file=path) == f"settings file: {path} is not valid TOML"


def test_a_secret_appears_in_no_error_repr_or_table(toml):
    settings = Settings.load({"RERANKD_API_KEY": CANARY})
    assert settings.api_key == CANARY
    shown = [repr(settings), str(settings), str(list(describe(settings))), repr(settings.sources)]
    shown.append(refused({"RERANKD_API_KEY": CANARY, "RERANK_BATCH_SIZE": "0"}))
    shown.append(refused({}, file=toml(f'api_key = ["{CANARY}"]\n')))
    shown.append(refused({}, api_key=[CANARY]))
    assert CANARY not in "".join(shown)
    assert "<secret>" in repr(settings)


# -- what is no setting -----------------------------------------------------------------------------------


def test_an_unknown_variable_or_key_is_collected_with_the_nearest_known_name(toml):
    path = toml('config = "x"\nbugdet = 1\n[batch]\nmax_pair = 1\n[absent]\nx = 1\n')
    environ = {"RERANKD_BATCH_MAXPAIRS": CANARY, "RERANKD_QQQQ_ZZZZZZZZZ": "1", "OTHER": "1", "RERANK_X": "1"}
    settings = Settings.load(environ, file=path)
    assert {key.name: key.nearest for key in settings.unknown} == {
        "RERANKD_BATCH_MAXPAIRS": "RERANKD_BATCH_MAX_PAIRS",
        "RERANKD_QQQQ_ZZZZZZZZZ": None,
        "config": None,
        "bugdet": None,
        "batch.max_pair": "batch.max_pairs",
        "absent.x": None,
    }
    assert settings.unknown == unknown_keys(environ, file=path)
    assert settings.batch == BatchPolicy()


def test_a_service_refuses_to_start_with_unknown_keys_and_says_what_was_meant():
    refuse_unknown(Settings.load({}))
    settings = Settings.load({"RERANKD_FLAG_FIEL": CANARY, "RERANKD_LOG_LEVLE": "1"})
    with pytest.raises(ConfigError) as caught:
        refuse_unknown(settings)
    assert str(caught.value) == (
        "RERANKD_FLAG_FIEL (environment) is not a setting; did you mean RERANKD_FLAG_FILE?; "
        "RERANKD_LOG_LEVLE (environment) is not a setting; did you mean RERANKD_LOG_LEVEL?"
    )


def test_a_library_warns_of_unknown_keys_at_its_caller_s_line():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_unknown(Settings.load({}))
    with pytest.warns(ConfigWarning, match="RERANKD_QQQQ_ZZZ \\(environment\\) is not a setting$") as caught:
        warn_unknown(Settings.load({"RERANKD_QQQQ_ZZZ": CANARY}), stacklevel=1)
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RERANKD_PORT", "tcp://10.0.0.1:8080"),
        ("RERANKD_PORT", "8080"),
        ("RERANKD_SERVICE_HOST", "10.0.0.1"),
        ("RERANKD_SERVICE_PORT", "8080"),
        ("RERANKD_SERVICE_PORT_HTTP", "8080"),
        ("RERANKD_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("RERANKD_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("RERANKD_PORT_8080_TCP_PORT", "8080"),
        ("RERANKD_PORT_8080_TCP_PROTO", "tcp"),
        ("RERANKD_PORT_53_UDP", "udp://10.0.0.1:53"),
        ("RERANKD_CANARY_SERVICE_HOST", "10.0.0.1"),
        ("RERANKD_CANARY_SERVICE_PORT_METRICS", "9090"),
        ("RERANKD_CANARY_PORT", "tcp://10.0.0.1:8080"),
        ("RERANKD_CANARY_PORT_8080_TCP_ADDR", "10.0.0.1"),
    ],
)
def test_what_kubernetes_adds_for_a_service_of_our_name_is_nobody_s_mistake(name, value):
    assert unknown_keys({name: value}) == ()


@pytest.mark.parametrize(
    "name", ["RERANKD_HTTP_PORT", "RERANKD_PORTS", "RERANKD_PORT_X", "RERANKD_SERVICE_NAME"]
)
def test_what_only_resembles_that_is_still_unknown(name):
    assert [key.name for key in unknown_keys({name: "8080"})] == [name]


def test_no_setting_is_called_as_kubernetes_calls_a_service():
    names = [name for each in setting_fields().values() for name in (each.env, *each.aliases)]
    from rerankd.settings.unknown import _is_service_link

    # only a service called rerankd-http-listen could be taken for RERANKD_HTTP_LISTEN_PORT
    assert not [name for name in names if _is_service_link(name, "8080")]
    assert not [name for name in names if name.endswith("_PORT") and not name.endswith("_LISTEN_PORT")]


def test_no_two_settings_share_a_name():
    names = [name for each in setting_fields().values() for name in (each.env, *each.aliases)]
    assert len(names) == len(set(names))
    assert set(SPECIAL_NAMES) <= set(setting_fields())


# -- tables -----------------------------------------------------------------------------------------------


def test_every_setting_is_described_with_its_meaning():
    for each in describe():
        assert each.doc, f"{each.name} has no string below its field"
        assert each.allowed
        assert each.type
        assert each.value == each.default
        assert each.source == "default"


def test_the_description_for_the_docs_does_not_depend_on_the_machine():
    described = {each.name: each for each in describe()}
    assert described["data_dir"].default == "the user's data folder"
    assert not [
        each for each in described.values() if isinstance(each.default, str) and each.default[:1] == "/"
    ]


def test_what_was_set_is_described_with_where_it_was_set():
    settings = Settings.load({"RERANK_BATCH_SIZE": "5", "RERANKD_DATA_DIR": "/d"}, **{"log.format": "json"})
    described = {each.name: each for each in describe(settings)}
    pairs = described["batch.max_pairs"]
    assert (pairs.env, pairs.aliases) == ("RERANK_BATCH_SIZE", ("RERANKD_BATCH_MAX_PAIRS",))
    assert (pairs.value, pairs.default, pairs.source) == (5, 32, "environment RERANK_BATCH_SIZE")
    assert (pairs.type, pairs.unit) == ("int", "pairs")
    assert described["data_dir"].value == "/d"
    assert described["log.format"].source == "call"
    assert described["log.level"].source == "default"
    assert described["rerank.budget_ms"].unit == "ms"


# -- the data folder --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "platform", "root", "folder"),
    [
        ({"HOME": "/home/ada"}, "linux", False, "/home/ada/.local/share/rerankd"),
        ({"HOME": "/home/ada", "XDG_DATA_HOME": "/shared"}, "linux", False, "/shared/rerankd"),
        ({"HOME": "/home/ada", "XDG_DATA_HOME": "rel"}, "linux", False, "/home/ada/.local/share/rerankd"),
        ({"HOME": "/home/ada", "XDG_DATA_HOME": "/shared"}, "linux", True, "/var/lib/rerankd"),
        ({"HOME": "/Users/ada"}, "darwin", False, "/Users/ada/Library/Application Support/rerankd"),
        ({"LOCALAPPDATA": "/c/local"}, "win32", False, "/c/local/rerankd"),
    ],
)
def test_data_live_where_the_system_keeps_them(environ, platform, root, folder):
    assert default_data_dir(environ, platform=platform, root=root) == Path(folder)


def test_on_windows_without_its_variable_data_live_below_the_home_folder():
    assert default_data_dir({}, platform="win32").parts[-3:] == ("AppData", "Local", "rerankd")


def test_a_user_without_a_home_gets_the_system_s_folder(monkeypatch):
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert default_data_dir({}, platform="linux", root=False) == Path("/var/lib/rerankd")


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="this system has no root")
def test_root_is_told_from_others_by_the_process(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_data_dir({"HOME": "/root"}, platform="linux") == Path("/var/lib/rerankd")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert default_data_dir({"HOME": "/home/ada"}, platform="linux") == Path("/home/ada/.local/share/rerankd")


# -- round trips ------------------------------------------------------------------------------------------

VALUES = {
    "enabled": st.booleans(),
    "rerank.budget_ms": st.floats(0, 1e9),
    "rerank.on_deadline": st.sampled_from(["partial", "retrieval"]),
    "batch.max_pairs": st.integers(1, 10**9),
    "flag.percent": st.floats(0, 100),
    "flag.file": st.sampled_from(["/a", "/b c/ü.json"]).map(Path),
    "log.format": st.sampled_from(["text", "json"]),
    "model.model": st.from_regex(r"[a-z]{1,8}/[A-Za-z0-9._-]{1,20}", fullmatch=True),
    "api_key": st.from_regex(r"[!-~]{1,30}", fullmatch=True).map(Secret),
}


@given(st.fixed_dictionaries({}, optional=VALUES))
def test_what_is_written_into_the_environment_or_a_call_is_what_is_loaded(chosen):
    fields = setting_fields()
    environ = {fields[name].env: str(value) for name, value in chosen.items()}
    from_environ, from_call = Settings.load(environ), Settings.load({}, **chosen)
    assert from_environ == from_call
    described = {each.name: each for each in describe(from_environ)}
    for name, value in chosen.items():
        assert described[name].source == f"environment {fields[name].env}"
        section, _, key = name.rpartition(".")
        assert getattr(getattr(from_environ, section) if section else from_environ, key) == value
    assert set(from_environ.sources) == set(chosen)


def test_a_policy_that_somebody_adds_a_field_to_needs_nothing_here():
    """The settings name no field of a policy, but for the variables that have always had other names."""
    declared = {f"breaker.{each.name}" for each in dataclasses.fields(BreakerPolicy)}
    assert declared == {name for name in setting_fields() if name.startswith("breaker.")}


def test_importing_the_settings_imports_nothing_heavy():
    heavy = "onnxruntime numpy tokenizers huggingface_hub prometheus_client typer rich openfeature torch"
    code = f"import sys, rerankd.settings; print(sorted(set(sys.modules) & set('{heavy}'.split())))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
