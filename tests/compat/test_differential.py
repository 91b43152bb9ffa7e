"""The gate compared with Apache's checkers and with decoded data, on generated schemas and generated edits."""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import avro.errors
import avro.schema
import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType

from meshport.codec import Codec, ResolvingDecoder
from meshport.compat import corpus
from meshport.compat.comparison import Comparison
from meshport.compat.contract import Contract
from meshport.compat.finding import Direction, Part, Severity
from meshport.compat.resolution import check
from meshport.compat.rule import Rule, Scope
from meshport.compat.rules import avro as avro_rules
from meshport.compat.samples import samples
from meshport.compat.table import rules_of
from meshport.errors import BrokerUnavailable, SchemaError
from meshport.schema import Schema, parse_schema
from meshport.schema.logical import underlying
from tests.compat.apache_java import ApacheJava, JavaVerdict
from tests.compat.generated import Author, Values
from tests.repeats import repeated, repeats
from tests.schema.test_logical import VALUES, in_record, invalid
from tests.waiting import PATIENCE_S

PAIRS = repeats(1_000, 10_000)
ROUND_TRIPS = repeats(4_000, 100_000)
GARBAGE = repeats(200, 10_000)
_AVRO = {rule.id for rule in avro_rules.RULES}
# What no reader could be safe with, and Apache's parsers let pass: our loader's own words for it.
_REFUSALS = {
    "forward reference": "no type that is known here",
    "endless record": "contains itself",
    "malformed": "is no valid Avro schema",
    "default of another type": "the default of the field",
    "branch twice": "a union has the branch",
    "name twice": "stands twice among",
    "defined twice": "is defined a second time",
}


@dataclass(frozen=True)
class Pair:
    """A reader's schema and a writer's as their author wrote them; parsed, or the reason why one was refused."""

    reader_text: str
    writer_text: str
    reader: Schema
    writer: Schema
    refusal: str = ""

    @property
    def resolves(self) -> bool:
        """Return the verdict of Meshport's resolution check."""
        return not check(self.reader, self.writer)

    def rules(self) -> frozenset[str]:
        """Return every rule of the gate that finds an error: in the comparison, by proof, or in one of the schemas by itself."""
        comparison = Comparison(self.reader, self.writer, Direction.BACKWARD)
        found = {rule.id for rule in _errors(Scope.RESOLUTION) if any(True for _ in rule.handler(comparison))}
        if not found:
            found = {rule.id for rule in _errors(Scope.PROOF) if any(True for _ in rule.handler(comparison))}
        return frozenset(found | _declared(self.reader) | _declared(self.writer))


_EMPTY = parse_schema('"null"')
_PORT = corpus.contract_of(corpus.Fixture("", "", {}).before)


def _errors(scope: Scope) -> list[Rule]:
    return [rule for rule in rules_of(scope) if rule.severity is Severity.ERROR]


def _declared(schema: Schema) -> set[str]:
    """Return the rules that find an error in a schema by itself, whatever port it belongs to."""
    contract = Contract(_PORT.product, _PORT.port, schema)
    return {
        rule.id
        for rule in _errors(Scope.DECLARATION)
        if any(each.part is Part.SCHEMA for each in rule.handler(contract))
    }


def _pair(reader_text: str, writer_text: str) -> Pair:
    try:
        return Pair(reader_text, writer_text, parse_schema(reader_text), parse_schema(writer_text))
    except SchemaError as error:
        return Pair(reader_text, writer_text, _EMPTY, _EMPTY, error.message)


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    """Schemas, each with what became of it after some random edits; read the one or the other way."""
    chance = random.Random(6)  # every rule is met within the first thousand
    author = Author(chance)
    made = []
    for _ in range(PAIRS):
        form = author.schema()
        texts = [json.dumps(form), json.dumps(author.edited(form))]
        chance.shuffle(texts)
        made.append(_pair(*texts))
    return made


@pytest.fixture(scope="module")
def found(pairs: list[Pair]) -> list[frozenset[str]]:
    """Return the rules of the gate that refuse each pair; none for a pair that was refused when it was parsed."""
    return [frozenset() if pair.refusal else pair.rules() for pair in pairs]


def _apache(reader_text: str, writer_text: str) -> str:
    """The verdict of Apache's Python checker on what the author wrote."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", avro.errors.IgnoredLogicalType)
            reader, writer = avro.schema.parse(reader_text), avro.schema.parse(writer_text)
        result = ReaderWriterCompatibilityChecker().get_compatibility(reader, writer)  # type: ignore[no-untyped-call] # avro's
    except avro.errors.AvroException:
        return "refused"
    return "compatible" if result.compatibility is SchemaCompatibilityType.compatible else "incompatible"


def _refusal(message: str) -> str:
    return next((name for name, words in _REFUSALS.items() if words in message), message)


@repeated
def test_pairs_have_the_verdict_of_apaches_python_checker_or_a_reason(
    pairs: list[Pair], found: list[frozenset[str]]
) -> None:
    """If Apache's checker for Python differs from the gate, the cause is one of its known faults, or a rule of Meshport."""
    reasons: Counter[str] = Counter()
    for pair, rules in zip(pairs, found, strict=True):
        word = _apache(pair.reader_text, pair.writer_text)
        if pair.refusal:
            reason = _refusal(pair.refusal)
            assert reason in _REFUSALS, reason
            reasons["ours refuses at load"] += 1
            continue
        # The two judgements of one kind: resolution alone.
        ours = "compatible" if pair.resolves else "incompatible"
        if word != ours:
            # It takes no "error" for a record, and compares an alias without its namespace: spared both, it says the same.
            spared = [each.text.replace('"type":"error"', '"type":"record"') for each in (pair.reader, pair.writer)]
            assert _apache(*spared) == ours, pair
            is_error = spared != [pair.reader.text, pair.writer.text]
            assert is_error or (word == "incompatible" and '"aliases"' in pair.reader_text), pair
            reasons["apache: error is no record" if is_error else "apache: unqualified alias"] += 1
            continue
        # The whole gate is never laxer than resolution, and stricter by name only.
        if word == "incompatible":
            assert rules & _AVRO, pair
            reasons["both incompatible"] += 1
        else:
            assert not rules & _AVRO, pair
            reasons["a rule of ours" if rules else "both compatible"] += 1
    assert sum(reasons.values()) == PAIRS
    assert min(reasons.values()) >= PAIRS / 200, reasons
    assert min(reasons["both compatible"], reasons["both incompatible"]) > PAIRS / 5, reasons


