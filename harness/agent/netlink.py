"""The kernel, asked over netlink.

pyroute2 is half of all that an agent imports, and most agents run commands in nodes and touch no link: it is imported
when it is first needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyroute2 import IPRoute


def opened() -> IPRoute:
    """A socket into the network namespace of the calling thread."""
    from pyroute2 import IPRoute  # noqa: PLC0415 (see above)

    return IPRoute()


def prepare() -> None:
    """Have it imported now: what is done at a moment that is noted does not begin with that."""
    refused()


def refused() -> Any:
    """The class of what is raised when the kernel says no."""
    from pyroute2.netlink.exceptions import NetlinkError  # noqa: PLC0415 (see above)

    return NetlinkError
