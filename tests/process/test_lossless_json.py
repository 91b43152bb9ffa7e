"""The JSON form of records and state: every value that Avro has survives exactly."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshport.errors import ProcessError
from meshport.process.logic import lossless_json


def unfolded(value: Any) -> Any:
    """Return a time without `fold`, which no Avro value has."""
    return value.replace(fold=0)


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.datetimes(timezones=st.just(UTC)).map(unfolded)
    | st.datetimes().map(unfolded)
    | st.dates()
    | st.times().map(unfolded)
    | st.timedeltas()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.uuids()
)
keys = st.text() | st.sampled_from(["$datetime", "$$datetime", "$bytes", "$", "$$", "$x"])
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)


@given(values)
def test_round_trip(value: Any) -> None:
    """A value with any keys is read back equal, types included, and is written to the same text again."""
    text = lossless_json.dumps(value)
    found = lossless_json.loads(text)
    assert found == value
    assert repr(found) == repr(value)
    assert lossless_json.dumps(found) == text


def test_not_finite() -> None:
    """NaN and infinities survive."""
    assert math.isnan(lossless_json.loads(lossless_json.dumps(math.nan)))
    assert lossless_json.loads(lossless_json.dumps([math.inf, -math.inf])) == [math.inf, -math.inf]


@pytest.mark.parametrize("value", [{1, 2}, object(), {"a": lambda: 1}, {(1, 2): 3}])
def test_no_plain_data(value: Any) -> None:
    """A value that is no plain data is refused, not converted."""
    with pytest.raises(ProcessError, match="no plain data"):
        lossless_json.dumps(value)


@pytest.mark.parametrize("text", ["{", '{"$datetime":"noon"}', '{"$uuid":3}', '{"$bytes":"zz"}'])
def test_damaged_text(text: str) -> None:
    """Text that `dumps` cannot have written is refused by ProcessError."""
    with pytest.raises(ProcessError, match="no plain form"):
        lossless_json.loads(text)


def test_readable() -> None:
    """The text is readable JSON, so that a changelog can be read with any Kafka tool."""
    assert lossless_json.dumps({"at": datetime(2026, 3, 1, tzinfo=UTC), "id": UUID(int=1)}) == (
        '{"at":{"$datetime":"2026-03-01T00:00:00+00:00"},"id":{"$uuid":"00000000000000000000000000000001"}}'
    )
