"""Errors of the NETCONF protocol: RFC 6241, section 4.3 and appendix A."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lxml import etree

from yangkit.xmlutil import NC, escape, escape_attribute, nc, split, text_of

# RFC 6241, appendix A: where each tag may arise when nobody says otherwise.
_DEFAULT_TYPE = {
    "malformed-message": "rpc",
    "unknown-element": "application",
    "lock-denied": "protocol",
    "access-denied": "application",
}
TAGS = frozenset(
    {
        "access-denied",
        "bad-attribute",
        "bad-element",
        "data-exists",
        "data-missing",
        "in-use",
        "invalid-value",
        "lock-denied",
        "malformed-message",
        "missing-attribute",
        "missing-element",
        "operation-failed",
        "operation-not-supported",
        "resource-denied",
        "rollback-failed",
        "too-big",
        "unknown-attribute",
        "unknown-element",
        "unknown-namespace",
    }
)
_MESSAGES = {
    "in-use": "The request needs a resource that is in use",
    "data-exists": "The data to create exists already",
    "data-missing": "The data does not exist",
    "access-denied": "Access is denied by the access control rules",
}


class RpcError(Exception):
    """One <rpc-error>; ``others`` are further errors of the same reply.

    ``info`` maps names of the standard error-info elements to their text. A name may be in Clark notation
    (``{namespace}name``), else it is in the NETCONF namespace.
    """

    def __init__(
        self,
        tag: str,
        message: str | None = None,
        *,
        type: str | None = None,
        app_tag: str | None = None,
        path: str | None = None,
        info: Mapping[str, str] | None = None,
        severity: str = "error",
        path_namespaces: Mapping[str, str] | None = None,
        others: Iterable[RpcError] = (),
    ) -> None:
        self.tag = tag
        self.message = message if message is not None else _MESSAGES.get(tag, tag.replace("-", " "))
        self.type = type or _DEFAULT_TYPE.get(tag, "application")
        self.app_tag = app_tag
        self.path = path
        self.info = dict(info or {})
        self.severity = severity
        self.path_namespaces = dict(path_namespaces or {})
        self.others = list(others)
        super().__init__(self.message)

    def __str__(self) -> str:
        where = f" at {self.path}" if self.path else ""
        app_tag = f" ({self.app_tag})" if self.app_tag else ""
        more = f" (and {len(self.others)} more)" if self.others else ""
        return f"{self.tag}{app_tag}: {self.message}{where}{more}"

    def all(self) -> list[RpcError]:
        """This error and those that came with it."""
        return [self, *(error for other in self.others for error in other.all())]

    def to_xml(self) -> str:
        """The <rpc-error> elements of this error and those that came with it."""
        return "".join(error._one() for error in self.all())

    def _one(self) -> str:
        parts = [
            "<rpc-error>",
            f"<error-type>{self.type}</error-type>",
            f"<error-tag>{self.tag}</error-tag>",
            f"<error-severity>{self.severity}</error-severity>",
        ]
        if self.app_tag:
            parts.append(f"<error-app-tag>{escape(self.app_tag)}</error-app-tag>")
        if self.path:
            spaces = "".join(f' xmlns:{p}="{escape_attribute(ns)}"' for p, ns in self.path_namespaces.items())
            parts.append(f"<error-path{spaces}>{escape(self.path)}</error-path>")
        parts.append(f'<error-message xml:lang="en">{escape(printable(self.message))}</error-message>')
        if self.info:
            parts.append("<error-info>")
            for name, text in self.info.items():
                parts.append(_info_element(name, text))
            parts.append("</error-info>")
        parts.append("</rpc-error>")
        return "".join(parts)


def _info_element(name: str, text: str) -> str:
    namespace, local = (name[1:].split("}", 1)) if name.startswith("{") else (None, name)
    space = f' xmlns="{escape_attribute(namespace)}"' if namespace else ""
    return f"<{local}{space}>{escape(printable(text))}</{local}>"


def printable(text: str) -> str:
    """Text without the characters that XML 1.0 cannot carry."""
    return "".join(c if c in "\t\n\r" or (c >= " " and c not in "\ufffe\uffff") else "\ufffd" for c in text)


def from_xml(errors: Iterable[etree._Element]) -> RpcError:
    """The exception for the <rpc-error> elements of one reply."""
    made = [_from_element(element) for element in errors]
    made[0].others = made[1:]
    return made[0]


def _from_element(element: etree._Element) -> RpcError:
    def text(name: str) -> str | None:
        found = element.find(nc(name))
        return text_of(found) if found is not None else None

    path = element.find(nc("error-path"))
    info = element.find(nc("error-info"))
    details: dict[str, str] = {}
    for child in info if info is not None else ():
        namespace, name = split(child)
        details[name if namespace in (NC, None) else f"{{{namespace}}}{name}"] = text_of(child)
    return RpcError(
        text("error-tag") or "operation-failed",
        text("error-message") or "",
        type=text("error-type"),
        app_tag=text("error-app-tag"),
        path=text_of(path) if path is not None else None,
        info=details,
        severity=text("error-severity") or "error",
        path_namespaces={p: ns for p, ns in path.nsmap.items() if p} if path is not None else None,
    )
