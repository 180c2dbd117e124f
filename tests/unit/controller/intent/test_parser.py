"""What the datastore shares is parsed once, and says the same as if it were parsed anew."""

from __future__ import annotations

from typing import Any

import pytest
from controller.intent import Parser, parse
from yangkit import ApplyError

ROOT = "ietf-l3vpn-svc:l3vpn-svc"


def vpn(name: str, tenant: str = "acme") -> dict[str, Any]:
    return {"vpn-id": name, "customer-name": tenant}


def services(*vpns: dict[str, Any]) -> dict[str, Any]:
    return {ROOT: {"vpn-services": {"vpn-service": list(vpns)}}}


def test_only_other_objects_are_parsed() -> None:
    one, two = vpn("one"), vpn("two")
    parser, tree = Parser(), services(one, two)
    first = parser(tree)
    assert parser(tree) is first
    second = parser(services(vpn("one", "other"), two, vpn("0")))
    assert second == parse(services(vpn("one", "other"), two, vpn("0")))
    assert list(second.vpns) == ["0", "one", "two"]
    assert second.vpns["two"] is first.vpns["two"]
    assert second.vpns["one"].tenant == "other"
    assert parser(tree) is first  # the one before is known, too
    assert parser(services(one)) == parse(services(one))


def test_what_is_refused_is_refused_again() -> None:
    parser, good = Parser(), vpn("good")
    parser(services(good))
    for _ in range(2):
        with pytest.raises(ApplyError, match="belongs to somebody"):
            parser(services(good, vpn("bad", "")))
    assert list(parser(services(good)).vpns) == ["good"]
