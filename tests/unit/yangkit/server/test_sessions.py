"""Sessions over SSH and TLS: the same operations on both."""

from __future__ import annotations

import pytest

KT = "urn:example:kit-test"


@pytest.fixture(params=["ssh", "tls"])
async def any_client(request, lab):
    return await getattr(lab, request.param)()


async def test_edit_commit_read_back(any_client, lab):
    await any_client.edit_config(f'<top xmlns="{KT}"><name>x</name></top>')
    assert len(await any_client.get_config("running")) == 0
    await any_client.commit()
    data = await any_client.get_config("running")
    assert data.findtext(f"{{{KT}}}top/{{{KT}}}name") == "x"
    assert lab.backend.applied[-1] == {"kit-test:top": {"name": "x"}}


async def test_get_has_state_of_backend_and_server(any_client, lab):
    lab.backend.operational = {"kit-test:top": {"state": {"uptime": 7}}}
    data = await any_client.get()
    assert data.findtext(f"{{{KT}}}top/{{{KT}}}state/{{{KT}}}uptime") == "7"
    nm = "{urn:ietf:params:xml:ns:yang:ietf-netconf-monitoring}"
    assert [s.text for s in data.iter(f"{nm}username")] == ["admin"]
    assert data.find("{urn:ietf:params:xml:ns:yang:ietf-yang-library}yang-library") is not None
