"""The renderings of a run: for people, scripts and CI systems."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema  # type: ignore[import-untyped]  # no stubs
import pytest
import xmlschema
from hypothesis import given
from hypothesis import strategies as st

from meshport.compat.finding import Outcome, State
from meshport.gate.evidence import Cause, Evidence, UnreadableEvent
from meshport.gate.render import RENDERINGS, document, github, junit, sarif, text
from meshport.gate.run import GateRun
from meshport.seen_readers import ReaderKind, UndeclaredReader
from tests.gate import verdicts
from tests.gate.verdicts import PLAYS, breaking, removed, settled, story, waived, waiver, warned

STORY = """\
player/plays/events@1 breaks its readers, held to FULL_TRANSITIVE against versions 3, 2, 1
  error    READER_FIELD_MISSING_DEFAULT_VALUE at duration_ms
           schemas/player/plays.events.avsc:9
           the field 'duration_ms' is gone, and readers of the earlier schema have no default for it
           breaks today's readers on new events (versions 3, 2, 1)
           do: in two steps: first give 'duration_ms' a default ("default": 0) and let the readers
               take that version, then remove it; or publish it as a new major beside this one:
               `meshport new ADDRESS --major`
           roll-out: readers deploy first, then producers
  waived   TYPE_MISMATCH at device.kind
           schemas/player/plays.events.avsc:21
           reader type: int not compatible with writer type: string
           waived until 2026-03-31 by ada (waiver 4): the only reader has moved
           "string" -> "int"
           breaks new readers on stored events and today's readers on new events (version 3)
  warning  RETENTION_SHORTENED at retention
           producers/player/plays/product.yaml:14
           retention falls from '365d' to '30d'
           "365d" -> "30d"
           do: keep `retention: 365d`
  settled  FIXED_SIZE_MISMATCH at digest
           the schema
           size 16 is not size 20
           settled: what is published breaks in this way already
  breaks payments/artist-royalties (owner royalties): reads `duration_ms`
  breaks recommendations/related-artists (owner discovery): reads everything; 4 others whole

