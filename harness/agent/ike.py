"""Keys of IKE associations: a node's charon tells them for as long as somebody asks, and never by itself.

strongSwan's plugin for it (save-keys) is in no package that the boxes have; so it is charon's log,
where they are at level 4. The file that asks for it and the log are in the node's memory, and go with its power.
"""

from __future__ import annotations

from harness.agent.commands import run_command
from harness.agent.shell import ToolError

_SECONDS = 10.0
_HUSH = """
if mountpoint -q /etc/strongswan.conf; then umount /etc/strongswan.conf; fi
if [ -d /run/ike-keys ]; then swanctl --reload-settings >/dev/null 2>&1 || true; fi
rm -rf /run/ike-keys
"""
# `mgr` says which association it was: its SPIs, when charon is done with a message.
_TELL = """
umask 077
mkdir /run/ike-keys
cat /etc/strongswan.conf - >/run/ike-keys/strongswan.conf <<'END'
charon {
  filelog {
    ike-keys {
      path = /run/ike-keys/log
      default = -1
      ike = 4
      mgr = 2
      flush_line = yes
    }
  }
}
END
mount --bind /run/ike-keys/strongswan.conf /etc/strongswan.conf
swanctl --reload-settings
"""


def tell(node: str) -> None:
    """The keys of associations that are made from now on are in /run/ike-keys/log, until `hush`."""
    done = run_command(node, ["/bin/sh", "-ec", _HUSH + _TELL], None, _SECONDS, {})
    if done["status"] != 0:
        raise ToolError(f"charon of {node} does not tell its keys: {(done['stderr'] or done['stdout']).strip()}")


def hush(node: str) -> None:
    """charon logs as it did before, and nothing is left of the keys."""
    run_command(node, ["/bin/sh", "-ec", _HUSH], None, _SECONDS, {})
