"""The plain form: every value that Avro knows survives exactly."""

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
    """A time without Python's mark for the second of two equal wall-clock times, which no Avro value has."""
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
    """What is written is read back equal, types included, whatever keys the data has; writing it again gives the same text."""
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
    """What JSON cannot hold is refused, rather than changed on the way."""
    with pytest.raises(ProcessError, match="no plain data"):
        lossless_json.dumps(value)


@pytest.mark.parametrize("text", ["{", '{"$datetime":"noon"}', '{"$uuid":3}', '{"$bytes":"zz"}'])
def test_damaged_text(text: str) -> None:
    """Text that was never written is refused with an error of ours."""
    with pytest.raises(ProcessError, match="no plain form"):
        lossless_json.loads(text)


def test_readable() -> None:
    """A person who looks into a changelog can read it."""
    assert lossless_json.dumps({"at": datetime(2026, 3, 1, tzinfo=UTC), "id": UUID(int=1)}) == (
        '{"at":{"$datetime":"2026-03-01T00:00:00+00:00"},"id":{"$uuid":"00000000000000000000000000000001"}}'
    )