artists/labels/current@1 is new: there is nothing to compare it with, held to FULL
player/quality/events@2 is compatible, held to FULL against version 2
note: offline: waivers and readers of other projects are not known
against git main (3f2c1ab)
1 of 8 contracts breaks its readers; 5 unchanged, 1 compatible, 1 new, 1 warning"""

COMMANDS = """\
::error file=schemas/player/plays.events.avsc,line=9,title=READER_FIELD_MISSING_DEFAULT_VALUE at duration_ms::\
the field 'duration_ms' is gone, and readers of the earlier schema have no default for it%0A\
player/plays/events@1: breaks today's readers on new events (versions 3, 2, 1)%0A\
breaks payments/artist-royalties (royalties): reads `duration_ms`%0A\
breaks recommendations/related-artists (discovery): reads everything%0A\
do: in two steps: first give 'duration_ms' a default ("default": 0) and let the readers take that version, then remove \
it; or publish it as a new major beside this one: `meshport new ADDRESS --major`%0A\
roll-out: readers deploy first, then producers
::warning file=producers/player/plays/product.yaml,line=14,title=RETENTION_SHORTENED at retention::\
retention falls from '365d' to '30d'%0A\
player/plays/events@1: touches readers that rely on its promises%0A\
do: keep `retention: 365d`
::notice title=Meshport gate::1 of 8 contracts breaks its readers; 5 unchanged, 1 compatible, 1 new, 1 warning \
(against git main (3f2c1ab))
::notice file=schemas/player/plays.events.avsc,line=21,title=TYPE_MISMATCH at device.kind::\
reader type: int not compatible with writer type: string%0A\
player/plays/events@1: waived until 2026-03-31 by ada (waiver 4): the only reader has moved
::notice title=FIXED_SIZE_MISMATCH at digest::size 16 is not size 20%0A\
player/plays/events@1: settled: what is published breaks in this way already
::notice title=Meshport gate::offline: waivers and readers of other projects are not known"""

# What a hostile or careless schema can bring into a message: everything but lone surrogates, which UTF-8 cannot carry.
ANYTHING = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.sampled_from(
    [
        "::error::x",
        "a%0Ab",
        "%",
        "\x1b[31mred",
        "]]>",
        "<a>&amp;",
        "a\r\nb\rc",
        "\x00",
        "\ufffe",
        '"quoted"',
        "{0} {{",
        "\u2028",
    ]
)


def hostile(words: str) -> GateRun:
    """Return a run in which every text from outside is the same words."""
    findings = tuple(
        each.model_copy(
            update={"message": words, "advice": words, "path": words, "before": words, "after": {words: words}}
        )
        for each in (removed(), waived(), warned(), settled())
    )
    verdict = breaking(*findings, waivers=(waiver(reason=words or "-", approver=words or "-"),))
    return GateRun(against=words, verdicts=(verdict,), notes=(words,))


FAILING = Evidence(
    address=PLAYS,
    topic="player.plays.events.v1",
    candidate="0" * 64,
    events=300,
    failed={Cause.CANDIDATE: 1},
    failures=(
        UnreadableEvent(
            cause=Cause.CANDIDATE, topic="player.plays.events.v1", partition=0, offset=17, error="no default"
        ),
    ),
)
PROVEN = GateRun(against="the registry", verdicts=(breaking(),), evidence=(FAILING,))


class TestText:
    """For people."""

    def test_the_whole_story(self) -> None:
        """A breaking contract has path, reason, readers, advice and roll-out; one that passes takes a line."""
        assert text.render(story()) == STORY

    def test_all_is_well(self) -> None:
        """A run without findings has two lines: the source of the comparison, and the counts."""
        run = GateRun(against="git HEAD (aaaaaaa)", unchanged=7)
        assert text.render(run).splitlines() == ["against git HEAD (aaaaaaa)", "7 contracts pass; 7 unchanged"]

    def test_no_contract(self) -> None:
        """An empty project passes without a claim about contracts."""
        assert text.render(GateRun(against="x")).splitlines()[-1] == "no contract to judge"

    def test_two_that_break(self) -> None:
        """The last line counts in the plural."""
        assert text.render(GateRun("x", (breaking(removed()), breaking(removed())))).endswith(
            "2 of 2 contracts break their readers"
        )

    def test_an_unsound_newcomer_is_refused(self) -> None:
        """A new port that is unsound by itself is refused, and breaks no reader."""
        verdict = breaking(removed(), versions=(), readers=(), waivers=())
        lines = text.render(GateRun("x", (verdict,))).splitlines()
        assert lines[0] == "player/plays/events@1 is refused, held to FULL_TRANSITIVE"
        assert lines[-1] == "1 of 1 contract is refused"

    def test_every_line_fits(self) -> None:
        """No line is longer than the width, at 100 columns and at 60."""
        for width in (100, 60):
            lines = text.render(story(), width=width).splitlines()
            assert max(len(line) for line in lines if "breaks its readers; " not in line) <= width

    def test_all_waived_passes(self) -> None:
        """A contract whose only finding is waived says that it passes by waiver, until when and by whom."""
        shown = text.render(GateRun("x", (breaking(waived(), outcome=Outcome.COMPATIBLE),)))
        assert "passes by waiver" in shown
        assert "waived until 2026-03-31 by ada (waiver 4): the only reader has moved" in shown

    def test_a_waiver_that_nothing_needs(self) -> None:
        """A waiver that holds is shown even if no finding needs it."""
        shown = text.render(GateRun("x", (breaking(removed()),)))
        assert "waiver 4 holds until 2026-03-31 but nothing needs it: TYPE_MISMATCH at device.kind, by ada" in shown

    def test_unread(self) -> None:
        """A finding that no declared reader reads is marked, without advice."""
        finding = removed().model_copy(update={"state": State.UNREAD})
        shown = text.render(GateRun("x", (breaking(finding, outcome=Outcome.COMPATIBLE),)))
        assert "  unread   READER_FIELD" in shown
        assert "do:" not in shown

    def test_a_reader_that_breaks_by_the_contract(self) -> None:
        """A reader of which no field breaks is shown with the rule that breaks it."""
        reader = verdicts.reader("a/b", "c", ("cents",), ("RETENTION_SHORTENED retention",))
        shown = text.render(GateRun("x", (breaking(warned(), readers=(reader,)),)))
        assert "breaks a/b (owner c): by RETENTION_SHORTENED retention" in shown

    def test_a_long_history_is_named_by_its_ends(self) -> None:
        """Twenty consecutive versions are shown by the first and the last number."""
        shown = text.render(GateRun("x", (breaking(removed(), versions=tuple(range(20, 0, -1))),)))
        assert "against versions 20 to 1" in shown

    def test_styles_are_beside_the_words(self) -> None:
        """The text with colours has the same words as the text without."""
        styled = text.styled(story())
        assert styled.plain == STORY
        assert "bold red" in {str(span.style) for span in styled.spans}

    @given(ANYTHING)
    def test_no_control_character_reaches_a_terminal(self, words: str) -> None:
        """Whatever a schema contains, the text has printable characters and line feeds only."""
        assert text.render(hostile(words)).replace("\n", "").isprintable()


class TestUndeclared:
    """Readers that were seen and are not declared."""

    SEEN = tuple(
        UndeclaredReader(name=f"g{number}", kind=ReaderKind.GROUP, how="read", last_seen=date(2026, 3, 1))
        for number in range(12)
    )
    LINE = "also read by group 'g0' (not declared; last read 2026-03-01)"

    def test_each_form_names_them(self) -> None:
        """Text, annotations, test reports and JSON name them after the readers that are declared."""
        run = GateRun("x", (breaking(removed(), also_read_by=self.SEEN[:1]),))
        written = text.render(run).splitlines()
        assert f"  {self.LINE}" in written
        assert written.index(f"  {self.LINE}") > max(n for n, line in enumerate(written) if "breaks payments/" in line)
        assert self.LINE in github.render(run)
        assert self.LINE in junit.render(run).replace("&#39;", "'")
        (seen,) = json.loads(document.render(run))["verdicts"][0]["also_read_by"]
        assert (seen["name"], seen["kind"], seen["last_seen"]) == ("g0", "group", "2026-03-01")

    def test_many_are_counted(self) -> None:
        """Ten are named, and the others counted."""
        written = text.render(GateRun("x", (breaking(removed(), also_read_by=self.SEEN),)))
        assert written.count("also read by group") == 10
        assert "also read or asked for by 2 more that are not declared" in written


class TestJson:
    """For scripts."""

    def test_keys(self) -> None:
        """Every key is present, and each verdict is the engine's, with `passes`."""
        given_back = json.loads(document.render(story()))
        assert list(given_back) == ["passes", "against", "counts", "verdicts", "unchanged", "notes", "evidence"]
        assert given_back["passes"] is False
        assert given_back["counts"] == {"total": 8, "breaking": 1, "compatible": 1, "new": 1, "unchanged": 5}
        verdict = given_back["verdicts"][0]
        assert (verdict["passes"], verdict["address"]) == (False, "mesh://player/plays/events@1")
        assert verdict["findings"][0]["before"] == {"name": "duration_ms", "type": "long"}
        assert verdict["readers"][0]["breaks"] == ["READER_FIELD_MISSING_DEFAULT_VALUE duration_ms"]

    def test_one_line(self) -> None:
        """The document is one line, as for `--json` of every command."""
        assert "\n" not in document.render(story())

    def test_a_default_that_json_does_not_have(self) -> None:
        """NaN, a possible default in Avro, leaves the document readable."""
        finding = removed().model_copy(update={"before": {"default": [float("nan"), float("-inf")]}})
        given_back = json.loads(document.render(GateRun("x", (breaking(finding),))), parse_constant=pytest.fail)
        assert given_back["verdicts"][0]["findings"][0]["before"] == {"default": [None, None]}

    @given(ANYTHING)
    def test_words_survive(self, words: str) -> None:
        """Any text comes back unchanged."""
        finding = json.loads(document.render(hostile(words)))["verdicts"][0]["findings"][0]
        assert (finding["message"], finding["path"], finding["after"]) == (words, words, {words: words})


