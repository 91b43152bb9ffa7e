"""The bench of the processors: our runners do the jobs that it measures, and it notices one that does not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import pytest

from meshport.local.cluster import Cluster
from meshport.process.engines import batch
from meshport.process.engines import faust as engine
from tests.bench.processors import verify
from tests.bench.processors.mesh import Session, plan, ports
from tests.bench.processors.orders import Totals
from tests.bench.processors.schemas import JOBS, Job
from tests.bench.processors.spec import Spec
from tests.bench.processors.watch import _at, _Look

EVENTS = 2_000


@pytest.fixture(scope="module")
def session(kafka: Cluster) -> Session:
    """A session with a small input."""
    made = Session(kafka.bootstrap_servers)
    made.publish_customers()
    made.publish_orders(EVENTS)
    return made


@pytest.mark.parametrize("on", [batch, engine], ids=["batch", "faust"])
def test_our_engines_do_every_job(session: Session, tmp_path: Path, on: object) -> None:
    """Each job's outputs come to what the plain recount says, on either engine."""
    run = getattr(on, "run_processor")  # noqa: B009 - a module has no type of its own

    def done(job: Job) -> Spec:
        spec = session.spec(job, EVENTS, tmp_path)
        bound = ports(spec)
        run(plan(spec, bound), bound, until_end=True)
        return spec

    with ThreadPoolExecutor(len(JOBS)) as pool:
        for spec in pool.map(done, get_args(Job)):
            verify.check(spec, session.expected(spec.job, EVENTS))


def test_a_moment_between_two_looks_is_where_progress_puts_it() -> None:
    """Between two looks outputs and CPU time are taken to grow evenly; the moment is that of the output asked for."""
    looks = [_Look(10.0, 0, 1.0), _Look(11.0, 100, 1.0), _Look(13.0, 300, 2.0), _Look(14.0, 300, 2.0)]
    assert _at(looks, 200) == _Look(12.0, 200, 1.5)
    assert _at(looks, 300) == looks[2]


def test_wrong_outputs_are_noticed(session: Session, tmp_path: Path) -> None:
    """An output too few, or a sum that is off by one cent, is no result."""
    spec = session.spec("transform", EVENTS, tmp_path)
    bound = ports(spec)
    batch.run_processor(plan(spec, bound), bound, until_end=True)
    rows, cents = session.expected("transform", EVENTS)
    verify.check(spec, Totals(rows, cents))
    for wrong in (Totals(rows + 1, cents), Totals(rows, cents - 1)):
        with pytest.raises(verify.WrongOutputs, match="are due"):
            verify.check(spec, wrong)
