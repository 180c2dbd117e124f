"""What clients import needs no libyang, and what it takes from servers is not trusted."""

from __future__ import annotations

import contextlib
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from yangkit import errors, xmlutil
from yangkit.certnames import NameRule
from yangkit.errors import RpcError


def test_clients_do_not_import_libyang():
    code = "import sys, yangkit.client, yangkit.backend; print([m for m in sys.modules if 'libyang' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


TEXT = st.text(max_size=20)


@given(
    TEXT, st.none() | st.sampled_from(["must-violation", "x"]), st.dictionaries(st.sampled_from(["bad-element"]), TEXT)
)
def test_errors_survive_the_wire(message, app_tag, info):
    error = RpcError("invalid-value", message, app_tag=app_tag, path="/a:b", path_namespaces={"a": "urn:a"}, info=info)
    error.others = [RpcError("data-missing")]
    root = etree.fromstring(f'<rpc-reply xmlns="{xmlutil.NC}">{error.to_xml()}</rpc-reply>'.encode())
    back = errors.from_xml(root)
    assert (back.tag, back.app_tag, back.path, back.path_namespaces) == (
        "invalid-value",
        app_tag,
        "/a:b",
        {"a": "urn:a"},
    )
    assert [other.tag for other in back.others] == ["data-missing"]


@pytest.mark.parametrize(
    "data",
    [b"", b"<a", b"<!DOCTYPE a><a/>", b"\xef\xbb\xbf<!DOCTYPE a><a/>", b"<?x?><!-- --><!DOCTYPE a><a/>",
     b"<a>" * 300 + b"</a>" * 300, "<a/>".encode("utf-16"), b"<a>&b;</a>", b"<a>\xff</a>"],
)  # fmt: skip
def test_malformed_xml(data):
    with pytest.raises(xmlutil.MalformedXml):
        xmlutil.parse(data)


@pytest.mark.parametrize("inner", ["<x/>", "<x></x>", "<x/><!-- <<< --><x/>"])
def test_the_deepest_document_that_may_be(inner):
    """Also when it is short: whether depth is looked at depends on how many tags there are."""

    def document(around):
        return (b"<a>" * around) + inner.encode() + (b"</a>" * around)

    xmlutil.parse(document(xmlutil.MAX_DEPTH - 1))
    with pytest.raises(xmlutil.MalformedXml, match="deeper than 128"):
        xmlutil.parse(document(xmlutil.MAX_DEPTH))


@given(st.binary(max_size=60))
def test_noise_as_xml(data):
    with contextlib.suppress(xmlutil.MalformedXml):
        xmlutil.parse(data)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"map_type": "magic"}, "map_type"),
        ({"map_type": "specified"}, "name"),
        ({"map_type": "common-name", "name": "x"}, "name"),
        ({"map_type": "san-any", "fingerprint": "04:00"}, "fingerprint"),
    ],
)
def test_name_rules_that_mean_nothing_are_refused(settings, reason):
    with pytest.raises(ValueError, match=reason):
        NameRule(**settings)
