"""Running labs: what a test or a person holds in hand.

`up(topology)` brings one to life, `attach(name)` finds a running one, `down(name)` removes it and proves that nothing
is left. A `Lab` gives nodes (`lab["ucpe-1"]`), links (`lab.link("ucpe-1:wan")`) and captures.
"""

from harness.lab.capture import Capture, CaptureError
from harness.lab.encryption import Unencrypted, assert_encrypted
from harness.lab.lab import Lab, attach
from harness.lab.lifecycle import down, up
from harness.lab.link import Link
from harness.lab.node import CommandError, Node, Result
from harness.lab.record import LabError, LabRecord, known_labs

__all__ = [
    "Capture",
    "CaptureError",
    "CommandError",
    "Lab",
    "LabError",
    "LabRecord",
    "Link",
    "Node",
    "Result",
    "Unencrypted",
    "assert_encrypted",
    "attach",
    "down",
    "known_labs",
    "up",
]
