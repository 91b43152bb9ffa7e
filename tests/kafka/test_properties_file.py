"""Java's format of properties files, by the examples and the rules of `java.util.Properties.load`."""

from __future__ import annotations

import pytest

from meshport.kafka.properties_file import read_properties


@pytest.mark.parametrize(
    ("text", "properties"),
    [
        ("Truth = Beauty\n", {"Truth": "Beauty"}),
        (" Truth:Beauty", {"Truth": "Beauty"}),
        ("Truth                    :Beauty", {"Truth": "Beauty"}),
        (
            "fruits                           apple, banana, pear, \\\n"
            "                                 cantaloupe, watermelon, \\\n"
            "                                 kiwi, mango",
            {"fruits": "apple, banana, pear, cantaloupe, watermelon, kiwi, mango"},
        ),
        ("cheeses", {"cheeses": ""}),
        ("empty=\nnext=1", {"empty": "", "next": "1"}),
        ("# comment\n! comment\n   # comment\n\n \t\nkey=value # no comment", {"key": "value # no comment"}),
        ("# a comment does not go on \\\nkey=value", {"key": "value"}),
        ("key=a\\\n# no comment", {"key": "a# no comment"}),
        ("key=two\\\\\nnext=1", {"key": "two\\", "next": "1"}),
        ("key=three\\\\\\\n  on", {"key": "three\\on"}),
        ("a\\ b\\=c\\:d=e", {"a b=c:d": "e"}),
        ("key=a=b:c", {"key": "a=b:c"}),
        ("key = = b", {"key": "= b"}),
        ("key=\\tx\\ny\\q\\\\", {"key": "\tx\nyq\\"}),
        ("key=\\u00e9\\uD83D\\uDE00", {"key": "é\N{GRINNING FACE}"}),
        ("key=trailing  \r\nnext=1\rlast=2", {"key": "trailing  ", "next": "1", "last": "2"}),
        ("\ufeffkey=value", {"key": "value"}),
        ("key=ends\\", {"key": "ends"}),
        ("key=1\nkey=2", {"key": "2"}),
        ("", {}),
    ],
)
def test_a_file_is_read_as_java_reads_it(text: str, properties: dict[str, str]) -> None:
    """Names, values, comments, escapes and continued lines are those of `java.util.Properties`."""
    assert {each.name: each.value for each in read_properties(text)} == properties


def test_a_property_has_the_number_of_its_first_line() -> None:
    """A continued line counts where it begins; the representation has no value, which may be a secret."""
    found = list(read_properties("# comment\n\na=1\nb=x\\\n  y\nc=3\n"))
    assert [(each.number, each.name) for each in found] == [(3, "a"), (4, "b"), (6, "c")]
    assert "xy" not in repr(found)
