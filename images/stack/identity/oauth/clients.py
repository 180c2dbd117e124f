"""Programs as OAuth clients: what each may do, and how it proves itself."""

from __future__ import annotations

from typing import Any

from authlib.oauth2.rfc6749 import ClientMixin, OAuth2Error
from authlib.oauth2.rfc6749.util import extract_basic_authorization
from cryptography import x509
from stackkit.tokens import thumbprint

from identity.attempts import Attempts, of_program
from identity.credentials import check_password
from identity.directory import Directory
from identity.records import Program
from identity.tokens import SCOPES

from .messages import Message

SECRET = "client_secret_basic"  # noqa: S105
CERTIFICATE = "tls_client_auth"
METHODS = [SECRET, CERTIFICATE]


class Client(ClientMixin):  # type: ignore[misc]
    """A program during one request."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.client_id = program.client_id
        self.thumbprint: str | None = None

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> None:
        """None: the redirect URI must be given (RFC 9700 section 4.1.3 wants it compared each time)."""

    def get_allowed_scope(self, scope: str | None) -> str:
        return " ".join(word for word in dict.fromkeys((scope or "").split()) if word in SCOPES)

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Simple string comparison (RFC 9700 section 2.1)."""
        return redirect_uri in self.program.redirect_uris

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == (CERTIFICATE if self.program.certificate_name else SECRET)

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code" and bool(self.program.redirect_uris)

    def check_grant_type(self, grant_type: str) -> bool:
        if grant_type == "client_credentials":
            return bool(self.program.roles)
        return grant_type in {"authorization_code", "refresh_token"} and bool(self.program.redirect_uris)


class TooManyTries(OAuth2Error):  # type: ignore[misc]
    """RFC 6585, section 4: the secret was not looked at, so nobody is told that it is wrong."""

    error = "temporarily_unavailable"
    status_code = 429

    def __init__(self, wait: int) -> None:
        super().__init__(f"too many tries; wait {wait} s")
        self._wait = wait

    def get_headers(self) -> list[tuple[str, str]]:
        return [*super().get_headers(), ("Retry-After", str(self._wait))]


class Authentication:
    """How clients prove themselves, as Authlib's registry of methods wants it."""

    def __init__(self, directory: Directory, attempts: Attempts) -> None:
        self._directory = directory
        self._attempts = attempts

    def query(self, client_id: str | None) -> Client | None:
        program = self._directory.find(Program, "client_id", client_id) if client_id else None
        return Client(program) if program is not None and program.active else None

    def by_secret(self, _query: Any, request: Message) -> Client | None:
        """RFC 6749 section 2.3.1. Guessing is slowed down per program *and* address: a stranger locks nobody out."""
        try:
            client_id, secret = extract_basic_authorization(request.headers)
        except (ValueError, UnicodeError):
            return None
        if not client_id or not secret:
            return None
        subjects = of_program(client_id[:200], request.source.address)
        with self._attempts.trying(subjects, known=True) as attempt:
            if attempt.wait:
                raise TooManyTries(attempt.wait)
            client = self.query(client_id)
            attempt.right = check_password(client.program.secret if client else None, secret)
            return client if attempt.right else None

    def by_certificate(self, _query: Any, request: Message) -> Client | None:
        """RFC 8705 section 2.1: the TLS layer has verified the chain; the name in the certificate tells who it is."""
        certificate = request.source.certificate
        client = self.query(request.payload.client_id)
        if certificate is None or client is None or client.program.certificate_name is None:
            return None
        if client.program.certificate_name not in _dns_names(certificate):
            return None
        client.thumbprint = thumbprint(certificate)
        return client


def _dns_names(certificate: bytes) -> list[str]:
    try:
        extensions = x509.load_der_x509_certificate(certificate).extensions
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return []
    return list(names.get_values_for_type(x509.DNSName))
