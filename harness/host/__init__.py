"""Lab hosts: the kernels that labs run on.

A lab owns its host: a process whose death takes every namespace, mount, link and process of the lab with it. So a lab
can be removed by ending one process, and two labs cannot clash. Kinds: `local` (this machine's kernel, in namespaces
of its own) and `lab-kernel` (User-Mode Linux, for kernels that lack what a topology needs).
"""

from harness.host.base import HostError, LabHost, LabPlace
from harness.host.select import HOST_KINDS, choose, end_unknown, make_host, open_host

__all__ = ["HOST_KINDS", "HostError", "LabHost", "LabPlace", "choose", "end_unknown", "make_host", "open_host"]
