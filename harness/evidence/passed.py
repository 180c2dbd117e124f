"""What a passed test's report has: the topology's picture, the configurations of its boxes, its timeline, and how it is
run again.

Each test pays for it. So no node is asked anything, and what many tests have in common is a file that is written once
and that each of them names.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Any
from uuid import uuid4

from allure_commons import hookimpl, plugin_manager
from allure_commons.model2 import ATTACHMENT_PATTERN, Attachment

from harness.evidence.failure import STARTUP, TYPES, UNREACHABLE, Exhibit
from harness.graph.svg import picture
from harness.host import HostError
from harness.lab import Lab

# Of our modules, what nobody may read (nacm:default-deny-all) of a box: the keys that IPsec peers share.
_SECRET = re.compile(r"(<(?:[\w-]+:)?secret\b[^>]*>)[^<]*")


class Attached:
    """Attachments of the test that runs, of a run with Allure's results: of equal texts there is one file."""

    def __init__(self) -> None:
        self._files: dict[bytes, str] = {}
        self._due: list[Attachment] = []

    def attach(self, exhibit: Exhibit) -> None:
        kind, content = TYPES[exhibit.extension], exhibit.text.encode()
        known = sha256(kind.extension.encode() + content).digest()
        if known not in self._files:
            self._files[known] = ATTACHMENT_PATTERN.format(prefix=uuid4(), ext=kind.extension)
            plugin_manager.hook.report_attached_data(body=content, file_name=self._files[known])
        self._due.append(Attachment(name=exhibit.name, source=self._files[known], type=kind.mime_type))

    @hookimpl(tryfirst=True)
    def report_result(self, result: Any) -> None:
        """Before it is written: the test's own, not those of a fixture."""
        result.attachments.extend(self._due)
        self._due.clear()


class Common:
    """What the tests on one lab have in common, as long as nothing changes it."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.picture = Exhibit(f"topology {lab.topology.name}", picture(lab.topology), "svg")
        self._boxes = [name for name, node in lab.topology.nodes.items() if node.personality]
        self._stamps: dict[str, Any] = {}
        self._configurations: dict[str, Exhibit] = {}

    def configurations(self, *, anew: bool) -> list[Exhibit]:
        """What each box would start with: what it is configured to do, but for changes on trial. Unless `anew`, as it
        was for the test before, if any did something.
        """
        if self._boxes and anew:
            self._look()
        return list(self._configurations.values())

    def _look(self) -> None:
        known = {name: self._stamps.get(name) for name in self._boxes}
        try:
            found = self.lab.agent.call("node.files", 10, path=STARTUP, known=known)
        except (HostError, *UNREACHABLE):  # the test has ended well, and the next will say so
            return
        for name, (stamp, text) in found.items():
            self._stamps[name] = stamp
            self._configurations[name] = Exhibit(f"{name} configuration", told(text), "xml")


def told(configuration: str) -> str:
    """Without what nobody may read."""
    return _SECRET.sub(r"\1…", configuration)
