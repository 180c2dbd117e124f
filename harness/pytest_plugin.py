"""pytest fixtures for tests on labs.

A test names the topology it needs, `@pytest.mark.topology("demo")`, and takes the fixture `lab` (or `node`). Tests that
name the same topology share one lab, which is made for the run and removed after it, or is the running one that
`--lab NAME` names. A test leaves the lab as it found it; whatever it cut or impaired is given back in any case.

`@pytest.mark.topology("demo", orders=False)` asks for a lab where nothing is ordered yet: such tests come first, may
order and end what they like, and the topology's orders are placed before the others run. With `engine="containerlab"`
that engine makes the lab, whatever `--lab-engine` says.

What is left to chance, seeds of faults and the fixture `chance`, is drawn for each test from one seed of the run:
`--lab-seed` repeats it.

With pytest-xdist (`-n 2 --dist loadgroup`) each worker makes labs of its own; the tests that share a lab go to one
worker together.
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import allure
import pytest
from allure_commons import plugin_manager

from harness import lab as labs
from harness import topology as topologies
from harness.build.progress import Lines
from harness.engine.engines import ENGINES, NATIVE
from harness.evidence import difference, failure, passed, wreck
from harness.evidence.difference import Baseline
from harness.evidence.failure import Exhibit
from harness.evidence.witness import Witness
from harness.host import HOST_KINDS
from harness.lab import Lab, Node
from harness.lab.lifecycle import Timings
from harness.lab.ready import wait_until_ready
from harness.topology import Topology
from harness.wait import DeadlineError

_FAILED = pytest.StashKey[bool]()
_WITNESS = pytest.StashKey[Witness]()
_ATTACHED = pytest.StashKey[passed.Attached]()
_HEAL_SECONDS = 60
_SEED = "elasticlab_seed"
_PREFIX = "test-"
_LOOK = pytest.StashKey[Future[Baseline]]()
_TOLD = "told"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("elasticlab")
    group.addoption("--lab", metavar="NAME", help="run on this running lab instead of making one per topology")
    group.addoption("--lab-host", choices=HOST_KINDS, help="kind of lab host (default: this machine's kernel decides)")
    group.addoption("--lab-engine", choices=ENGINES, help="what makes the nodes (default: native)")
    group.addoption(
        "--lab-seed", type=int, metavar="N", help="repeat what is left to chance (default: drawn, and told)"
    )


def pytest_configure(config: pytest.Config) -> None:
    text = (
        "topology(name, orders=True, engine=None): the topology whose running lab the test shares, "
        "with its orders placed or not, and made by that engine"
    )
    config.addinivalue_line("markers", text)
    if config.option.lab_seed is None:
        config.option.lab_seed = getattr(config, "workerinput", {}).get(_SEED) or random.getrandbits(32)
    if getattr(config.option, "allure_report_dir", None):
        attached = config.stash[_ATTACHED] = passed.Attached()
        plugin_manager.register(attached)


def pytest_unconfigure(config: pytest.Config) -> None:
    if attached := config.stash.get(_ATTACHED, None):
        plugin_manager.unregister(attached)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """pytest-xdist's: a run has one seed, however many workers there are."""
    node.workerinput[_SEED] = node.config.option.lab_seed


def pytest_sessionstart(session: pytest.Session) -> None:
    """A lab that runs already is looked at while tests are collected: none of them is in its way yet."""
    option = session.config.option
    shares = getattr(option, "dist", "no") != "no" and not hasattr(session.config, "workerinput")
    if option.lab and not option.collectonly and not shares:
        session.config.stash[_LOOK] = difference.begun(option.lab)


def pytest_report_header(config: pytest.Config) -> str:
    return f"lab seed: {config.option.lab_seed}"


def _chance(request: pytest.FixtureRequest, what: str) -> random.Random:
    """Of one test, whatever else runs."""
    return random.Random(f"{request.config.option.lab_seed} {what} {request.node.nodeid}")  # noqa: S311 (see Lab.chance)


