"""What the schema allows and this element cannot do."""

from __future__ import annotations


class UnsupportedError(ValueError):
    """Refused with the reason; ``path`` tells where (RFC 7951, section 6.11)."""

    tag = "operation-not-supported"

    def __init__(self, message: str, path: str) -> None:
        super().__init__(message)
        self.path = path


class InvalidError(UnsupportedError):
    """The schema allows it and it makes no sense."""

    tag = "invalid-value"
