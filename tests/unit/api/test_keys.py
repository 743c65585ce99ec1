"""Equal work has an equal key; anything that changes the result changes it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanodex.api.keys import canonical_json, stage_key
from nanodex.api.stages import StageName

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


def key(**changes: Any) -> str:
    arguments: dict[str, Any] = {
        "stage": StageName.TRAIN,
        "scope": "team-a",
        "parameters": {"epochs": 3},
        "upstream": {"dataset": "sha256:aa"},
        "image": "sha256:bb",
        "base_model_revision": "r1",
    } | changes
    return stage_key(arguments.pop("stage"), **arguments)


@given(st.dictionaries(st.text(max_size=4), JSON))
def test_order_of_parameters_does_not_matter(parameters: dict[str, Any]) -> None:
    turned = dict(reversed(list(parameters.items())))
    assert key(parameters=parameters) == key(parameters=turned)


@pytest.mark.parametrize(
    "change",
    [
        {"stage": StageName.EVALUATE},
        {"scope": "team-b"},
        {"parameters": {"epochs": 4}},
        {"parameters": {"epochs": "3"}},
        {"upstream": {"dataset": "sha256:ab"}},
        {"image": ""},
        {"base_model_revision": "r2"},
    ],
)
def test_each_ingredient_changes_the_key(change: dict[str, Any]) -> None:
    assert key(**change) != key()


@given(JSON)
def test_canonical_json_loses_nothing(value: Any) -> None:
    assert json.loads(canonical_json(value)) == value


def test_nan_has_no_canonical_form() -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"loss": float("nan")})
