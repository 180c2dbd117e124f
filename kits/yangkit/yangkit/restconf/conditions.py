"""Entity tags, times of change and conditional requests (RFC 8040, sections 3.4.1 and 3.5.1; RFC 9110, section 13)."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

from yangkit import treexml
from yangkit.restconf.media import Encoding
from yangkit.restconf.messages import Headers, Request, protocol_error
from yangkit.tree import Container, List, Node

_KEPT = "restconf-etag"


def digest(tree: Container) -> str:
    """Names the content of a configuration: equal ones have the same, also after a restart.

    It is made of the digests of what is in it, which stay with those parts that an edit has not touched.
    """
    return _container(tree).hex()[:20]


def _container(node: Container) -> bytes:
    known = node.recall(_KEPT)
    if not isinstance(known, bytes):
        parts = [_named(child) for _, child in sorted(node.children.items(), key=lambda one: one[0].qualified_name)]
        known = hashlib.sha256(b"".join(parts)).digest()
        node.remember(_KEPT, known)
    return known


def _named(node: Node) -> bytes:
    if isinstance(node, List):
        parts = [_named(entry) for entry in node.entries.values()]
        content = b"".join(parts if node.schema.user_ordered else sorted(parts))
    elif isinstance(node, Container):
        content = _container(node)
    else:
        content = treexml.dump_node(node).encode("utf-8", "replace")
    return hashlib.sha256(node.schema.qualified_name.encode() + b"\0" + content).digest()


def headers(tree: Container, modified: datetime, encoding: Encoding) -> Headers:
    """ETag (representations in different encodings have different ones) and Last-Modified."""
    return [
        ("etag", f'"{digest(tree)}-{encoding}"'),
        ("last-modified", format_datetime(modified, usegmt=True)),
    ]


def check(request: Request, tree: Container, modified: datetime, there: bool) -> None:
    """412 unless the conditions of a changing request hold; ``there``: the target exists."""
    match = request.headers.get("if-match")
    if match is not None:
        if not _matches(match, tree, there):
            raise _failed("If-Match")
    elif (since := _moment(request.headers.get("if-unmodified-since"))) is not None and modified > since:
        raise _failed("If-Unmodified-Since")
    none_match = request.headers.get("if-none-match")
    if none_match is not None and _matches(none_match, tree, there):
        raise _failed("If-None-Match")


def unchanged(request: Request, tree: Container, modified: datetime) -> bool:
    """Has the client of a GET what it asks for (304)?"""
    none_match = request.headers.get("if-none-match")
    if none_match is not None:
        return _matches(none_match, tree, True)
    since = _moment(request.headers.get("if-modified-since"))
    return since is not None and modified <= since


def _matches(header: str, tree: Container, there: bool) -> bool:
    if header.strip() == "*":
        return there
    given = {tag.strip().removeprefix("W/").strip('"').rpartition("-")[0] for tag in header.split(",")}
    return digest(tree) in given


def _moment(text: str | None) -> datetime | None:
    """The time in a header; one that cannot be read is passed over (RFC 9110, section 13.1.4)."""
    if text is None:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _failed(header: str) -> Exception:
    return protocol_error(412, "operation-failed", f"the datastore is not as {header} wants it")
