"""The locustfile: sources of orders, edits, sessions and people, as many at each moment as the scenario's shape says.

    locust -f perf/load/provisioning.py --scenario step [--lab NAME]
    locust -f perf/load/provisioning.py --scenario soak --headless --report soak.html
    locust -f perf/load/provisioning.py --master --expect-workers 2      and twice the same with --worker

Locust counts sources, which come and go with the shape. Each begins something again and again at moments that are drawn
beforehand, whatever became of what it began before (open loop), and every duration counts from the moment that was
meant. Without --lab the run starts a lab of its own and takes it down.
"""

from __future__ import annotations

import logging
import math
import shlex
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import gevent
from gevent.event import Event
from locust import LoadTestShape, User, constant, events, runners, task
from locust.env import Environment
from locust.html import get_html_report
from locust.runners import STATE_RUNNING, STATE_SPAWNING, MasterRunner, WorkerRunner

from harness.lab import Lab, attach
from perf import record
from perf.load import evidence, selftest
from perf.load.loop import Beside
from perf.load.run import Run
from perf.load.scenario import Scenario, load
from perf.load.seen import FLOOR, FLOOR_IN_FAULT, Seen
from perf.load.shapes import begins
from perf.load.sla import missed
from perf.load.target import Target, refuse_host, running, target
from perf.load.unpatched import threads_are_threads
from perf.statistics import VOID

threads_are_threads()

_NEWS, _PREPARED, _OVER = "elasticlab", "elasticlab-prepared", "elasticlab-over"
_END = "elasticlab-end"
for _name in ("httpx", "asyncssh"):  # a line for each request would be more work than the request
    logging.getLogger(_name).setLevel(logging.WARNING)
_UNHEARD = 60
"""Seconds after which Locust's workers take their master for dead."""
_MOST_PARTS = 8
"""Worker processes that share the sites."""


