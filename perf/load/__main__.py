"""B5: orders, edits, sessions and people at a rate that a scenario says, without Locust's page; the result is kept.

    labctl bench load [--scenario step] [--lab NAME] [--report load.html] [what Locust takes]

What is promised stands in the scenario (`perf/load/scenarios`); exit status 1 when it is not kept.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from perf.record import RESULTS

LOCUSTFILE = Path(__file__).with_name("provisioning.py")


def main() -> int:
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary"]
    environment = {**os.environ, "LOCUST_SKIP_MONKEY_PATCH": "1"}
    return subprocess.run([*command, "--keep", str(RESULTS), *sys.argv[1:]], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
