"""The RPCs of ``elasticlab-network``: what would be, what is intended, and the end of a quarantine."""

from __future__ import annotations

import asyncio
from pathlib import Path

from lxml import etree
from yangkit import ApplyError, Datastores, RpcCall, RpcError, Schema, Tree, treejson, validation, xmlutil
from yangkit.edit import Editor
from yangkit.tree import Container

from controller import drivers
from controller.northbound.alarms import Desk
from controller.northbound.backend import IntentBackend
from controller.service.entries import edit
from controller.service.intent import ROOT
from controller.service.plan import plan
from controller.southbound.inventory import Inventory
from controller.southbound.sessions import Sessions

_SERVICES = "urn:ietf:params:xml:ns:yang:ietf-l3vpn-svc"
_PLAN = "/elasticlab-network:plan"
_OPERATION = f"{{{xmlutil.NC}}}operation"


class Operations:
    """Their handlers, by module and name."""

    def __init__(
        self, stores: Datastores, backend: IntentBackend, inventory: Inventory, yang: tuple[Path, ...], domain: str
    ) -> None:
        self._stores, self._backend, self._inventory = stores, backend, inventory
        self._yang, self._domain = yang, domain

    # -- plan --------------------------------------------------------------------------------------------------------

    async def plan(self, call: RpcCall) -> Tree:
        """The edits of devices between what is intended and what would be."""
        running = self._stores.running_tree
        wanted = self._wanted(self._stores.schema, running, call.input["intent"], call.input.get("operation", "merge"))
        edits = await asyncio.to_thread(self._edits, treejson.dump(running), treejson.dump(wanted))
        return {"edit": edits} if edits else {}

    def _wanted(self, schema: Schema, running: Container, text: str, operation: str) -> Container:
        """Running with the order in it, valid; RpcError says where and why not."""
        config = _order(text)
        if operation == "remove":
            for element in _bare_entries(config):
                element.set(_OPERATION, "remove")
        elif operation == "replace":
            config[0].set(_OPERATION, "replace")
        editor = Editor()
        new = editor.run(running, config)
        return validation.settle(schema, new, running, editor.touched)

    def _edits(self, before: Tree, after: Tree) -> list[Tree]:
        return [one.tree() for one in plan(self._compiled(before), self._compiled(after), self._schema_of)]

    def _compiled(self, tree: Tree) -> dict[str, Tree]:
        return self._backend.compiled(tree, self._domain)

    def _schema_of(self, device: str) -> Schema:
        facts = self._inventory.facts.get(device)
        driver = drivers.find(facts.model, facts.personality) if facts else None
        if driver is None:
            raise ApplyError(f"there is no driver for device {device}", _PLAN, "operation-not-supported")
        return driver.schema(*self._yang)

    # -- intended ----------------------------------------------------------------------------------------------------

    async def get_intended(self, call: RpcCall) -> Tree:
        """What a device shall have of us."""
        name = call.input["device"]
        tree = (await asyncio.to_thread(self._compiled, self._stores.running)).get(name)
        if tree is None:
            path = "/elasticlab-network:get-intended/device"
            raise ApplyError(f"device {name!r} has never come: look at network/device", path, "data-missing")
        root = etree.fromstring(edit((), tree, self._schema_of(name)))
        for element in root.iter():
            if _OPERATION in element.attrib:
                del element.attrib[_OPERATION]
        return {"config": "".join(etree.tostring(child, encoding="unicode", pretty_print=True) for child in root)}


class Releases:
    """The RPC release-device."""

    def __init__(self, sessions: Sessions, desk: Desk) -> None:
        self._sessions, self._desk = sessions, desk

    async def release(self, call: RpcCall) -> Tree:
        """Believe a device again."""
        name = call.input["name"]
        if not await asyncio.to_thread(self._sessions.release, name):
            path = "/elasticlab-network:release-device/name"
            raise ApplyError(f"{name} is in no quarantine: there is nothing to release", path, "data-missing")
        self._desk.released(name)
        return {}


def _order(text: str) -> etree._Element:
    """The content of an anydata node; RpcError unless it is one ``l3vpn-svc``."""
    config = xmlutil.parse(f'<data xmlns="{xmlutil.NC}">{text}</data>'.encode())
    if [child.tag for child in config] != [f"{{{_SERVICES}}}l3vpn-svc"]:
        message = f"intent must hold one tree of {ROOT}, and nothing else"
        raise RpcError("invalid-value", message, path=f"{_PLAN}/intent")
    return config


def _bare_entries(config: etree._Element) -> list[etree._Element]:
    """VPNs and sites that are named by their keys and say nothing more."""
    names = {f"{{{_SERVICES}}}vpn-service", f"{{{_SERVICES}}}site"}
    found = [element for element in config.iter() if element.tag in names and len(element) == 1]
    if not found:
        message = "name the entries to be removed (vpn-service, site) by their keys alone"
        raise RpcError("invalid-value", message, path=f"{_PLAN}/intent")
    return found
