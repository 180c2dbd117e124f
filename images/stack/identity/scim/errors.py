"""SCIM errors (RFC 7644 section 3.12)."""

from __future__ import annotations

from starlette.responses import JSONResponse

MEDIA_TYPE = "application/scim+json"
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"


class ScimError(Exception):
    """An error for the client. `kind` is scimType (table 9), where the standard has one."""

    def __init__(self, status: int, detail: str, kind: str | None = None, **headers: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.kind = kind
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def response(self) -> JSONResponse:
        body = {"schemas": [ERROR], "status": str(self.status), "detail": self.detail}
        if self.kind:
            body["scimType"] = self.kind
        return JSONResponse(body, self.status, self.headers, MEDIA_TYPE)


def invalid(detail: str) -> ScimError:
    return ScimError(400, detail, "invalidValue")
