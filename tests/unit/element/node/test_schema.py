"""The models as libyang sees them: the demo's sites are valid, and wrong values are refused with a sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from element import bootstrap
from element.model import read
from element.plan.desired import desired
from element.plan.difference import difference
from yangkit import Module, RpcError, Schema
from yangkit.datastores import Datastores

REPOSITORY = Path(__file__).parents[4]
SITES = REPOSITORY / "topologies/demo/sites"

Change = Callable[[str], str]


@pytest.fixture(scope="module", params=["ucpe", "vmsr"])
def any_schema(request: pytest.FixtureRequest) -> Schema:
    return schema_of(request.param)


@pytest.fixture(scope="module")
def schema() -> Schema:
    return schema_of("vmsr")


def schema_of(personality: str) -> Schema:
    offers = bootstrap.personality(personality)
    return Schema([REPOSITORY / "models/yang"], [Module(o.module, o.features) for o in offers])


class Nothing:
    """A backend that accepts all."""

    async def apply(self, old: object, new: object) -> None:
        """Accept."""

    async def state(self) -> dict[str, object]:
        """None."""
        return {}


async def load(schema: Schema, tmp_path: Path, content: str) -> dict[str, object]:
    """A site's configuration through the real server and client, as the harness pushes it."""
    from yangkit.edit import Editor
    from yangkit.treejson import dump
    from yangkit.xmlutil import parse
    from yangkit.tree import empty
    from yangkit.validation import check

    root = parse(f'<config xmlns="urn:ietf:params:xml:ns:netconf:base:1.0">{content}</config>'.encode())
    tree = Editor().run(empty(schema), root)
    check(schema, tree)
    return dump(tree)


def test_personalities_have_schemas(any_schema: Schema) -> None:
    assert "elasticlab-ipsec" in any_schema.modules


def test_unknown_personality_is_refused() -> None:
    with pytest.raises(bootstrap.FactoryError, match="known are ucpe, vmsr"):
        bootstrap.personality("toaster")
