"""XML as NETCONF uses it: namespaces, and parsing that trusts nobody."""

from __future__ import annotations

import re
from functools import cache

from lxml import etree

NC = "urn:ietf:params:xml:ns:netconf:base:1.0"
MONITORING = "urn:ietf:params:xml:ns:yang:ietf-netconf-monitoring"
WITH_DEFAULTS = "urn:ietf:params:xml:ns:yang:ietf-netconf-with-defaults"
DEFAULT_ATTRIBUTE = "urn:ietf:params:xml:ns:netconf:default:1.0"
NOTIFICATION = "urn:ietf:params:xml:ns:netconf:notification:1.0"
YANG1 = "urn:ietf:params:xml:ns:yang:1"

BASE_1_0 = "urn:ietf:params:netconf:base:1.0"
BASE_1_1 = "urn:ietf:params:netconf:base:1.1"
CAPABILITY = "urn:ietf:params:netconf:capability:"

MAX_DEPTH = 128

#: Is there an element below so many? The root is the first of them.
_too_deep = etree.XPath(f"boolean(.{'/*' * MAX_DEPTH})")
# A document type declaration is legal only in the prolog, so that looking there finds every one.
_PROLOG = re.compile(rb"(?:\xef\xbb\xbf)?(?:\s+|<\?.*?\?>|<!--.*?-->)*", re.DOTALL)


class MalformedXml(Exception):
    """The bytes are no XML document that NETCONF allows."""


@cache
def nc(name: str) -> str:
    """The Clark name of an element of the NETCONF namespace."""
    return f"{{{NC}}}{name}"


def parse(data: bytes) -> etree._Element:
    """Parse one untrusted message: UTF-8 only, no DTD (so no entities), bounded depth (RFC 6241, section 3)."""
    prolog = _PROLOG.match(data)
    if prolog is not None and data.startswith(b"<!DOCTYPE", prolog.end()):
        raise MalformedXml("document type declarations are not allowed (RFC 6241, section 3)")
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise MalformedXml(str(error)) from None
    # Whatever is nested so deep has as many tags that begin, and as many that end: most messages have fewer.
    if data.count(b"<") >= 2 * MAX_DEPTH:
        check_depth(root)
    return root


def check_depth(root: etree._Element) -> None:
    """MalformedXml when elements are nested deeper than any of our documents may be."""
    if _too_deep(root):
        raise MalformedXml(f"elements are nested deeper than {MAX_DEPTH}")


def split(element: etree._Element) -> tuple[str | None, str]:
    """Namespace and local name of an element."""
    return split_name(element.tag)


def split_name(tag: str) -> tuple[str | None, str]:
    """Namespace and local name of a Clark name."""
    if tag.startswith("{"):
        namespace, _, name = tag[1:].partition("}")
        return namespace, name
    return None, tag


def text_of(element: etree._Element) -> str:
    """The text of an element, without the white space around it."""
    return (element.text or "").strip()


def escape(text: str) -> str:
    """Text made safe for element content."""
    # Not by xml.sax.saxutils, which imports half an HTTP client; a bare carriage return would come back as a line feed.
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")


def escape_attribute(text: str) -> str:
    """Text made safe for an attribute in double quotes."""
    return escape(text).replace('"', "&quot;").replace("\n", "&#10;").replace("\t", "&#9;")
