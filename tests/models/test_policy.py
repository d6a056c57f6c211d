"""A model policy that could not work is refused when it is made."""

import pytest

from rerankd.errors import ConfigError
from rerankd.models.policy import ModelPolicy


def test_the_default_is_the_embedded_model_wherever_it_may_run():
    assert ModelPolicy().model == "large"
    assert ModelPolicy().device == ""


@pytest.mark.parametrize("device", ["", "cpu", "cuda", "cuda:0", "cuda:11"])
def test_device_names_are_taken(device):
    assert ModelPolicy(device=device).device == device


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("device", "gpu"),
        ("device", "cuda:"),
        ("device", "CPU"),
        ("model", ""),
        ("model", "  "),
        ("model", None),
        ("revision", "a b"),
        ("file", "../model.onnx"),
        ("file", "/etc/model.onnx"),
        ("file", "model.bin"),
        ("max_tokens", -1),
        ("max_tokens", 3),
        ("retry_ms", 0),
        ("retry_max_ms", 1),
    ],
)
def test_a_wrong_value_is_refused_by_name_and_shown(field, value):
    with pytest.raises(ConfigError, match=f"ModelPolicy.{field}") as caught:
        ModelPolicy(**{field: value})
    assert repr(value) in str(caught.value)
