"""What `perf.devices` orders, sums up and promises."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from harness.build.progress import Lines
from harness.build.store import Store
from perf.devices import __main__ as devices
from perf.devices import maven, testtool
from perf.devices.orders import order
from perf.lab import BenchmarkError
from perf.report import verdict


def test_an_order_has_a_site_a_device_and_a_vpn_for_ten() -> None:
    tree = order(25)["ietf-l3vpn-svc:l3vpn-svc"]
    sites = tree["sites"]["site"]
    assert [one["devices"]["device"][0]["device-id"] for one in sites] == [f"ucpe-{n:04d}" for n in range(1, 26)]
    used = {one["vpn-policies"]["vpn-policy"][0]["entries"][0]["vpn"][0]["vpn-id"] for one in sites}
    assert used == {"net-0", "net-1", "net-2"} == {one["vpn-id"] for one in tree["vpn-services"]["vpn-service"]}


def test_promises_are_of_medians_and_can_be_missed() -> None:
    ours = {"restart s": 9.0, "restart with sites s": 11.0, "sites, built s": 61.0, "edits a second": 600.0}
    ours |= {"MB in all": 300.0, "MB a device": 0.2}
    rounds = [{name: value * factor for name, value in ours.items()} for factor in (0.5, 1.0, 5.0)]
    peer = [{"MB in all": all_of, "MB a device": one} for all_of, one in ((140.0, 0.08), (151.0, 0.09), (180.0, 0.1))]
    found = {"1000": {"ours": devices.summary(rounds), "testtool": devices.summary(peer)}}
    promised = devices.verdicts(found)
    assert {name: one["kept"] for name, one in promised.items()} == {
        "restart": True,
        "restart with sites": False,
        "sites": False,
        "edits a second": True,
        "memory": True,
        "memory a device": False,
    }
    assert (promised["memory"]["median"], promised["memory a device"]["median"]) == (1.987, 2.222)
    assert not any("void" in one for one in promised.values())
    assert devices.verdicts({"100": found["1000"]}) == {}


@pytest.mark.parametrize("values", [(0.01, 0.05, 0.016), (-0.03, 0.05, 0.06), (-0.03, -0.02, 0.06)])
def test_memory_beside_a_peer_that_has_another_each_time_says_nothing(values: tuple[float, ...]) -> None:
    """What a JVM has in advance may be more than what devices take of it."""
    ours = {"restart s": 9.0, "restart with sites s": 9.0, "sites, built s": 9.0, "edits a second": 600.0}
    mine = devices.summary([ours | {"MB in all": 300.0, "MB a device": 0.2}])
    peer = devices.summary([{"MB in all": 160.0, "MB a device": value} for value in values])
    promised = devices.verdicts({"1000": {"ours": mine, "testtool": peer}})
    assert verdict(promised["memory a device"]).startswith("VOID: netconf-testtool's MB a device: ")
    assert verdict(promised["memory"]) == "kept"


def test_another_file_than_the_pinned_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = tmp_path / "central"
    file = served / testtool.JAR.place
    file.parent.mkdir(parents=True)
    file.write_bytes(b"something else")
    monkeypatch.setenv("MAVEN_CENTRAL", served.as_uri())
    store = Store(tmp_path / "cache")
    with pytest.raises(BenchmarkError, match="is not what was pinned"):
        testtool.fetch(store, Lines())
    assert not list((tmp_path / "cache").rglob("*.jar"))
    pinned = hashlib.sha256(b"something else").hexdigest()
    monkeypatch.setattr(testtool, "JAR", maven.Jar(testtool.JAR.place, pinned))
    assert testtool.fetch(store, Lines()).read_bytes() == b"something else"
