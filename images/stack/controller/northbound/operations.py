"""The RPCs of ``elasticlab-network``: what would be, and what is intended."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path

from lxml import etree
from yangkit import ApplyError, Datastores, RpcCall, RpcError, Schema, Tree, treejson, validation, xmlutil
from yangkit.edit import Editor

from controller import drivers
from controller.northbound.backend import IntentBackend
from controller.service.entries import edit
from controller.service.plan import plan
from controller.service.site import ROOT
from controller.southbound.inventory import Inventory

_SERVICES = "{urn:ietf:params:xml:ns:yang:ietf-l3vpn-svc}"
#: Container, list, key, and the RPC's leaf-list of entries to be removed.
_LISTS = [
    (_SERVICES + holder, _SERVICES + entry, _SERVICES + key, leaf)
    for holder, entry, key, leaf in (
        ("vpn-services", "vpn-service", "vpn-id", "remove-vpn"),
        ("sites", "site", "site-id", "remove-site"),
    )
]
_PLAN = "/elasticlab-network:plan"
_OPERATION = f"{{{xmlutil.NC}}}operation"


class Operations:
    """Their handlers, by module and name."""

    def __init__(
        self, stores: Datastores, backend: IntentBackend, inventory: Inventory, yang: tuple[Path, ...]
    ) -> None:
        self._stores, self._backend, self._inventory, self._yang = stores, backend, inventory, yang

    # -- plan --------------------------------------------------------------------------------------------------------

    async def plan(self, call: RpcCall) -> Tree:
        """The edits of devices between what is intended and what would be."""
        running = self._stores.running_tree
        editor = Editor()
        new = editor.run(running, _change(call.input))
        wanted = validation.settle(self._stores.schema, new, running, editor.touched)
        return await asyncio.to_thread(self._planned, treejson.dump(running), treejson.dump(wanted))

    def _planned(self, before: Tree, after: Tree) -> Tree:
        self._backend.check(before, after)
        old, new = self._backend.compiled(before), self._backend.compiled(after)
        found: Tree = {
            "edit": [one.tree() for one in plan(old, new, self._schema_of)],
            "note": [asdict(one) for one in self._backend.notes(before, after)],
        }
        return {name: entries for name, entries in found.items() if entries}

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
        tree = (await asyncio.to_thread(self._backend.compiled, self._stores.running)).get(name)
        if tree is None:
            path = "/elasticlab-network:get-intended/device"
            raise ApplyError(f"device {name!r} has never come: look at network/device", path, "data-missing")
        root = etree.fromstring(edit((), tree, self._schema_of(name), hidden=True))
        for element in root.iter():
            if _OPERATION in element.attrib:
                del element.attrib[_OPERATION]
        return {"config": "".join(etree.tostring(child, encoding="unicode", pretty_print=True) for child in root)}


def _change(asked: Tree) -> etree._Element:
    """What is asked as one edit (RFC 6241, section 7.2); RpcError unless it is about services."""
    config = xmlutil.parse(f'<data xmlns="{xmlutil.NC}">{asked.get("intent", "")}</data>'.encode())
    if any(child.tag != _SERVICES + "l3vpn-svc" for child in config) or len(config) > 1:
        message = f"intent must hold one tree of {ROOT}, and nothing else"
        raise RpcError("invalid-value", message, path=f"{_PLAN}/intent")
    for holder, entry, key, leaf in _LISTS:
        for element in config.iterfind(f"{_SERVICES}l3vpn-svc/{holder}/{entry}"):
            element.set(_OPERATION, "replace")
        for name in asked.get(leaf, []):
            place = _child(_child(config, _SERVICES + "l3vpn-svc"), holder)
            gone = etree.SubElement(place, entry)
            gone.set(_OPERATION, "remove")
            etree.SubElement(gone, key).text = name
    if not len(config):
        message = "give intent, remove-site or remove-vpn: there is nothing to plan"
        raise RpcError("missing-element", message, path=_PLAN, info={"bad-element": "intent"})
    return config


def _child(parent: etree._Element, name: str) -> etree._Element:
    found = parent.find(name)
    return found if found is not None else etree.SubElement(parent, name)
