"""Entry point: run a command, turn what went wrong into one clear message and an exit status.

Exit statuses: 0 done; 1 it failed; 2 wrong usage, or a topology, order or fault file that is refused; 4 something was
left over; 5 an order has not ended in time; 6 a comparison is void (3 is labctl.py's: the machine is refused or could
not be prepared); 130 interrupted by Ctrl-C, unless that is the way to end; `exec` and `shell` pass on the status of the
command.
"""

from __future__ import annotations

import os
import sys

import click

from harness.build import BuildError
from harness.cli.commands import labctl
from harness.cli.completing import VARIABLE
from harness.cli.options import say
from harness.engine import EngineError
from harness.evidence.history import HistoryError
from harness.factory import FactoryError
from harness.faults import FaultError
from harness.host import HostError
from harness.host.channel import AgentError, AgentLost
from harness.lab import CommandError, LabError
from harness.orchestrator import OrchestratorError
from harness.orchestrator.orderfile import OrderFileError
from harness.topology.problems import FileError
from harness.wait import DeadlineError

_EXPECTED = (
    AgentError,
    AgentLost,
    BuildError,
    CommandError,
    DeadlineError,
    EngineError,
    FactoryError,
    FaultError,
    HostError,
    HistoryError,
    LabError,
    LookupError,
    OrchestratorError,
    OSError,
)


def main() -> int:
    try:
        status = labctl.main(prog_name="labctl", complete_var=VARIABLE, standalone_mode=False)
    except (FileError, OrderFileError) as error:
        say(str(error))
        return 2
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        say("interrupted; the same command again goes on where this one stopped")
        return 130
    except _EXPECTED as error:
        say(_told(error))
        return 1
    return int(status or 0)


def _told(error: Exception) -> str:
    """Of a file that cannot be had, its name and why; not Python's word for it."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{os.fsdecode(error.filename)}: {error.strerror} (check the path and its permissions)"
    return str(error)


if __name__ == "__main__":
    sys.exit(main())