class Session:
    """What this process holds: its part of the run, and unless it is a worker all of what was seen."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.options: Namespace = environment.parsed_options  # type: ignore[assignment]
        self.scenario: Scenario = load(self.options.scenario)
        self.seen = Seen()
        self.started = datetime.now(UTC)
        self.part: Run | None = None
        self._held = ExitStack()
        self._lab: Lab | None = None
        self._target: Target | None = None
        self._beside: Beside | None = None
        self._began = 0.0
        self._sources: dict[str, int] = {}
        self._ordered = self._prepared = 0
        self._workers_over = Event()

    @property
    def is_worker(self) -> bool:
        return isinstance(self.environment.runner, WorkerRunner)

    def open_lab(self) -> None:
        """Its own, or the one that was named; workers are told its name by their master."""
        self._lab = self._held.enter_context(running(self.options.lab))
        self._target = target(self._lab)
        self.options.lab = self._lab.name

    @property
    def age(self) -> float:
        """Seconds of load; none before all is prepared."""
        return time.monotonic() - self._began if self._began else 0.0

    # -- a test ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        runner = self.environment.runner
        self.scenario = load(self.options.scenario)  # a worker knows only now which
        # A worker that waits for what it has begun hears nothing of its master, and must not take it for dead.
        runners.MASTER_HEARTBEAT_TIMEOUT = _UNHEARD + math.ceil(3 * self.scenario.patience)
        self._beside = Beside()
        if self._target is None:
            self._beside.off(self._attach)
        assert self._lab
        assert self._target
        part = runner.worker_index if isinstance(runner, WorkerRunner) else 0
        parts = _MOST_PARTS if isinstance(runner, WorkerRunner | MasterRunner) else 1
        self.part = Run(self._lab, self._target, self.scenario, part, parts, self._tell)
        if not self.is_worker:
            self.seen.capacity = self._beside.wait(selftest.capacity())
        self._beside.wait(self.part.prepare(packets=not isinstance(runner, MasterRunner)))
        if isinstance(runner, WorkerRunner):
            runner.send_message(_PREPARED, {})
            return
        self._beside.wait(self.part.place_existing())
        self.part.seen.samples.clear()  # what came before the load is not counted
        self.environment.stats.clear_all()
        if not isinstance(runner, MasterRunner):
            self.begin_counting()

    def begin_counting(self) -> None:
        """All is prepared: the load's time begins."""
        assert self.part
        assert self._beside
        self._beside.begin(self.part.watch())
        self.started, self._began = datetime.now(UTC), time.monotonic()

    def worker_prepared(self) -> None:
        """A worker has its part ready; when all have, it begins."""
        runner = self.environment.runner
        assert isinstance(runner, MasterRunner)
        self._prepared += 1
        if self._prepared == runner.worker_count and not self._began:
            self.begin_counting()

    def worker_over(self, news: Any) -> None:
        """All that a worker began has ended; its last news."""
        self.take(news)
        self._prepared -= 1
        if not self._prepared:
            self._workers_over.set()

    def _wait_for_workers(self) -> None:
        """When a shape is over, Locust's master lets workers quit and does not wait for what they have begun."""
        runner = self.environment.runner
        assert isinstance(runner, MasterRunner)
        runner.send_message(_END, {})
        if self._prepared and not self._workers_over.wait(2 * self.scenario.patience):
            self.seen.add("worker over", 0.0, f"{self._prepared} workers have not said that they are done")

    def end(self) -> None:
        """A worker stops, unless it is about to."""
        runner = self.environment.runner
        if runner is not None and runner.state in (STATE_SPAWNING, STATE_RUNNING):
            runner.stop()

    def _attach(self) -> None:
        self._lab = self._held.enter_context(attach(self.options.lab))
        self._target = target(self._lab)

    def stop(self) -> None:
        """All that was begun has its time to end; then the lab is as it was."""
        if self.part is None or self._beside is None:
            return
        self.seen.seconds, self._began = self.age, 0.0
        self.part.stop_watching()
        runner = self.environment.runner
        if isinstance(runner, MasterRunner):
            self._wait_for_workers()
        self._beside.drain(self.scenario.patience)
        self._beside.wait(self.part.finish(sweep=not self.is_worker))
        self._beside.close()
        if isinstance(runner, WorkerRunner):
            runner.send_message(_OVER, self.news())
            return
        self.take(self.part.seen.take_news())
        self.seen.skies, self.seen.fired = self.part.seen.skies, self.part.seen.fired

    def take(self, news: Any) -> None:
        self.seen.merge(news)

    def news(self) -> Any:
        return None if self.part is None else self.part.seen.take_news()

    # -- sources -----------------------------------------------------------------------------------------------------

    def moments(self, interface: str) -> Iterator[float]:
        """When the next source of an interface begins something (time.monotonic()): each has a seed of its own."""
        number = self._sources[interface] = self._sources.get(interface, -1) + 1
        where = getattr(self.environment.runner, "worker_index", 0)
        born = time.monotonic()
        for at in begins(self.scenario.rate, f"{self.options.load_seed}/{where}/{interface}/{number}"):
            yield born + at

    def begin(self, interface: str, due: float) -> None:
        assert self.part
        assert self._beside
        self._beside.begin(self.part.begin(interface, due))

    # -- news from the other loop ------------------------------------------------------------------------------------

    def _tell(self, kind: str, what: str, took: float, error: Exception | None) -> None:
        assert self._beside
        self._beside.say(partial(self._told, kind, what, took, error))

    def _told(self, kind: str, what: str, took: float, error: Exception | None) -> None:
        if f"{kind} {what}" not in (FLOOR, FLOOR_IN_FAULT):
            self.environment.events.request.fire(
                request_type=kind, name=what, response_time=took, response_length=0, exception=error, context={}
            )
        if (kind, what) == ("order", "accepted"):
            self.count_orders(1)

    def count_orders(self, more: int) -> None:
        """Fire what is due at this number of orders; a worker only tells its master."""
        runner = self.environment.runner
        if isinstance(runner, WorkerRunner):
            runner.send_message(_NEWS, {"orders": more})
            return
        for number in range(self._ordered + 1, self._ordered + more + 1):
            for firing in self.scenario.faults:
                if firing.at == number and self.part and self._beside:
                    self._beside.begin(self.part.fire(firing))
        self._ordered += more

    # -- the end -----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Say whether what was promised was kept; write what was asked for; let go of the lab."""
        try:
            if self.part is not None and not self.is_worker:
                self._conclude()
        finally:
            self._held.close()

    def _conclude(self) -> None:
        verdicts = evidence.judged(self.scenario, self.seen)
        arguments = ["--scenario", self.options.scenario, "--load-seed", self.options.load_seed]
        command = shlex.join(["labctl", "bench", "load", *arguments])
        told = evidence.result(self.scenario, self.seen, verdicts, self.started, command, self.options.load_seed)
        if self.options.report:
            locusts = get_html_report(self.environment, show_download_link=False)
            evidence.write(Path(self.options.report), evidence.page(locusts, told, self.seen))
        if self.options.keep:
            record.save("load", told, folder=Path(self.options.keep))
        for one in verdicts:
            print(one)
        for error, times in told["failed"].items():
            print(f"failed {times} times: {error}")
        print(f"VOID: {told['void']}" if told["void"] else "the run counts")
        self.environment.process_exit_code = VOID if told["void"] else int(bool(missed(verdicts)))


