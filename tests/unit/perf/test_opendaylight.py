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
from perf.devices import beside, lighty, load, maven
from perf.lab import BenchmarkError

FIVE = range(5)


def rounds(**figures: float) -> list[dict[str, float]]:
    return [{name.replace("_", " "): value for name, value in figures.items()} for _ in FIVE]


def by_name(of: dict[str, list[dict[str, float]]]) -> dict[str, beside.Comparison]:
    return {one.name: one for one in beside.compared(100, of)}


@pytest.fixture
def both() -> dict[str, list[dict[str, float]]]:
    return {
        "ours": rounds(connect_s=2.0, reads_a_second=900.0, controller_MB=120.0),
        "lighty": rounds(
            connect_s=11.0, not_connected=0.0, reads_a_second=300.0, own_reads_a_second=1200.0, controller_MB=600.0
        ),
        "clients": rounds(requests_a_second=4000.0),
        "testtool": rounds(hello_s=0.5),
    }


def test_ours_is_told_as_a_ratio_to_the_peer_and_its_bounds(both: dict[str, list[dict[str, float]]]) -> None:
    found = by_name(both)
    assert {name: (one.ratio, one.kept) for name, one in found.items()} == {
        "connect 100": (5.5, True),
        "reads 100": (3.0, True),
        "reads of what it knows 100": (0.75, None),
        "controller's memory 100": (0.2, None),
        "connect 100, of greetings alone": (4.0, None),
    }
    assert not found["connect 100"].void
    both["lighty"] = [one | {"connect s": 9.0, "reads a second": 460.0} for one in both["lighty"]]
    missed = by_name(both)
    assert (missed["connect 100"].kept, missed["reads 100"].kept) == (False, False)


def test_clients_that_could_not_read_faster_and_an_unsteady_peer_say_nothing(
    both: dict[str, list[dict[str, float]]],
) -> None:
    both["clients"] = rounds(requests_a_second=2000.0)
    assert "its generator makes only 2.2 times" in by_name(both)["reads 100"].void
    both["clients"] = rounds(requests_a_second=4000.0)
    both["lighty"][3]["reads a second"] = 700.0
    assert "the floor's slowest round took 2.33 times" in by_name(both)["reads 100"].void
    # The peer's reads of its own are the faster ones: the clients have to be able to make more than those.
    both["lighty"] = [one | {"own reads a second": 1400.0} for one in both["lighty"]]
    assert "2.9 times" in by_name(both)["reads of what it knows 100"].void


def test_a_device_that_the_peer_never_connects_has_failed(both: dict[str, list[dict[str, float]]]) -> None:
    both["lighty"][2]["not connected"] = 9.0
    assert {one.name for one in by_name(both).values() if one.void == "9 requests failed"} == {
        "connect 100",
        "reads 100",
        "reads of what it knows 100",
    }


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


def test_devices_count_when_it_says_connected() -> None:
    def node(number: int, state: str) -> dict[str, object]:
        return {"node-id": f"device-{number}", "netconf-node-topology:netconf-node": {"connection-status": state}}

    nodes = [node(0, "connected"), node(1, "connecting"), node(2, "unable-to-connect"), {"node-id": "device-3"}]
    assert lighty.connected({"network-topology:topology": [{"node": nodes}]}) == ["device-0"]
    assert lighty.connected({"network-topology:topology": [{"topology-id": "topology-netconf"}]}) == []


def test_a_rate_is_the_best_once_it_grows_no_more() -> None:
    def told(*rates: float) -> tuple[float, int]:
        left = [{"reads a second": rate} for rate in rates]
        best = load.steady(lambda: left.pop(0), "reads a second")
        return best["reads a second"], len(rates) - len(left)

    assert told(100, 200, 300, 310, 305, 999) == (310, 5)
    assert told(100, 90, 200, 190, 210, 999) == (210, 5)  # a moment of somebody else's ends nothing
    assert told(*[2.0**turn for turn in range(20)])[1] == 10


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
