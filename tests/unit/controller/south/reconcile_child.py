"""A controller to be killed: reconcile_child.py SETTINGS.json (a child process). It orders what is in ``order``."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from controller.intent import MODULES
from yangkit import Schema

from tests.unit.controller.south import managed
from tests.unit.controller.south.devices import YANG


class Keys:
    """What the test's authority has issued."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.ca = Path(settings["ca"])
        self._issued = {"cert": Path(settings["cert"]), "key": Path(settings["key"])}
        self._crl = Path(settings["crl"])

    def issue(self, _name: str) -> dict[str, Path]:
        return self._issued

    def crl(self) -> bytes:
        return self._crl.read_bytes()


async def main(settings: dict[str, Any]) -> None:
    def die(step: str, _device: str) -> None:
        if step == settings["die"]:
            os.kill(os.getpid(), signal.SIGKILL)

    controller = managed.Controller(Path(settings["directory"]), Keys(settings), Schema([YANG], MODULES))
    controller.port, controller.on_step = settings["port"], die
    await controller.start()
    while not controller.synced(*managed.NAMES):  # noqa: ASYNC110 - there is no event
        await asyncio.sleep(0.01)
    await controller.stores.replace_running(settings["order"])
    await asyncio.sleep(30)


asyncio.run(main(json.loads(Path(sys.argv[1]).read_text())))
