"""The orchestrator's components as a node of the lab runs them, each a process, on the loopback of a namespace of ours.

What the factory gives the node, what its settings are and where they lie is as there (`images/stack/rootfs`): only the
users are missing, and who asks is not slowed down.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any

from harness.factory.day0 import Wan
from harness.factory.works import Factory
from harness.orchestrator.client import PORTS, Orchestrator
from harness.orchestrator.errors import UnavailableError
from harness.orchestrator.registry import YANG
from harness.paths import REPOSITORY
from harness.wait import wait_for
from perf.devices.orders import INTENT
from perf.lab import BenchmarkError

NODE = "stack"
MANAGEMENT, WAN = "127.0.0.2", "127.0.0.3"
BOOTSTRAP = f"https://{WAN}:8572"
CALLS = f"{WAN}:4335"
_STARTED = ("identity", "manager", "controller")
_SETTINGS = REPOSITORY / "images/stack/rootfs/usr/lib/elasticlab/settings"
# A thousand boxes come from one address here, and at once: the limits that a peer has are those of many.
_MORE = {"manager": {"requests_per_minute": 1_000_000, "burst": 1_000_000}}
_FILES = {
    "identity": ("admin-password", "labctl-secret"),
    "manager": ("maker-ca.pem", "authorized_keys", "bootstrap.key", "bootstrap.pem"),
    "controller": ("authorized_keys",),
}
_SECONDS = 60.0


@dataclass
class Components:
    """Those that devices need. `data` is a folder of a disk: what they call durable is."""

    data: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.factory = Factory.open(self.data / "factory")
        given = self.factory.stack(
            NODE, IPv4Address(MANAGEMENT), Wan(IPv4Interface(f"{WAN}/8"), IPv4Address("127.0.0.4"))
        )
        place = Path("/factory")
        if not place.exists():
            place.symlink_to(given)
            yang = Path("/usr/share/elasticlab/yang")
            yang.parent.mkdir(parents=True, exist_ok=True)
            yang.symlink_to(REPOSITORY / "models/yang")
        self.client = Orchestrator(MANAGEMENT, self.factory.service_ca, given / "labctl-secret", NODE)

    @property
    def maker(self) -> Path:
        return self.factory.maker_ca.parent

    @property
    def anchor(self) -> Path:
        return self.data / "factory" / "authorities" / "anchor" / "ca.pem"

    def start(self, *names: str) -> None:
        """Start them, and wait until each answers."""
        for name in names or _STARTED:
            self._spawn(name)
            self._answers(name)

    def _spawn(self, name: str) -> None:
        own, data = Path("/run", name), self.data / name
        own.mkdir(exist_ok=True)
        data.mkdir(exist_ok=True)
        if not Path("/var/lib", name).exists():
            Path("/var/lib", name).symlink_to(data)
        for file in (f"{name}.key", f"{name}.pem", "service-ca.pem", *_FILES[name]):
            shutil.copy(f"/factory/{file}", own / file)
        said = subprocess.run([sys.executable, str(_SETTINGS), name], capture_output=True, text=True, check=True).stdout
        more = "".join(f"{key} = {json.dumps(value)}\n" for key, value in _MORE.get(name, {}).items())
        (own / "settings.toml").write_text(said + more)
        with (self.data / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", name],
                env=os.environ | {"ELASTICLAB_SETTINGS": str(own / "settings.toml")},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def _answers(self, name: str) -> None:
        def there() -> bool:
            if self.processes[name].poll() is not None:
                raise BenchmarkError(f"{name} has ended; its log: {self.data / name}.log")
            page = "openid-configuration" if name == "identity" else "host-meta"
            try:
                self.client.call(name, "GET", f"/.well-known/{page}")
            except UnavailableError:
                return False
            return True

        wait_for(f"{name} answers", there, _SECONDS)

    def order(self, intent: dict[str, Any]) -> int:
        """The whole intent as the network's administrator may write it; the answer's status."""
        body = json.dumps(intent).encode()
        token = self.client.token()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": YANG}
        context = ssl.create_default_context(cafile=str(self.factory.service_ca))
        connection = http.client.HTTPSConnection(MANAGEMENT, PORTS["controller"], timeout=_SECONDS, context=context)
        with contextlib.closing(connection):
            connection.request("PUT", INTENT, body, headers)
            answer = connection.getresponse()
            said = answer.read()
        if answer.status >= 300:
            raise BenchmarkError(f"the controller refuses {len(body)} octets, status {answer.status}: {said[:500]!r}")
        return answer.status

    def kill(self, name: str) -> None:
        """As a crash would."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def stop(self) -> None:
        for process in reversed(self.processes.values()):
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            process.wait(30)
        self.processes.clear()

    def resident_mb(self, name: str) -> float:
        pages = int(Path(f"/proc/{self.processes[name].pid}/statm").read_text().split()[1])
        return round(pages * 4096 / 2**20, 1)

    def cpu_seconds(self, name: str) -> float:
        fields = Path(f"/proc/{self.processes[name].pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100
