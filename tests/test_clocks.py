"""No test asserts a length of time; and the search for such tests finds clocks that are planted, in every form."""

from __future__ import annotations

from pathlib import Path
from textwrap import indent

import pytest
from hypothesis import settings

from tests.clocks import refusals

TESTS = Path(__file__).parent

_BEGAN = "began = time.monotonic()\nwork()\n"
REFUSED = {
    "a difference": _BEGAN + "assert time.monotonic() - began < 5",
    "a difference on the right": _BEGAN + "assert 5 > time.monotonic() - began",
    "a lower bound": _BEGAN + "assert 0.5 <= time.monotonic() - began",
    "a variable": _BEGAN + "took = time.monotonic() - began\nassert took < 5",
    "a variable's variable": _BEGAN + "took = time.monotonic() - began\nms = took * 1000\nassert 0 < ms <= 5",
    "an annotated variable": _BEGAN + "took: float = time.monotonic() - began\nassert took < 5",
    "a walrus": _BEGAN + "assert (took := time.monotonic() - began) < 5, took",
    "two of a tuple": "began, count = time.perf_counter(), 0\nwork()\nassert time.perf_counter() - began < 5",
    "a part of an assertion": _BEGAN + "assert count == 3 and not time.monotonic() - began > 5",
    "a deadline in an assertion": "deadline = time.monotonic() + 5\nwork()\nassert time.monotonic() < deadline",
    "a deadline in a loop's assertion": "end = time.monotonic() + 5\nwhile wait():\n    assert time.monotonic() < end",
    "CPU time of the process": "began = time.process_time()\nwork()\nassert time.process_time() - began < 5",
    "CPU time of the thread": "began = time.thread_time_ns()\nwork()\nassert time.thread_time_ns() - began < 5",
    "CPU time of the kernel's count": "assert resource.getrusage(resource.RUSAGE_SELF).ru_utime < 5",
    "an import of the function": "from time import monotonic as now\nbegan = now()\nwork()\nassert now() - began < 5",
    "an import under another name": "import time as clock\nbegan = clock.time()\nwork()\nassert clock.time() - began < 5",
    "the wall clock": "began = datetime.now(UTC)\nwork()\nassert datetime.now(UTC) - began < timedelta(seconds=5)",
    "the wall clock beside a value": "assert abs(datetime.now(UTC) - event.time) < timedelta(minutes=1)",
    "a moved wall clock": "began = datetime.now(UTC)\nwork()\nassert datetime.now(UTC) < began + timedelta(seconds=5)",
    "seconds of a difference": "began = datetime.now(UTC)\nwork()\nassert (datetime.now(UTC) - began).seconds < 5",
    "total seconds": "began = datetime.now(UTC)\ntook = datetime.now(UTC) - began\nassert took.total_seconds() < 5",
    "an approximation": _BEGAN + "assert time.monotonic() - began == pytest.approx(5, abs=1)",
    "an approximated clock": _BEGAN + "assert 5 == pytest.approx(time.monotonic() - began, abs=1)",
    "math.isclose": _BEGAN + "assert math.isclose(time.monotonic() - began, 5, abs_tol=1)",
    "a ratio of clocks": _BEGAN
    + "one = time.monotonic() - began\nother = time.monotonic() - one\nassert one / other < 2",
    "a list": "took = []\nfor each in work():\n    took.append(time.monotonic() - each)\nassert sorted(took)[10] < 5",
    "a list that was assigned": "took = [time.monotonic() - each for each in work()]\nassert max(took) < 5",
    "all of some": "took = [time.monotonic() - each for each in work()]\nassert all(each < 5 for each in took)",
    "any of some": _BEGAN + "assert any(time.monotonic() - began < 5 for _ in range(3))",
    "a maximum": "longest = 0.0\nlongest = max(longest, time.monotonic() - work())\nassert longest < 5",
    "a sum": "total = 0.0\ntotal += time.monotonic() - work()\nassert total < 5",
    "a verdict": _BEGAN + "quick = time.monotonic() - began < 5\nassert quick",
    "a verdict among others": _BEGAN + "quick = time.monotonic() - began < 5\nassert right and not quick",
    "a failure": _BEGAN + "if time.monotonic() - began > 5:\n    pytest.fail('slow')",
    "an error": _BEGAN + "if time.monotonic() - began > 5:\n    raise AssertionError",
    "a failure that is the other way": _BEGAN
    + "if time.monotonic() - began < 5:\n    pass\nelse:\n    pytest.fail('slow')",
    "a length in a loop": _BEGAN + "while wait():\n    if time.monotonic() - began > 5:\n        pytest.fail('slow')",
    "an exit code": _BEGAN + "sys.exit(time.monotonic() - began > 5)",
    "a function": "def took():\n    return time.monotonic() - work()\nassert took() < 5",
    "a function that calls one": "def took():\n    return time.time() - t\ndef ms():\n    return took() * 1000\nassert ms() < 5",
    "a function's variable": "began = time.monotonic()\ndef check():\n    assert time.monotonic() - began < 5",
    "a nonlocal variable": "took = 0\ndef work():\n    nonlocal took\n    took = time.monotonic() - 1\nwork()\nassert took < 5",
    "an attribute": "class Watch:\n    def end(self):\n        self.took_s = time.time() - self.began\nassert watch.took_s < 5",
    "a property": "class Watch:\n    @property\n    def took(self):\n        return time.monotonic() - 1\nassert watch.took < 5",
    "a method": "class Watch:\n    def took(self):\n        return time.monotonic() - 1\nassert watch.took() < 5",
    "a constructor": _BEGAN + "end = Ended(took_s=time.monotonic() - began)\nassert end.took_s < 5",
    "a key": _BEGAN + "line = {'ms': time.monotonic() - began}\nassert line['ms'] < 5",
    "a key that is assigned": _BEGAN + "line['ms'] = time.monotonic() - began\nassert line['ms'] < 5",
    "the loop of asyncio": "began = asyncio.get_running_loop().time()\nassert asyncio.get_running_loop().time() - began < 5",
    "a deadline of Hypothesis": "@settings(max_examples=10, deadline=200)\ndef test(): pass",
}
ALLOWED = {
    "a deadline that ends a wait": "end = time.monotonic() + 5\nwhile time.monotonic() < end:\n    wait()\nassert found == 3",
    "a length that ends a wait": _BEGAN
    + "while time.monotonic() - began < 5 and not there():\n    wait()\nassert there()",
    "a deadline in a loop": "end = time.time() + 5\nwhile not there():\n    if time.time() > end:\n        pytest.fail()",
    "a deadline in a for loop": "end = time.monotonic() + 5\nfor _ in count():\n    if time.monotonic() > end:\n        raise E",
    "a timeout": "thread.join(5)\nassert not thread.is_alive()",
    "an event": "assert done.wait(5)",
    "what is printed": _BEGAN + "print(f'{time.monotonic() - began:.0f} s')\nassert found == 3",
    "what is in a message": _BEGAN + "assert found == 3, f'{time.monotonic() - began:.0f} s'",
    "what slows down": _BEGAN + "if time.monotonic() - began < 5:\n    wait()",
    "an order": "before = datetime.now(UTC)\nevent = work()\nassert before <= event.time <= datetime.now(UTC)",
    "a rounded order": "before = datetime.now(UTC) - timedelta(milliseconds=1)\nassert before <= event.time <= datetime.now(UTC)",
    "an order of days": "before = datetime.now(UTC).date()\nassert before <= work() <= datetime.now(UTC).date()",
    "a day from now": "day = datetime.now(UTC).date() + timedelta(days=30)\nassert run(str(day)) == 0",
    "a value of the past": "now = datetime.now(UTC)\nassert read(now - timedelta(days=1)) == []",
    "a clock of the test's own": "clock = Clock()\nwork(clock)\nassert clock.waited_s == pytest.approx(0.5)",
    "peak memory": "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\nassert grown(before) < 64",
    "no deadline of Hypothesis": "@settings(max_examples=10, deadline=None)\ndef test(): pass",
    "another key": _BEGAN + "line = {'ms': time.monotonic() - began, 'count': 3}\nassert line['count'] == 3",
}