def _sweep() -> None:
    """Remove the labs of test runs that were killed: their names end in the process id of their run."""
    for place in labs.known_labs():
        owner = place.name.rpartition("-")[2]
        if place.name.startswith(_PREFIX) and owner.isdigit() and not Path("/proc", owner).exists():
            with contextlib.suppress(labs.LabError):  # another run sweeps it at this moment
                labs.down(place.name)


@contextlib.contextmanager
def _wreck_told(name: str) -> Iterator[None]:
    """A lab that does not come up is looked at for the report of the test that asked for it."""
    begun = time.time()
    try:
        yield
    except Exception as error:
        failure.attach(failure.guarded("the lab", functools.partial(wreck.look, name, begun, error)), [], [])
        raise


class LabManager:
    """The lab of this pytest process: one at a time, kept while consecutive tests want the same topology."""

    def __init__(self, config: pytest.Config) -> None:
        self._reuse: str | None = config.getoption("--lab")
        self._host: str | None = config.getoption("--lab-host")
        self._engine: str = config.getoption("--lab-engine") or NATIVE
        self._lab: Lab | None = None
        self._topology: Topology | None = None
        self._loaded = functools.cache(topologies.load)
        self._ordered = True
        self._broken = ""
        self._common: passed.Common | None = None
        self._look = config.stash.get(_LOOK, None)
        self.before: Callable[[], Baseline] = dict
        """The lab as it was when it was ready."""

    def get(self, name: str, *, orders: bool = True, engine: str | None = None) -> Lab:
        wanted, asked = self._loaded(name), engine
        engine = asked or (self._lab.record.engine if self._reuse and self._lab else self._engine)
        if self._lab is not None and self._is(wanted, engine):
            if self._broken:
                pytest.fail(f"the lab is broken since {self._broken}; nothing that runs on it now would be the truth")
            if orders and not self._ordered:
                with _wreck_told(self._lab.name):
                    self._up(wanted, self._lab.name, engine, orders=True)
            self._ordered = orders
            return self._lab
        self.close()
        if self._reuse:
            self._lab = labs.attach(self._reuse)
            look = self._look or difference.begun(self._reuse)
            self._lab.before_use = self.before = look.result
            if self._lab.record.topology != str(wanted.path):
                pytest.skip(f"lab {self._reuse} runs another topology than {name}")
            if asked and self._lab.record.engine != asked:
                pytest.skip(f"lab {self._reuse} was not made by the {asked} engine")
        else:
            _sweep()
            made = "" if engine == NATIVE else f"{engine[0]}-"
            own = f"{_PREFIX}{made}{wanted.name}-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}-{os.getpid()}"
            try:
                with _wreck_told(own):
                    self._lab = self._up(wanted, own, engine, orders=orders)
            except BaseException:
                if self._lab is not None:  # it is up, and did not say what it is like
                    self._lab.close()
                    self._lab = None
                with contextlib.suppress(labs.LabError):  # it failed before there was a lab
                    labs.down(own)
                raise
        self._topology, self._ordered = wanted, orders
        return self._lab

    def common(self) -> passed.Common:
        """What the reports of all tests on the lab have."""
        assert self._lab is not None
        if self._common is None or self._common.lab is not self._lab:
            self._common = passed.Common(self._lab)
        return self._common

    def _is(self, wanted: Topology, engine: str) -> bool:
        """Whether the lab at hand is what is wanted."""
        if self._lab is None or self._topology is None or self._topology.path != wanted.path:
            return False
        return self._lab.record.engine == engine

    def _up(self, wanted: Topology, name: str, engine: str, *, orders: bool) -> Lab:
        """Also of a lab that is up: it gets what it lacks."""
        if self._lab is not None:
            self._lab.close()
        self._lab = labs.up(
            wanted,
            name=name,
            host=self._host,
            engine=engine,
            orders=orders,
            progress=Lines(),
            timings=Timings(),
        )
        before = difference.taken(self._lab)
        self.before = lambda: before
        return self._lab

    def check(self, after: str) -> None:
        """After a failure: does the lab hold what it promises, or would the next tests fail for this one's reason?"""
        if self._lab is None or self._topology is None:
            return
        try:
            self._lab.clear_faults()
            for name, state in self._lab.engine.states().items():
                if not state.running:
                    self._lab[name].power.on()
            wait_until_ready(self._lab.agent, self._topology, _HEAL_SECONDS, ordered=self._ordered)
        except (DeadlineError, RuntimeError, ConnectionError) as error:
            self._broken = f"{after} ({error})"

    def close(self) -> None:
        if self._reuse and self._lab is not None and self._topology is not None and not self._ordered:
            # It is left as it was found.
            self._up(self._topology, self._lab.name, self._lab.record.engine, orders=True)
        lab, self._lab, self._topology, self._broken = self._lab, None, None, ""
        if lab is None:
            return
        lab.close()
        if not self._reuse:
            left = labs.down(lab.name)
            assert not left, f"lab {lab.name} left behind: {left}"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one topology run one after the other, so that each lab is made once; those without orders first."""
    order: dict[str, int] = {}

    def rank(item: pytest.Item) -> tuple[int, bool]:
        marker = item.get_closest_marker("topology")
        if marker is None:
            return order.setdefault("", len(order)), True
        name, orders = marker.args[0], marker.kwargs.get("orders", True)
        if engine := marker.kwargs.get("engine"):
            name = f"{name} by {engine}"
        # To workers, a lab with its orders and one without are two: each is long enough to be worth one.
        item.add_marker(pytest.mark.xdist_group(name if orders else f"{name}, nothing ordered"))
        return order.setdefault(name, len(order)), orders

    items.sort(key={item: rank(item) for item in items}.__getitem__)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
        if {"lab", "chance"} & set(getattr(item, "fixturenames", ())):
            report.sections.append(("Chance", f"repeat it with --lab-seed={item.config.option.lab_seed}"))
        if call.excinfo is not None and _WITNESS in item.stash:  # before fixtures undo what they did
            item.stash[_WITNESS].failed(call.excinfo.value)
    return report


@pytest.fixture(scope="session")
def _labs(pytestconfig: pytest.Config) -> Iterator[LabManager]:
    manager = LabManager(pytestconfig)
    yield manager
    manager.close()


@pytest.fixture
def lab(request: pytest.FixtureRequest, _labs: LabManager) -> Iterator[Lab]:
    """The running lab of the topology that the test names."""
    marker = request.node.get_closest_marker("topology")
    if marker is None:
        raise pytest.UsageError(f"{request.node.nodeid} takes `lab` but names no topology: add @pytest.mark.topology")
    running = _labs.get(marker.args[0], **marker.kwargs)
    seed: int = request.config.option.lab_seed
    witness = request.node.stash[_WITNESS] = Witness(running, request.node.nodeid, _labs.before, seed)
    running.chance = _chance(request, "faults")
    running.witness = witness.see
    with witness.watching():
        yield running
    failed = request.node.stash.get(_FAILED, False)
    if attached := request.config.stash.get(_ATTACHED, None):
        for exhibit in failure.guarded("evidence", lambda: _evidence(_labs.common(), None if failed else witness)):
            attached.attach(exhibit)
    if failed:
        witness.tell()
        _labs.check(request.node.nodeid)


def _evidence(common: passed.Common, witness: Witness | None) -> list[Exhibit]:
    """What each test's report has; whoever failed has seen more."""
    if witness is None:
        return [common.picture]
    return [common.picture, *witness.passed(), *common.configurations(anew=witness.acted)]


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """For what a test draws: the same again with the same `--lab-seed`."""
    return _chance(request, "test")


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Tell what a test has measured, by a title: attached to its result, and on the terminal when all tests have run,
    whether it failed or not.
    """

    def told(title: str, text: str) -> None:
        allure.attach(text, title, allure.attachment_type.TEXT)
        request.node.user_properties.append((_TOLD, f"{title}\n\n{text}"))  # pytest-xdist's workers hand them over

    return told


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [one for outcome in ("passed", "failed") for one in terminalreporter.getreports(outcome)]
    told = [text for one in reports if one.when == "call" for key, text in one.user_properties if key == _TOLD]
    if told:
        terminalreporter.section("measured")
        terminalreporter.write_line("\n\n".join(told))


@pytest.fixture
def node(lab: Lab) -> Callable[[str], Node]:
    """Nodes of the lab by name: `node("host-1")`."""
    return lab.__getitem__
