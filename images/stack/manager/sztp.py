"""The messages of the bootstrap server: RFC 8572 (section 7) with the CSR of RFC 9646, in JSON (RFC 7951) and XML."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from lxml import etree
from yangkit import xmlutil

from manager.conveyed import Encoding

BOOTSTRAP = "ietf-sztp-bootstrap-server"
CSR = "ietf-sztp-csr"
TYPES = "ietf-ztp-types"
RESTCONF = "ietf-restconf"
_NS = {name: f"urn:ietf:params:xml:ns:yang:{name}" for name in (BOOTSTRAP, CSR, TYPES, RESTCONF)}

MEDIA: dict[Encoding, str] = {"json": "application/yang-data+json", "xml": "application/yang-data+xml"}

# AlgorithmIdentifier (DER) of keys on P-256 and P-384: RFC 5480, section 2.1.1.
P256 = bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107")
P384 = bytes.fromhex("301006072a8648ce3d020106052b81040022")

PROGRESS = frozenset(
    "bootstrap-initiated parsing-initiated parsing-warning parsing-error parsing-complete boot-image-initiated"
    " boot-image-warning boot-image-error boot-image-mismatch boot-image-installed-rebooting boot-image-complete"
    " pre-script-initiated pre-script-warning pre-script-error pre-script-complete config-initiated config-warning"
    " config-error config-complete post-script-initiated post-script-warning post-script-error post-script-complete"
    " bootstrap-warning bootstrap-error bootstrap-complete informational".split()
)
"""progress-type of RFC 8572, section 7.3."""
MESSAGE_LIMIT = 2048

_BOOTSTRAP_LEAFS = {"signed-data-preferred", "hw-model", "os-name", "os-version", "nonce"}
_REPORT_LEAFS = {"progress-type", "message", "ssh-host-keys", "trust-anchor-certs"}
_OTHER_REQUESTS = {f"{CSR}:cmc-csr", f"{CSR}:cmp-csr"}


class Rejected(Exception):
    """A request that is answered with ``ietf-restconf:errors`` (RFC 8040, section 7.1)."""

    def __init__(self, status: int, tag: str, message: str, info: Any = None, kind: str = "application") -> None:
        super().__init__(message)
        self.status = status
        self.tag = tag
        self.message = message
        self.info = info
        self.kind = kind


@dataclass(frozen=True)
class BootstrapInput:
    """Input of get-bootstrapping-data."""

    csr: bytes | None
    #: The device can make a PKCS#10 request (RFC 9646 section 2.2); algorithms that it can make keys for.
    supports_p10: bool
    algorithms: tuple[bytes, ...]


@dataclass(frozen=True)
class Report:
    """Input of report-progress."""

    kind: str
    message: str | None


def encoding_of(media: str | None) -> Encoding:
    """The encoding of a media type; ``Rejected`` 415 for another."""
    plain = (media or "").partition(";")[0].strip().lower()
    for encoding, name in MEDIA.items():
        if plain == name:
            return encoding
    raise Rejected(415, "operation-not-supported", f"send {MEDIA['json']} or {MEDIA['xml']}", kind="protocol")


def accepted(accept: str | None, default: Encoding) -> Encoding:
    """The encoding that the client wants back: that of its request if it may be (RFC 8040, section 5.2)."""
    wanted = [part.partition(";")[0].strip().lower() for part in (accept or "*/*").split(",")]
    if not accept or MEDIA[default] in wanted or "*/*" in wanted or "application/*" in wanted:
        return default
    for encoding, name in MEDIA.items():
        if name in wanted:
            return encoding
    raise Rejected(406, "invalid-value", f"answers are {MEDIA['json']} or {MEDIA['xml']}", kind="protocol")


def parse(body: bytes, encoding: Encoding) -> dict[str, Any]:
    """The input's children, names qualified with their module where it is not that of the RPC."""
    return _parse_json(body) if encoding == "json" else _parse_xml(body)


