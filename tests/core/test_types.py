import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from flywheel.types import CONDITIONS, Condition, canonical_json, digest_of, short_id

LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3), max_leaves=8
)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(max_size=4), JSON, max_size=4))
def test_identity_ignores_key_order(value):
    assert digest_of(dict(reversed(list(value.items())))) == digest_of(value)


def test_nan_has_no_identity():
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"x": float("nan")})


def test_condition_names_round_trip_and_low_sun_is_clear():
    assert [Condition.parse(c.name) for c in CONDITIONS] == list(CONDITIONS)
    assert len(CONDITIONS) == 13
    with pytest.raises(ValidationError):
        Condition.parse("purple_rain")


def test_records_refuse_unknown_fields_and_change():
    with pytest.raises(ValidationError):
        Condition(lighting="day", colour="blue")
    with pytest.raises(ValidationError):
        Condition().lighting = "night"
    assert short_id("x", {"a": 1}) == short_id("x", {"a": 1})
