"""Our engine as a program of its own, started on a lab host for one world as containerlab is.

`python3 -m perf.native build` and `… demolish` read the description of a world on standard input. What a lab's agent
does when it is asked is all that they do, but nothing of it is there before: interpreter, libraries and netlink socket
are theirs.
"""

from __future__ import annotations

import argparse
import json
import sys

from harness.agent.world import World, build, demolish


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m perf.native", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("action", choices=("build", "demolish"))
    asked = parser.parse_args()
    world: World = json.load(sys.stdin)
    if asked.action == "build":
        build(world)
        return 0
    left = demolish(world)
    for one in left:
        print(f"left over: {one}", file=sys.stderr)
    return int(bool(left))


if __name__ == "__main__":
    sys.exit(main())