class TestGithub:
    """For pull requests."""

    def test_the_whole_story(self) -> None:
        """Errors come first, then warnings, then as notices the summary and findings that do not count."""
        assert github.render(story()) == COMMANDS

    @given(ANYTHING)
    def test_words_survive(self, words: str) -> None:
        """The runner reads a command for each finding, the summary and each note, with their text unchanged."""
        commands = [as_the_runner_reads(line) for line in re.split(r"\r\n|\r|\n", github.render(hostile(words)))]
        assert [level for level, _, _ in commands] == ["error", "warning", "notice", "notice", "notice", "notice"]
        _, properties, message = commands[0]
        assert properties["title"] == (f"{removed().rule} at {words}" if words else removed().rule)
        assert properties["line"] == "9"
        assert message.startswith(f"{words}\nplayer/plays/events@1: ")
        assert commands[-1][2] == words

    def test_a_file_with_odd_words(self) -> None:
        """A comma and a colon in a path do not end the property."""
        finding = removed().model_copy(update={"file": "a,b:c::d;e%.avsc"})
        line = github.render(GateRun("x", (breaking(finding),))).splitlines()[0]
        assert as_the_runner_reads(line)[1]["file"] == "a,b:c::d;e%.avsc"


class TestJunit:
    """For test reports."""

    def test_the_whole_story(self, check_junit: Callable[[str], ET.Element]) -> None:
        """A product is a suite and a port a case; only refusing findings are failures; the report is valid by Ant's schema."""
        root = check_junit(junit.render(story()))
        counted = [(each.get("name"), each.get("tests"), each.get("failures")) for each in root]
        assert counted == [("player/plays", "1", "1"), ("artists/labels", "1", "0"), ("player/quality", "1", "0")]
        (failure,) = root.iter("failure")
        assert failure.get("type") == "READER_FIELD_MISSING_DEFAULT_VALUE"
        assert failure.get("message") == removed().message
        assert "breaks payments/artist-royalties (owner royalties): reads `duration_ms`" in (failure.text or "")
        told = root[0].findtext("system-out") or ""
        assert all(label in told for label in ("waived", "warning", "settled", "note: offline"))
        assert "READER_FIELD" not in told

    def test_two_findings_of_a_port_are_one_failure(self, check_junit: Callable[[str], ET.Element]) -> None:
        """Two findings of a port are one failure, since Ant's schema allows one for each case."""
        other = removed().model_copy(update={"path": "artist_id", "message": "another one"})
        root = check_junit(junit.render(GateRun("x", (breaking(removed(), other),))))
        (failure,) = root.iter("failure")
        assert (failure.get("message") or "").endswith("(and 1 more)")
        assert "at artist_id" in (failure.text or "")

    def test_nothing_judged(self, check_junit: Callable[[str], ET.Element]) -> None:
        """A run without a verdict is a valid report without a suite."""
        assert len(check_junit(junit.render(GateRun("x", unchanged=3)))) == 0

    @given(words=ANYTHING)
    def test_words_survive(self, check_junit: Callable[[str], ET.Element], words: str) -> None:
        """Any text makes a valid report, and comes back unchanged if XML can contain it."""
        (failure,) = check_junit(junit.render(hostile(words))).iter("failure")
        message = failure.get("message") or ""
        if re.fullmatch(r"[\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*", words):
            assert message == words
        else:
            assert message.encode("unicode_escape").decode().replace("\\\\", "\\") == (
                words.encode("unicode_escape").decode().replace("\\\\", "\\")
            )

    def test_the_oracle_refuses(self, check_junit: Callable[[str], ET.Element]) -> None:
        """The schema of the tests refuses a report without a required attribute."""
        with pytest.raises(xmlschema.XMLSchemaValidationError):
            check_junit(junit.render(story()).replace('hostname="localhost"', ""))


