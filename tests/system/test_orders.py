"""`labctl order` with the real orchestrator: sent once, followed, refused by field, left alone when interrupted.

No device is plugged in here: what is ordered stays held. Each test cancels what it ordered.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from harness.lab import Lab
from harness.orchestrator import accounts, ordering, registry
from harness.orchestrator.client import Orchestrator
from harness.orchestrator.orderfile import load_order
from harness.orchestrator.registry import Device
from harness.wait import wait_for

pytestmark = pytest.mark.topology("orchestrator")

SERIAL = "EL-ORDER-1"


@dataclass(frozen=True)
class Ordered:
    """An order file of a tenant's, and labctl to send it with."""

    far: Orchestrator
    lab: str
    path: Path

    def command(self, *options: str) -> list[str]:
        return [sys.executable, "-m", "harness.cli", "order", "--lab", self.lab, str(self.path), *options]

    def labctl(self, *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*options), capture_output=True, text=True, timeout=60, check=False)

    def found(self) -> list[dict[str, Any]]:
        query = f"externalId={load_order(self.path).external_id}"
        orders: list[dict[str, Any]] = self.far.call("gro", "GET", f"{ordering.ORDERING}/serviceOrder?{query}").json()
        return orders


@pytest.fixture
def far(lab: Lab) -> Orchestrator:
    return Orchestrator.of(lab)


@pytest.fixture
def ordered(lab: Lab, far: Orchestrator, tmp_path: Path) -> Iterator[Ordered]:
    """A good order for a device that nobody has registered; cancelled afterwards."""
    accounts.ensure_tenant(far, "acme")
    site = {"name": "branch-1", "device": SERIAL, "access": "routed", "gateway": "10.77.0.1/24"}
    service = {
        "serviceSpecification": {"id": "site-to-internet"},
        "serviceCharacteristic": [{"name": "site", "value": site}],
    }
    body = {"description": uuid.uuid4().hex, "serviceOrderItem": [{"id": "1", "action": "add", "service": service}]}
    path = tmp_path / "branch-1.json"
    path.write_text(json.dumps({"tenant": "acme", "order": body}))
    made = Ordered(far, lab.name, path)
    yield made
    with contextlib.suppress(ValueError):  # a test that wrote nonsense into the file ordered nothing
        for order in made.found():
            cancel(far, order["id"])


def cancel(far: Orchestrator, order: str) -> None:
    if ordering.read(far, order)["state"] not in ordering.ENDED:
        body = {"serviceOrder": {"id": order}}
        assert far.call("gro", "POST", f"{ordering.ORDERING}/cancelServiceOrder", body).status == 201
    wait_for("the order to end", lambda: ordering.read(far, order)["state"] in ordering.ENDED, 20)


def until_held(far: Orchestrator, order: str) -> None:
    wait_for("the order to be held", lambda: ordering.read(far, order)["state"] == "held", 20)


def test_an_order_for_a_device_that_is_not_there_is_held_and_followed(ordered: Ordered) -> None:
    assert ordered.labctl().returncode == 0
    (order,) = ordered.found()
    until_held(ordered.far, order["id"])
    done = ordered.labctl("--follow", "--timeout", "5")
    assert done.returncode == 5, done.stderr
    assert "held" in done.stdout
    assert f"device {SERIAL} of site branch-1 is not registered for acme" in done.stdout
    assert "goes on without us" in done.stderr


def test_the_same_file_is_not_ordered_twice(ordered: Ordered) -> None:
    first, second = ordered.labctl(), ordered.labctl("--json")
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    (order,) = ordered.found()
    assert order["id"] in first.stdout
    assert json.loads(second.stdout)["id"] == order["id"]


def test_many_at_once_order_once(ordered: Ordered) -> None:
    running = [subprocess.Popen(ordered.command(), stdout=subprocess.DEVNULL) for _ in range(4)]
    assert [process.wait(60) for process in running] == [0, 0, 0, 0]
    assert len(ordered.found()) == 1


