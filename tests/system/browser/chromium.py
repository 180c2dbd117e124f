"""Debian's chromium out of our own image, driven by Playwright over the DevTools protocol.

It runs as an ordinary user in chromium's own sandbox, sees the machine's network (so the labs' management network), and
trusts the service CA of the lab and nobody else, or nobody: a page that opens by TLS has shown a good certificate.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import sync_playwright

from harness import build
from harness.build.chroot import Bind
from harness.wait import wait_for

USER = 1000
HOME = "/tmp/home"
TRUST = "/tmp/service-ca.pem"
START_SECONDS = 30
STOP_SECONDS = 10

# Quiet: nothing but the tests' own pages is to go over the network.
FLAGS = (
    "--headless", "--remote-debugging-port=0", f"--user-data-dir={HOME}/profile", "--no-first-run",
    "--no-default-browser-check", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-extensions", "--disable-gpu", "--disable-breakpad", "--metrics-recording-only",
)  # fmt: skip
SCRIPT = f"""
set -e
store=sql:{HOME}/.pki/nssdb
mkdir -p {HOME}/.pki/nssdb
certutil -d "$store" -N --empty-password
[ ! -e {TRUST} ] || certutil -d "$store" -A -n service-ca -t C,, -i {TRUST}
exec chromium "$@" about:blank
"""


@contextlib.contextmanager
def running(trust: Path | None, folder: Path) -> Iterator[str]:
    """A chromium that trusts the CA in `trust`: its DevTools address. `folder` is its home and has its log."""
    home = folder / "home"
    home.mkdir()
    os.chown(home, USER, USER)
    binds = [Bind(home, HOME, writable=True)]
    if trust is not None:
        authority = folder / "service-ca.pem"
        shutil.copyfile(trust, authority)
        authority.chmod(0o644)
        binds.append(Bind(authority, TRUST))
    user = ["python3", str(Path(__file__).with_name("without_netlink.py")), str(USER)]
    argv = [*user, "sh", "-c", f"exec 2>{HOME}/log; {SCRIPT}", "chromium", *FLAGS]
    status: list[int] = []
    # It ends with this thread at the latest: the image's root is private to it.
    thread = threading.Thread(
        target=lambda: status.append(build.run_in_image("browser", argv, binds=binds, env={"HOME": HOME}, cwd="/tmp")),
        daemon=True,
    )
    thread.start()
    port = home / "profile" / "DevToolsActivePort"

    def listening() -> bool:
        assert not status, f"chromium ended with {status[0]}:\n{(home / 'log').read_text(errors='replace')[-2000:]}"
        return port.is_file() and len(port.read_text().splitlines()) == 2

    wait_for("chromium to listen", listening, START_SECONDS)
    address = f"http://127.0.0.1:{port.read_text().splitlines()[0]}"
    try:
        yield address
    finally:
        with sync_playwright() as playwright:
            playwright.chromium.connect_over_cdp(address).new_browser_cdp_session().send("Browser.close")
        thread.join(STOP_SECONDS)
        assert not thread.is_alive(), "chromium did not end"
