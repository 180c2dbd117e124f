"""OpenDaylight's controller as a peer: what it is made of, what it says, and what is said of it beside ours."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.build.progress import Lines
from harness.build.store import Store
from perf.devices import beside, lighty, load, maven, mounts, testtool
from perf.lab import BenchmarkError

FIVE = range(5)


def rounds(**figures: float) -> list[dict[str, float]]:
    return [{name.replace("_", " "): value for name, value in figures.items()} for _ in FIVE]


def by_name(of: dict[str, list[dict[str, float]]]) -> dict[str, beside.Comparison]:
    return {one.name: one for one in beside.compared(100, of)}


@pytest.fixture
def both() -> dict[str, list[dict[str, float]]]:
    return {
        "ours": rounds(register_s=0.5, connect_s=1.5, reads_a_second=900.0, controller_MB=120.0),
        "lighty": rounds(
            first_connect_s=16.0,
            not_connected_at_first=0.0,
            connect_s=11.0,
            not_connected=0.0,
            mounted_reads_a_second=300.0,
            own_reads_a_second=400.0,
            controller_MB=600.0,
        ),
        "clients": rounds(requests_a_second=4000.0),
        "testtool": rounds(hello_s=0.5),
    }


def test_ours_is_told_as_a_ratio_to_the_peer_and_its_bounds(both: dict[str, list[dict[str, float]]]) -> None:
    """Bounds are of like beside like: told of all and connected, a JVM that is warm; what each knows of a device."""
    found = by_name(both)
    assert {name: (one.ratio, one.kept) for name, one in found.items()} == {
        "connect 100": (5.5, True),
        "connect 100, cold": (8.0, None),
        "reads of what it knows 100": (2.25, True),
        "reads of what it knows 100, beside asking the device": (3.0, None),
        "controller's memory 100": (0.2, None),
        "connect 100, of greetings alone": (3.0, None),
    }
    assert not any(one.void for one in found.values())
    both["lighty"] = [one | {"connect s": 9.0, "own reads a second": 460.0} for one in both["lighty"]]
    missed = by_name(both)
    assert (missed["connect 100"].kept, missed["reads of what it knows 100"].kept) == (False, False)


def test_clients_that_could_not_read_faster_say_nothing(both: dict[str, list[dict[str, float]]]) -> None:
    both["clients"] = rounds(requests_a_second=2000.0)
    assert "its generator makes only 2.2 times" in by_name(both)["reads of what it knows 100"].void
    # The peer's reads of its own are the faster ones: the clients have to be able to make more than those.
    both["clients"] = rounds(requests_a_second=4000.0)
    both["lighty"] = [one | {"own reads a second": 1400.0} for one in both["lighty"]]
    assert "2.9 times" in by_name(both)["reads of what it knows 100"].void


@pytest.mark.parametrize(
    ("who", "figure", "value", "voided"),
    [
        ("lighty", "connect s", 17.0, {"connect 100"}),
        ("lighty", "first connect s", 25.0, {"connect 100, cold"}),
        ("ours", "connect s", 3.0, {"connect 100", "connect 100, cold"}),
        ("lighty", "own reads a second", 700.0, {"reads of what it knows 100"}),
        ("lighty", "mounted reads a second", 100.0, {"reads of what it knows 100, beside asking the device"}),
        ("lighty", "controller MB", 1000.0, {"controller's memory 100"}),
    ],
)
def test_whichever_of_the_two_is_unsteady_nothing_is_said(
    both: dict[str, list[dict[str, float]]], who: str, figure: str, value: float, voided: set[str]
) -> None:
    both[who][3][figure] = value
    assert {name for name, one in by_name(both).items() if "slowest round took" in one.void} == voided


def test_a_device_that_the_peer_never_connects_has_failed(both: dict[str, list[dict[str, float]]]) -> None:
    both["lighty"][2]["not connected"] = 9.0
    assert {one.name for one in by_name(both).values() if one.void == "9 requests failed"} == {
        "connect 100",
        "reads of what it knows 100",
        "reads of what it knows 100, beside asking the device",
    }
    both["lighty"][2] |= {"not connected": 0.0, "not connected at first": 2.0}
    assert [one.name for one in by_name(both).values() if one.void] == ["connect 100, cold"]


def test_without_one_of_the_two_nothing_is_compared(both: dict[str, list[dict[str, float]]]) -> None:
    assert beside.compared(100, {who: of for who, of in both.items() if who != "ours"}) == []
    assert beside.compared(100, {who: of for who, of in both.items() if who != "lighty"}) == []
    without = {who: of for who, of in both.items() if who != "testtool"}
    assert "connect 100, of greetings alone" not in by_name(without)


def test_its_jars_are_those_of_its_release_and_each_is_pinned() -> None:
    jars = {jar.place for jar in maven.listed(lighty.JARS)}
    of_lighty = {place.rsplit("/", 1)[1] for place in jars if place.startswith("io/lighty/")}
    for name in ("lighty-controller", "lighty-netconf-sb", "lighty-restconf-nb-community", "singlenode-configuration"):
        assert f"{name}-{lighty.VERSION}.jar" in of_lighty
    assert any("akka-actor_2.13/2.6.21/" in place for place in jars)


@pytest.mark.parametrize(
    "line", ["0 a/b.jar", f"{'0' * 64} a/b.jar", f"{'0' * 64}  ../b.jar", f"{'0' * 64}  b.jar", ""]
)
def test_a_line_that_pins_nothing_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "jars.txt"
    file.write_text(f"{'1' * 64}  org/one/1/one-1.jar\n{line}\n")
    with pytest.raises(BenchmarkError, match=r"jars\.txt:2: wanted is a SHA-256"):
        maven.listed(file)


def test_two_jars_of_one_name_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "jars.txt"
    file.write_text(f"{'1' * 64}  org/one/1/one-1.jar\n{'2' * 64}  com/one/1/one-1.jar\n")
    with pytest.raises(BenchmarkError, match=r"jars\.txt:2: one-1\.jar is there twice"):
        maven.listed(file)


def test_only_what_is_missing_is_fetched_and_only_what_was_pinned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = tmp_path / "central"
    for name in ("one", "two"):
        (served / f"org/{name}/1").mkdir(parents=True)
        (served / f"org/{name}/1/{name}-1.jar").write_text(name)
    pins = [f"{hashlib.sha256(name.encode()).hexdigest()}  org/{name}/1/{name}-1.jar" for name in ("one", "two")]
    listed = tmp_path / "jars.txt"
    listed.write_text("\n".join(pins))
    monkeypatch.setenv("MAVEN_CENTRAL", served.as_uri())
    monkeypatch.setattr(lighty, "JARS", listed)
    store = Store(tmp_path / "cache")
    (served / "org/two/1/two-1.jar").write_text("another")
    with pytest.raises(BenchmarkError, match=r"two-1\.jar is not what was pinned"):
        lighty.fetch(store, Lines())
    (served / "org/two/1/two-1.jar").write_text("two")
    folder = lighty.fetch(store, Lines())
    assert {file.name: file.read_text() for file in folder.iterdir()} == {"one-1.jar": "one", "two-1.jar": "two"}
    monkeypatch.setenv("MAVEN_CENTRAL", (tmp_path / "nowhere").as_uri())
    assert lighty.fetch(store, Lines()) == folder


def state_of(name: str, state: str) -> dict[str, object]:
    return {"node-id": name, "netconf-node-topology:netconf-node": {"connection-status": state}}


def test_devices_count_when_it_says_connected() -> None:
    nodes = [state_of(f"device-{number}", state) for number, state in enumerate(("connected", "connecting", "unable"))]
    told = {"network-topology:topology": [{"node": [*nodes, {"node-id": "device-3"}]}]}
    assert mounts.connected(told) == ["device-0"]
    assert mounts.connected({"network-topology:topology": [{"topology-id": "topology-netconf"}]}) == []
    assert mounts.connected({"network-topology:node": [state_of("device-7", "connected")]}) == ["device-7"]
    assert mounts.connected({}) == []


def test_it_is_told_of_all_devices_at_once_and_of_none() -> None:
    [all_of] = mounts.topology(3)["network-topology:topology"]
    ports = {one["node-id"]: one["netconf-node-topology:netconf-node"]["port"] for one in all_of["node"]}
    assert ports == {f"device-{number}": testtool.FIRST_PORT + number for number in range(3)}
    assert mounts.topology(0) == {"network-topology:topology": [{"topology-id": "topology-netconf"}]}


def test_while_one_is_not_connected_it_is_asked_of_that_one_alone() -> None:
    there = {"device-0": "connected", "device-1": "connecting", "device-2": "connecting"}
    asked: list[str] = []

    def ask(path: str) -> mounts.Told:
        place = path.removeprefix(mounts.TOPOLOGY).partition("?")[0]
        asked.append(place)
        if place:
            of = place.removeprefix("/node=")
            return {"network-topology:node": [state_of(of, there[of])]}
        return {"network-topology:topology": [{"node": [state_of(*one) for one in there.items()]}]}

    watch = mounts.Watch(3, ask)
    assert not watch.settled()
    assert not watch.settled()
    assert not watch.settled()
    assert asked == ["", "/node=device-2", "/node=device-2"]
    there["device-2"] = "connected"
    assert not watch.settled()
    assert watch.names == ["device-0", "device-2"]
    there["device-1"] = "connected"
    assert watch.settled()
    assert asked[3:] == ["/node=device-2", "", "/node=device-1", ""]
    assert watch.names == ["device-0", "device-1", "device-2"]


def test_it_has_settled_without_one_that_never_comes() -> None:
    now = [100.0]
    nodes = [state_of("device-0", "connected"), state_of("device-1", "connecting")]

    def ask(path: str) -> mounts.Told:
        alone = path.startswith(mounts.node("device-1"))
        return {"network-topology:node": nodes[1:]} if alone else {"network-topology:topology": [{"node": nodes}]}

    watch = mounts.Watch(2, ask, lambda: now[0])
    settled = []
    for seconds in (0, 59, 2, 5):  # the third time it is asked of alone, which must not be for good
        now[0] += seconds
        settled.append(watch.settled())
    assert settled == [False, False, False, True]
    assert (watch.names, watch.grew) == (["device-0"], 100.0)


def test_a_rate_is_the_best_once_it_grows_no_more() -> None:
    def told(*rates: float) -> tuple[float, int]:
        left = [{"reads a second": rate} for rate in rates]
        best = load.steady(lambda: left.pop(0), "reads a second")
        return best["reads a second"], len(rates) - len(left)

    assert told(100, 200, 300, 310, 305, 999) == (310, 5)
    assert told(100, 90, 200, 190, 210, 999) == (210, 5)  # a moment of somebody else's ends nothing
    assert told(*[2.0**turn for turn in range(20)])[1] == 10


def test_how_much_an_answer_holds_is_told_beside_how_many_came() -> None:
    heard = [load.Heard([0.1, 0.3], 700), load.Heard([0.2], 200)]
    assert load.told("reads", (heard, 2.0)) == {"reads a second": 1.5, "reads, p99 ms": 300.0, "reads, octets": 300.0}
    assert "edits, octets" not in load.told("edits", ([load.Heard([0.1])], 1.0))


@pytest.fixture
def in_chunks() -> Iterator[load.Server]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"2\r\n{}\r\n0\r\n\r\n")

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever).start()
    yield load.Server("127.0.0.1", server.server_port, None, "")
    server.shutdown()
    server.server_close()


def test_an_answer_in_chunks_is_refused_and_not_half_read(in_chunks: load.Server) -> None:
    with load.Connection(in_chunks) as connection, pytest.raises(BenchmarkError, match="comes in chunks"):
        connection.ask("GET", "/", None)


def test_agents_stand_beside_echoes_and_readers_beside_asking_the_box(both: dict[str, list[dict[str, float]]]) -> None:
    box = {"start s": 2.0, "MB an agent with a session": 1.5, "hellos a second": 40.0}
    box |= {"get-configs a second": 500.0, "commits a second": 200.0}
    echo = {**dict.fromkeys(box, 1000.0), "start s": 1.0, "MB an agent with a session": 1.0}
    of_agents = {"box": [box] * 5, "echo": [echo] * 5}
    told = {one.name: one for one in beside.compared(100, of_agents)}
    assert {name: one.ratio for name, one in told.items()} == {
        "agents' start 100": 2.0, "an agent's memory, with its session 100": 1.5, "hellos 100": 0.04,
        "get-config 100": 0.5, "edit and commit 100": 0.2,
    }  # fmt: skip
    assert [one.more_is_better for one in told.values()] == [False, False, True, True, True]
    assert {one.void for one in told.values()} == {""}
    asked = beside.compared(100, both | of_agents)
    [direct] = [one for one in asked if one.against == "raw asyncssh"]
    assert direct.floor.median == 500.0
    assert not [one for one in beside.compared(100, both) if one.against == "raw asyncssh"]