@repeated
def test_each_rule_that_reads_two_schemas_is_met_by_the_generated_pairs(found: list[frozenset[str]]) -> None:
    """The generated pairs contain findings of Avro's six rules, of proof by data, and of most rules of Meshport."""
    met = Counter(itertools.chain.from_iterable(found))
    ours = {rule.id for rule in (*_errors(Scope.RESOLUTION), *_errors(Scope.PROOF))}
    assert ours - met.keys() <= {"POLYSEME"}, met


@pytest.fixture(scope="module")
def java(kafka_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> ApacheJava:
    """Apache Avro's Java library."""
    try:
        return ApacheJava(kafka_cache, tmp_path_factory.mktemp("oracle"))
    except BrokerUnavailable as error:
        if os.environ.get("MESHPORT_REQUIRE_KAFKA") == "1":  # a run that requires everything has the network
            raise
        pytest.skip(f"the jars of Apache Avro are not to be had: {error.message}")


@repeated
def test_javas_library_takes_what_has_an_invalid_logical_type(java: ApacheJava) -> None:
    """Java ignores every logical type that Meshport ignores: it parses the schema, and reads the underlying type's bytes."""
    asked = []
    for form in invalid():
        bare, text = in_record(underlying(form)), in_record(form).text
        asked.append((text, text, [Codec(bare).encode({"n": VALUES[form["type"]]})]))
    assert set(java.judge(asked)) == {JavaVerdict("COMPATIBLE", "")}


def test_pairs_have_the_verdict_of_apaches_java_library(
    java: ApacheJava, pairs: list[Pair], found: list[frozenset[str]]
) -> None:
    """Resolution has Java's verdict on every pair that both parse, and Java reads what the gate reports as compatible."""
    asked = [(each.reader_text, each.writer_text, () if each.refusal else samples(each.writer)) for each in pairs]
    reasons: Counter[str] = Counter()
    for pair, rules, verdict in zip(pairs, found, java.judge(asked), strict=True):
        if pair.refusal:
            laxer = verdict.word != "REFUSED"
            reasons["Java reads what ours refuses" if laxer else "both refuse"] += 1
            assert not laxer or _refusal(pair.refusal) in _REFUSALS, pair
        elif verdict.word == "REFUSED":
            # Our loader checks the outermost JSON type of a default; the gate checks all of it.
            assert "Invalid default for field" in verdict.words, verdict
            assert rules & {"DEFAULT_MISFIT", "DEFAULT_BRANCH"}, (pair, rules)
            reasons["default of another type"] += 1
        elif verdict.word == "FAILED":
            assert "matches multiple fields in writer" in verdict.words, verdict
            assert rules, pair  # ALIAS_AMBIGUOUS, unless a name above keeps the two from meeting at all
            reasons["two fields for one"] += 1
        else:
            assert (verdict.word == "COMPATIBLE") is pair.resolves, (pair, verdict)
            if rules:
                reasons["refused by name"] += 1
            else:
                assert not verdict.words, (pair, verdict)
                reasons["read by Java too"] += 1
    assert sum(reasons.values()) == PAIRS
    assert reasons["read by Java too"] > PAIRS * 0.4, reasons


@repeated
def test_round_trips_of_pairs_that_the_gate_calls_compatible(pairs: list[Pair], found: list[frozenset[str]]) -> None:
    """Random values from the writer's codec are decoded with the reader's schema, each as a value of that schema."""
    chance = random.Random(5)
    compatible = [pair for pair, rules in zip(pairs, found, strict=True) if not pair.refusal and not rules]
    each = -(-ROUND_TRIPS // len(compatible))
    trips = 0
    for pair in compatible:
        encode = Codec(pair.writer).encode
        decode = ResolvingDecoder(pair.writer, pair.reader).decode
        again = Codec(pair.reader).encode
        for value in itertools.islice(Values(pair.writer, chance), each):
            again(decode(encode(value), 0))
            trips += 1
    assert trips >= ROUND_TRIPS


@repeated
def test_bombs_and_garbage_are_answered_in_bounds() -> None:
    """Each is refused or judged against a sound contract, both ways, by 2 million lines and with 64 MB more at most."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.compat.garbage", str(GARBAGE)],
        capture_output=True,
        text=True,
        timeout=repeats(1, 10) * PATIENCE_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr[-2000:]
    answers = json.loads(ran.stdout)
    assert answers["count"] == GARBAGE
    assert min(answers["refused"], answers["breaking"]) > GARBAGE / 10, answers
    assert answers["compatible"] > GARBAGE / 100, answers