_sessions: dict[int, Session] = {}


def _session(environment: Environment) -> Session:
    return _sessions[id(environment)]


class Source(User):
    """One source of one interface. Locust stops it between two beginnings; what it began goes on."""

    abstract = True
    interface: ClassVar[str]
    wait_time = constant(0)

    def on_start(self) -> None:
        self._session = _session(self.environment)
        self._moments = self._session.moments(self.interface)

    @task
    def begin(self) -> None:
        due = next(self._moments)
        gevent.sleep(max(0.0, due - time.monotonic()))
        self._session.begin(self.interface, due)


class Orders(Source):
    """Orders by TMF641, with OAuth, and packets that show whether they took effect."""

    interface = "orders"


class Restconf(Source):
    """Writes into the controller, by RESTCONF."""

    interface = "restconf"


class Netconf(Source):
    """The same, by NETCONF."""

    interface = "netconf"


class Portal(Source):
    """People at the portal."""

    interface = "portal"


class ScenarioShape(LoadTestShape):
    """The scenario's."""

    def tick(self) -> tuple[int, float] | None:
        assert self.runner
        session = _session(self.runner.environment)
        sources = session.scenario.shape.sources(session.age)
        return None if sources is None else (sources, 1000.0)


@events.init_command_line_parser.add_listener
def _options(parser: Any) -> None:
    parser.add_argument("--scenario", default="step", help="A file in perf/load/scenarios, or a path")
    parser.add_argument("--lab", default=None, help="A running lab of yours; else one is started and taken down")
    parser.add_argument("--load-seed", default="1", help="Of the moments at which things begin")
    parser.add_argument("--report", default=None, help="File for Locust's report with promises, floor and machine")
    parser.add_argument("--keep", default=None, help="Folder to keep the result in, as data")


@events.init.add_listener
def _init(environment: Environment, **_: Any) -> None:
    refuse_host(environment.host)
    environment.host = "a lab"
    session = _sessions[id(environment)] = Session(environment)
    shares = session.scenario.users
    for users in environment.user_classes:
        users.weight = shares.get(users.interface, 0) if issubclass(users, Source) else 0
    if session.is_worker:
        assert environment.runner
        environment.runner.register_message(_END, lambda environment, msg, **_: session.end(), concurrent=True)
    else:
        environment.user_classes = [users for users in environment.user_classes if users.weight]
        session.open_lab()
        assert environment.runner
        count = session.count_orders
        if isinstance(environment.runner, MasterRunner):
            environment.runner.register_message(_OVER, lambda environment, msg, **_: session.worker_over(msg.data))
            environment.runner.register_message(_PREPARED, lambda environment, msg, **_: session.worker_prepared())
        environment.runner.register_message(_NEWS, lambda environment, msg, **_: count(msg.data["orders"]))


@events.test_start.add_listener
def _start(environment: Environment, **_: Any) -> None:
    _session(environment).start()


@events.test_stop.add_listener
def _stop(environment: Environment, **_: Any) -> None:
    _session(environment).stop()


@events.report_to_master.add_listener
def _report(client_id: str, data: dict[str, Any]) -> None:
    for session in _sessions.values():
        data[_NEWS] = session.news()


@events.worker_report.add_listener
def _reported(client_id: str, data: dict[str, Any]) -> None:
    for session in _sessions.values():
        if data.get(_NEWS):
            session.take(data[_NEWS])


@events.quitting.add_listener
def _quit(environment: Environment, **_: Any) -> None:
    _session(environment).close()