@pytest.mark.parametrize("source", REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("place", ["module", "function"])
def test_a_planted_clock_is_refused(source: str, place: str) -> None:
    """An assertion about time is found, and it is the only one, in a module and in a function of it."""
    (found,) = refusals({"planted": _planted(source, place)}).get("planted", [None])
    assert found is not None


@pytest.mark.parametrize("source", ALLOWED.values(), ids=ALLOWED.keys())
@pytest.mark.parametrize("place", ["module", "function"])
def test_what_measures_nothing_is_allowed(source: str, place: str) -> None:
    """A deadline that ends a wait, an order of instants and a clock that is only printed are no assertions about time."""
    assert refusals({"planted": _planted(source, place)}) == {}


def test_a_clock_of_another_module_is_refused() -> None:
    """A function, an attribute and a key of another module of the suite are followed, through one more module too."""
    modules = {
        "tests.one": _planted("def took():\n    return time.monotonic() - work()\nline = {'ms': took()}", "module"),
        "tests.two": "from tests.one import took\ndef ms():\n    return 1000 * took()",
        "tests.three": "from tests.two import ms\nassert ms() < 5",
        "tests.four": "ran = run('-m', 'tests.one')\nassert json.loads(ran.stdout)['ms'] < 5",
        "tests.five": "assert json.loads(play)['ms'] < 5",
    }
    assert {name: [each.line for each in found] for name, found in refusals(modules).items()} == {
        "tests.three": [2],
        "tests.four": [2],
    }


def test_no_test_asserts_a_length_of_time() -> None:
    """The whole suite has no assertion about time; only the benchmarks have clocks."""
    modules = {
        ".".join(file.relative_to(TESTS.parent).with_suffix("").parts): file.read_text(encoding="utf-8")
        for file in sorted(TESTS.rglob("*.py"))
        if file.relative_to(TESTS).parts[0] != "bench"
    }
    assert len(modules) > 200
    assert refusals(modules) == {}


def test_hypothesis_has_no_deadline() -> None:
    """A test with examples of Hypothesis, which would fail for an example of 200 ms, fails for none."""
    assert settings.default is not None
    assert settings.default.deadline is None


def _planted(source: str, place: str) -> str:
    imports = "import asyncio, math, os, resource, sys, time\nfrom datetime import UTC, datetime, timedelta\n"
    return imports + (source if place == "module" else f"def test():\n{indent(source, '    ')}\n")