class TestSarif:
    """For code scanning."""

    def test_the_whole_story(self, check_sarif: Callable[[str], dict[str, Any]]) -> None:
        """A finding is a result with level, location, fingerprint and readers; a waiver is a suppression; the log is valid."""
        run = check_sarif(sarif.render(story()))
        results = run["results"]
        assert [each["level"] for each in results] == ["error", "error", "warning", "note"]
        assert ["suppressions" in each for each in results] == [False, True, False, False]
        assert results[1]["suppressions"][0]["justification"].startswith("waived until 2026-03-31 by ada")
        (location,) = results[0]["locations"]
        assert location["physicalLocation"] == {
            "artifactLocation": {"uri": "schemas/player/plays.events.avsc", "uriBaseId": "%SRCROOT%"},
            "region": {"startLine": 9},
        }
        assert location["logicalLocations"][0]["fullyQualifiedName"] == "mesh://player/plays/events@1/duration_ms"
        assert "physicalLocation" not in results[3]["locations"][0]
        assert [each["address"] for each in results[0]["properties"]["readers"]] == [
            "mesh://payments/artist-royalties",
            "mesh://recommendations/related-artists",
        ]

    def test_rules(self, check_sarif: Callable[[str], dict[str, Any]]) -> None:
        """Each result points to its rule with the manual page; a rule of a newer registry has only its id."""
        unknown = removed().model_copy(update={"rule": "OF_A_LATER_RELEASE"})
        run = check_sarif(sarif.render(GateRun("x", (breaking(removed(), unknown),))))
        rules = run["tool"]["driver"]["rules"]
        assert [rules[each["ruleIndex"]]["id"] for each in run["results"]] == [removed().rule, "OF_A_LATER_RELEASE"]
        assert "Without a default there is no value" in " ".join(rules[0]["help"]["text"].split())
        assert rules[-1] == {"id": "OF_A_LATER_RELEASE"}

    def test_a_fingerprint_is_of_the_change(self, check_sarif: Callable[[str], dict[str, Any]]) -> None:
        """A fingerprint stays the same if the line moves, and differs by path."""
        moved = removed().model_copy(update={"line": 90, "message": "in other words"})
        other = removed().model_copy(update={"path": "artist_id"})
        results = check_sarif(sarif.render(GateRun("x", (breaking(removed(), moved, other),))))["results"]
        one, two, three = (each["partialFingerprints"]["ruleAddressPath/v1"] for each in results)
        assert one == two != three

    def test_braces_are_no_placeholders(self, check_sarif: Callable[[str], dict[str, Any]]) -> None:
        """Literal braces in messages are doubled, as the specification's 3.11.5 requires."""
        finding = removed().model_copy(update={"message": 'give it {"default": 0}', "advice": ""})
        (result,) = check_sarif(sarif.render(GateRun("x", (breaking(finding),))))["results"]
        assert result["message"]["text"] == 'give it {{"default": 0}}'

    def test_a_file_with_odd_words(self, check_sarif: Callable[[str], dict[str, Any]]) -> None:
        """A path is a URI reference, so other characters are percent-encoded."""
        finding = removed().model_copy(update={"file": "schemas/a b%ü.avsc"})
        (result,) = check_sarif(sarif.render(GateRun("x", (breaking(finding),))))["results"]
        physical = result["locations"][0]["physicalLocation"]
        assert physical["artifactLocation"]["uri"] == "schemas/a%20b%25%C3%BC.avsc"

    @given(words=ANYTHING)
    def test_words_survive(self, check_sarif: Callable[[str], dict[str, Any]], words: str) -> None:
        """Any text makes a valid log, and comes back unchanged."""
        first, *_ = check_sarif(sarif.render(hostile(words)))["results"]
        assert first["message"]["text"].replace("{{", "{").replace("}}", "}").startswith(words)
        assert first["properties"]["path"] == words

    def test_the_oracle_refuses(self, check_sarif: Callable[[str], dict[str, Any]]) -> None:
        """The schema of the tests refuses an unknown level."""
        with pytest.raises(jsonschema.ValidationError):
            check_sarif(sarif.render(story()).replace('"level": "warning"', '"level": "fatal"'))


