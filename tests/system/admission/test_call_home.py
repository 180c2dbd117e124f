"""Who is not believed to be a device: copies of operational keys, and callers whom nobody has certified (RFC 8071)."""

from __future__ import annotations

import pytest

from harness.lab import Lab
from harness.wait import wait_for

from .conftest import INTERNET, Operator, Workbench, of_name

pytestmark = pytest.mark.topology("admission")

NAME, ADDRESS = "ucpe-1", "192.0.2.2"


def test_a_copied_key_at_the_same_time(lab: Lab, operator: Operator, workbench: Workbench) -> None:
    """Whoever copied it sits elsewhere and calls while the box is there: neither is believed until a person decides."""
    with operator.gives_nothing(), operator.leaves_alone("vmsr-1", "ucpe-2"):
        with operator.alarmed("device-cloned", of_name(NAME), "critical"), workbench.clone(NAME):
            wait_for("neither to be believed", lambda: not operator.connected(NAME), 20)
            wait_for("refused calls to be told", lambda: operator.active("device-refused", of_name(NAME)), 10)
        said = operator.alarm("device-cloned", of_name(NAME)) or {}
        assert workbench.address in said["alarm-text"]
        assert ADDRESS in said["alarm-text"]
        assert not operator.connected(NAME)
        assert operator.release_at_controller(NAME) == 204
        wait_for("the box to be back", lambda: operator.connected(NAME), 15)
        assert operator.network(NAME)["wan-address"] == ADDRESS
        assert not operator.active("device-cloned", of_name(NAME))
    lab["host-1"].must_reach(INTERNET)
