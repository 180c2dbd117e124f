"""`without_netlink.py UID COMMAND…`: run a command as a user that cannot open netlink sockets; starts as root.

A browser gives up what it is loading when an interface of the machine comes or goes (ERR_NETWORK_CHANGED), and labs
come and go beside us. It learns of that by netlink. Not setpriv's filter: that forbids setuid programs, too, and
chromium's sandbox is one.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import sys

PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06  # BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K
ALLOW, FAIL = 0x7FFF0000, 0x00050000  # SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO
# On struct seccomp_data (seccomp(2)): x86-64's socket(AF_NETLINK, …) fails, everything else is allowed.
FILTER = (
    (LOAD, 0, 0, 4),  # arch
    (EQUAL, 0, 5, 0xC000003E),  # AUDIT_ARCH_X86_64
    (LOAD, 0, 0, 0),  # nr
    (EQUAL, 0, 3, 41),  # socket
    (LOAD, 0, 0, 16),  # args[0]
    (EQUAL, 0, 1, socket.AF_NETLINK),
    (RETURN, 0, 0, FAIL | errno.EAFNOSUPPORT),
    (RETURN, 0, 0, ALLOW),
)


def main() -> None:
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in FILTER)
    instructions = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("@HP", len(FILTER), ctypes.addressof(instructions))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_SECCOMP)")
    user = int(sys.argv[1])
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
    os.execvp(sys.argv[2], sys.argv[2:])


main()
