"""Faults as data: what can go wrong in a lab, when, where and for how long.

A fault is a frozen dataclass (`kinds`), a named scenario a YAML file of `faults/` (`scenario`); `plan` finds in a
topology what a fault is to do where. `harness.lab` depends on this package and carries it out, never the other way: a
fault is declared like a topology is, before and without any lab.
"""

from harness.faults.kinds import (
    KINDS,
    Clock,
    Corrupt,
    Cpu,
    Cut,
    Delay,
    Disk,
    Drop,
    Duplicate,
    Fault,
    FaultError,
    Jitter,
    Kill,
    Loss,
    MemoryPressure,
    Outage,
    Partition,
    Pause,
    Power,
    Rate,
    RekeyStorm,
    Reorder,
    Stop,
    Swizzle,
)
from harness.faults.scenario import FaultFileError, Scenario, Timed, load

__all__ = [
    "KINDS",
    "Clock",
    "Corrupt",
    "Cpu",
    "Cut",
    "Delay",
    "Disk",
    "Drop",
    "Duplicate",
    "Fault",
    "FaultError",
    "FaultFileError",
    "Jitter",
    "Kill",
    "Loss",
    "MemoryPressure",
    "Outage",
    "Partition",
    "Pause",
    "Power",
    "Rate",
    "RekeyStorm",
    "Reorder",
    "Scenario",
    "Stop",
    "Swizzle",
    "Timed",
    "load",
]
