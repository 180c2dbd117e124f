"""Locust without gevent's monkey patching, however it was started."""

from __future__ import annotations

import os
import sys

from gevent import monkey

VARIABLE = "LOCUST_SKIP_MONKEY_PATCH"


def threads_are_threads() -> None:
    """If Locust has replaced threads and sockets of this process, begin it again without.

    `time.sleep` stays gevent's: Locust's master sleeps while it waits for workers, and could not hear them.
    """
    if monkey.is_module_patched("threading"):
        os.environ[VARIABLE] = "1"
        os.execv(sys.executable, [sys.executable, "-m", "locust", *sys.argv[1:]])  # noqa: S606 (no shell is wanted)
    monkey.patch_time()