class TestEvidence:
    """Proof on history in a run."""

    def test_it_refuses(self) -> None:
        """A run with stored events that only the candidate cannot read does not pass, even if every verdict does."""
        assert breaking().passes
        assert not PROVEN.passes
        assert replace(PROVEN, evidence=()).passes

    def test_every_rendering_shows_it(
        self, check_junit: Callable[[str], ET.Element], check_sarif: Callable[[str], dict[str, Any]]
    ) -> None:
        """Every rendering shows the evidence."""
        summary = "300 stored events of player.plays.events.v1: the candidate cannot read 1 of them"
        lines = text.render(PROVEN).splitlines()
        assert summary in lines
        assert any("17" in line and "no default" in line for line in lines)
        assert lines[-1].startswith("stored events cannot be read with the candidate")
        (evidence,) = json.loads(document.render(PROVEN))["evidence"]
        assert (evidence["passes"], evidence["failures"][0]["offset"]) == (False, 17)
        assert github.render(PROVEN).startswith("::error title=stored events of player/plays/events@1::" + summary)
        (failure,) = check_junit(junit.render(PROVEN)).iter("failure")
        assert failure.get("message") == summary
        (invocation,) = check_sarif(sarif.render(PROVEN))["invocations"]
        assert invocation["toolExecutionNotifications"][-1]["level"] == "error"


@pytest.mark.parametrize("name", sorted(RENDERINGS))
def test_every_format_renders(name: str) -> None:
    """Each `--format` gives a text that names the contract and does not end with an empty line."""
    shown = RENDERINGS[name](story())
    assert "plays" in shown
    assert not shown.endswith("\n")


def as_the_runner_reads(line: str) -> tuple[str, dict[str, str], str]:
    """Return a workflow command's level, properties and message, parsed as GitHub's runner does.

    The runner unescapes `%0D` and `%0A` (in properties also `%3A` and `%2C`), and `%25` last.
    """
    assert line.startswith("::")
    command, _, data = line[2:].partition("::")
    level, _, given_properties = command.partition(" ")
    properties = dict(each.split("=", 1) for each in given_properties.split(",") if each)
    return level, {name: undone(value, ":", ",") for name, value in properties.items()}, undone(data)


def undone(escaped: str, *others: str) -> str:
    """Return text without its escapes."""
    for character in ("\r", "\n", *others, "%"):
        escaped = escaped.replace(f"%{ord(character):02X}", character)
    return escaped