def test_what_was_cancelled_is_ordered_anew(ordered: Ordered) -> None:
    assert ordered.labctl().returncode == 0
    (first,) = ordered.found()
    cancel(ordered.far, first["id"])
    assert ordered.labctl().returncode == 0
    assert len({order["id"] for order in ordered.found()}) == 2


def test_a_wrong_field_is_named_with_its_file(ordered: Ordered) -> None:
    ordered.path.write_text(ordered.path.read_text().replace('"routed"', '"flown"'))
    done = ordered.labctl("--follow")
    assert done.returncode == 1
    place = "/order/serviceOrderItem/0/service/serviceCharacteristic/0/value/access"
    assert f"{ordered.path}: gro refuses it (400): {place}: " in done.stderr
    assert ordered.found() == []


def test_a_file_that_is_wrong_is_not_sent(ordered: Ordered) -> None:
    ordered.path.write_text('{"tenant": "acme"}')
    done = ordered.labctl()
    assert done.returncode == 2
    assert f"{ordered.path}:/order: an object is expected" in done.stderr


def test_a_plan_of_an_unknown_device_is_refused_and_nothing_is_kept(ordered: Ordered) -> None:
    done = ordered.labctl("--plan")
    assert done.returncode == 1
    assert f"{ordered.path}: gro refuses it (422)" in done.stderr
    assert ordered.found() == []


def test_an_interrupted_labctl_leaves_the_order_alone(ordered: Ordered) -> None:
    # Whoever runs tests in the background has SIGINT ignored, and its children inherit that.
    following = subprocess.Popen(
        ["env", "--default-signal=INT", *ordered.command("--follow")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert following.stdout is not None
    for line in following.stdout:
        if "devices" in line:  # its connection for events stands
            break
    following.send_signal(signal.SIGINT)
    said = following.communicate(timeout=20)[1]
    assert following.returncode == 130
    assert "Traceback" not in said
    (order,) = ordered.found()
    until_held(ordered.far, order["id"])


def test_registering_twice_changes_nothing_and_lifts_no_revocation(far: Orchestrator) -> None:
    device = Device("EL-ORDER-2", "ucpe-two", "ucpe-100", "acme")
    place = f"{registry.DEVICES}/device={device.serial}"
    try:
        registry.register(far, device)
        revoked = {registry.LIST: [{"serial": device.serial, "administrative-state": "revoked"}]}
        far.call("manager", "PATCH", place, revoked, media=registry.YANG)
        registry.register(far, device)
        registry.register(far, replace(device, owner="operator"))
        found = registry.read(far, device.serial)
        assert found is not None
        assert (found["owner"], found["administrative-state"]) == ("operator", "revoked")
    finally:
        far.call("manager", "DELETE", place)


def test_users_and_programs_are_made_once_and_keep_their_secrets(far: Orchestrator) -> None:
    accounts.ensure_tenant(far, "acme")
    for secret in ("a-first-secret-of-it", "a-second-secret-of-it"):
        accounts.ensure_user(far, "alice", secret, "acme")
        accounts.ensure_program(far, "acme-billing", secret, "acme")
    listed = far.call("identity", "GET", "/scim/v2/Users?filter=userName%20eq%20%22alice%22").json()
    assert listed["totalResults"] == 1
    assert listed["Resources"][0][accounts.ACCOUNT] == {"tenant": "acme", "roles": ["tenant"]}


def test_status_says_where_to_log_in_and_tells_no_password(lab: Lab) -> None:
    command = [sys.executable, "-m", "harness.cli", "status", lab.name]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True).stdout
    assert f"portal  https://{lab['stack'].management_address}/" in shown
    assert "admin (administrator), password in" in shown
    secret = (lab.factory.directory / "stacks" / "stack" / "admin-password").read_text().strip()
    assert secret not in shown
