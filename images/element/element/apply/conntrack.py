"""Connections that the kernel tracks, by the program conntrack(8)."""

from __future__ import annotations

import subprocess

from element.plan.breakout import TENANT

_SECONDS = 20
_DONE = "flow entries have been deleted"
"""What conntrack says at the end; its exit status is 1 also when there were none."""


def forget(tenant: int) -> None:
    """Connections of a tenant's number: those inside, and those that were translated on their way out.

    A number goes from one tenant to another. What answers a connection of the first would be the second's.

    Raises:
        OSError: conntrack did not do it.
    """
    for which in (("--zone", str(tenant)), ("--orig-zone", str(tenant)), ("--mark", f"{tenant}/{TENANT:#x}")):
        try:
            done = subprocess.run(
                ["conntrack", "--delete", *which], capture_output=True, text=True, check=False, timeout=_SECONDS
            )
        except subprocess.TimeoutExpired as error:
            raise OSError(f"conntrack --delete {' '.join(which)}: no end within {_SECONDS} s") from error
        if _DONE not in done.stderr:
            raise OSError(f"conntrack --delete {' '.join(which)}: {done.stderr.strip() or done.returncode}")
