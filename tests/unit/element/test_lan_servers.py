"""The servers' keeper, with programs that do nothing: what it starts, and what it leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from element.lan.daemons import Folders, lease_file
from element.lan.servers import Servers
from element.model import Config


def keeper(tmp_path: Path, config: Callable[[], Config | None]) -> Servers:
    (tmp_path / "given").mkdir()
    return Servers(Folders(tmp_path / "told", tmp_path / "given", tmp_path / "behind"), config)


def test_tenants_and_interfaces_with_dots_share_no_leases(tmp_path: Path, pop: Config) -> None:
    folders = Folders(tmp_path, tmp_path, tmp_path)
    near = pop.interface("br-2")
    names = (("a.b", "c"), ("a", "b.c"))
    assert len({lease_file(replace(near, tenant=tenant, name=name), folders) for tenant, name in names}) == 2


async def test_leases_of_servers_that_are_not_wanted_go(tmp_path: Path, pop: Config) -> None:
    servers = keeper(tmp_path, lambda: pop)
    kept, gone, hidden = (tmp_path / "given" / name for name in ("acme:br-2", "acme:lan", ".lan.pid"))
    for file in (kept, gone, hidden):
        file.touch()
    servers._forget({kept})
    assert kept.exists()
    assert hidden.exists()
    assert not gone.exists()
