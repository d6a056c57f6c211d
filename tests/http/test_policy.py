"""The service's limits are checked when they are set, and are settings like all others."""

import pytest

from rerankd.errors import ConfigError
from rerankd.http.policy import HttpPolicy
from rerankd.http.refusal import STATUS, Refusal
from rerankd.settings import Settings


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("listen_port", 70_000),
        ("listen_port", -1),
        ("listen_host", ""),
        ("max_body_bytes", 10),
        ("max_candidates", 0),
        ("max_json_depth", 1),
        ("max_budget_ms", 0),
        ("key_concurrency", -1),
        ("header_timeout_ms", 0),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused_with_its_name(field, value):
    with pytest.raises(ConfigError, match=f"HttpPolicy.{field}: must be"):
        HttpPolicy(**{field: value})


def test_the_defaults_are_those_of_the_documentation():
    policy = HttpPolicy()
    assert policy.max_body_bytes == 2_000_000
    assert (policy.max_candidates, policy.max_candidate_chars, policy.max_query_chars) == (
        1_000,
        32_000,
        8_000,
    )
    assert policy.max_json_depth == 8
    assert policy.listen_host == "127.0.0.1"
    assert policy.isolated


def test_every_limit_is_a_setting():
    settings = Settings.load({"RERANKD_HTTP_STRICT_MODEL": "1", "RERANKD_HTTP_ALLOWED_HOSTS": "a, b"})
    assert settings.http.strict_model
    assert settings.http.allowed_hosts == ("a", "b")


def test_a_refusal_has_the_status_of_its_kind_unless_it_names_another():
    assert Refusal("too_large", "x").status == 413
    assert Refusal("validation", "x", status=400).status == 400
    assert str(Refusal("conflict", "the flag")) == "the flag"
    assert all(400 <= status < 600 for status in STATUS.values())
