"""The text of an exported document, which is made in pieces."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from meshport_registry.exports_api import json_text

FORMS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=30,
)


@given(FORMS)
def test_the_pieces_are_the_text_of_the_whole(form: object) -> None:
    """The text is that of one call of the json module, whatever the document nests."""
    whole = json.dumps(form, ensure_ascii=False, separators=(",", ":"))
    assert json_text(form).decode() == whole