def _parse_json(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Rejected(400, "malformed-message", "the body is no JSON document") from error
    if not isinstance(document, dict) or list(document) != [f"{BOOTSTRAP}:input"]:
        raise Rejected(400, "malformed-message", f"the body must be an object with the one member {BOOTSTRAP}:input")
    content = document[f"{BOOTSTRAP}:input"]
    if not isinstance(content, dict):
        raise Rejected(400, "invalid-value", f"{BOOTSTRAP}:input must be an object")
    return {name.removeprefix(f"{BOOTSTRAP}:"): value for name, value in content.items()}


def _parse_xml(body: bytes) -> dict[str, Any]:
    try:
        root = xmlutil.parse(body)
    except xmlutil.MalformedXml as error:
        raise Rejected(400, "malformed-message", "the body is no XML document") from error
    if root.tag != f"{{{_NS[BOOTSTRAP]}}}input":
        raise Rejected(400, "malformed-message", f"the body must be the element input of {_NS[BOOTSTRAP]}")
    content = _children(root, BOOTSTRAP)
    return content if isinstance(content, dict) else {}


_LISTS = {"algorithm-identifier", "format-identifier", "ssh-host-key", "trust-anchor-cert"}


def _children(element: etree._Element, module: str) -> Any:
    """An element as JSON would have it; presence containers without content are empty objects."""
    if not len(element):
        return element.text or ""
    result: dict[str, Any] = {}
    for child in element:
        if not isinstance(child.tag, str):
            continue
        space, name = xmlutil.split(child)
        owner = next((known for known, uri in _NS.items() if uri == space), space or "")
        value = _children(child, owner)
        key = name if owner == module else f"{owner}:{name}"
        if name in _LISTS:
            result.setdefault(key, []).append(value)
        elif key in result:
            raise Rejected(400, "bad-element", f"{name} is there twice")
        else:
            result[key] = value
    return result


def bootstrap_input(content: dict[str, Any]) -> BootstrapInput:
    """What get-bootstrapping-data asks; unknown leafs are refused (RFC 7950, section 8.3.1)."""
    known = _BOOTSTRAP_LEAFS | _OTHER_REQUESTS | {f"{CSR}:csr-support", f"{CSR}:p10-csr"}
    _only(content, known)
    if _OTHER_REQUESTS & content.keys():
        raise Rejected(400, "operation-not-supported", "this server takes p10-csr only")
    support = content.get(f"{CSR}:csr-support")
    request = content.get(f"{CSR}:p10-csr")
    if support is not None and request is not None:
        raise Rejected(400, "bad-element", "csr-support and p10-csr are a choice: send one of them")
    if request is not None:
        return BootstrapInput(_binary(request, "p10-csr"), True, ())
    if support is None:
        return BootstrapInput(None, False, ())
    formats = _inside(support, "csr-generation", "supported-formats", "format-identifier")
    # An identity's prefix in XML is the document's own; the name alone is what matters here.
    p10 = any(isinstance(item, str) and item.rpartition(":")[2] == "p10-csr" for item in formats)
    algorithms = _inside(support, "key-generation", "supported-algorithms", "algorithm-identifier")
    return BootstrapInput(None, p10, tuple(_binary(item, "algorithm-identifier") for item in algorithms))


def report(content: dict[str, Any]) -> Report:
    """What report-progress says."""
    _only(content, _REPORT_LEAFS)
    kind, message = content.get("progress-type"), content.get("message")
    if kind is None:
        raise Rejected(400, "missing-element", "progress-type is missing")
    if kind not in PROGRESS:
        raise Rejected(400, "invalid-value", "progress-type is none of RFC 8572, section 7.3")
    if message is not None and not isinstance(message, str):
        raise Rejected(400, "invalid-value", "message must be a string")
    return Report(kind, message[:MESSAGE_LIMIT] if message else None)


def _only(content: dict[str, Any], known: set[str]) -> None:
    for name in content:
        if name not in known:
            raise Rejected(400, "unknown-element", f"{name[:64]} is not known here")


def _inside(tree: Any, *names: str) -> list[Any]:
    for name in names:
        if not isinstance(tree, dict):
            return []
        tree = tree.get(name)
    return tree if isinstance(tree, list) else []


def _binary(value: Any, name: str) -> bytes:
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (AttributeError, ValueError, binascii.Error) as error:
        raise Rejected(400, "invalid-value", f"{name} is not in base64") from error


def request_wanted(asked: BootstrapInput) -> Rejected:
    """The error that asks for a certificate request (RFC 9646, section 2.2 and 2.3)."""
    if not asked.supports_p10:
        message = f"identities are given for a request only: send csr-support with {TYPES}:p10-csr (RFC 9646)"
        return Rejected(400, "missing-element", message)
    info: dict[str, Any] = {"csr-generation": {"selected-format": {"format-identifier": f"{TYPES}:p10-csr"}}}
    if asked.algorithms:
        chosen = next((known for known in (P256, P384) if known in asked.algorithms), None)
        if chosen is None:
            raise Rejected(400, "operation-not-supported", "keys must be on P-256 or P-384 (RFC 5480)")
        identifier = base64.b64encode(chosen).decode()
        info = {"key-generation": {"selected-algorithm": {"algorithm-identifier": identifier}}} | info
    return Rejected(400, "missing-attribute", "Missing input parameter", {f"{CSR}:csr-request": info})


def output(conveyed: str, encoding: Encoding) -> bytes:
    """Output of get-bootstrapping-data."""
    return _document(BOOTSTRAP, "output", {"reporting-level": "verbose", "conveyed-information": conveyed}, encoding)


def errors(problem: Rejected, encoding: Encoding) -> bytes:
    """``ietf-restconf:errors``."""
    entry = {"error-type": problem.kind, "error-tag": problem.tag, "error-message": problem.message}
    if problem.info is not None:
        entry["error-info"] = problem.info
    return _document(RESTCONF, "errors", {"error": [entry]}, encoding)


def _document(module: str, name: str, content: dict[str, Any], encoding: Encoding) -> bytes:
    if encoding == "json":
        return json.dumps({f"{module}:{name}": content}).encode()
    root = etree.Element(f"{{{_NS[module]}}}{name}", nsmap={None: _NS[module]})  # type: ignore[dict-item]
    _fill(root, content, module)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def _fill(parent: etree._Element, content: dict[str, Any], module: str) -> None:
    for key, value in content.items():
        owner, _, name = key.rpartition(":")
        owner = owner or module
        for item in value if isinstance(value, list) else [value]:
            space = _NS[owner]
            names: Any = {None: space} | ({"zt": _NS[TYPES]} if name == "format-identifier" else {})
            child = etree.SubElement(parent, f"{{{space}}}{name}", nsmap=names)
            if isinstance(item, dict):
                _fill(child, item, owner)
            else:
                child.text = str(item).replace(f"{TYPES}:", "zt:") if name == "format-identifier" else str(item)
