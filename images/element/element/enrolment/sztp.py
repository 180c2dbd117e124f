"""The client of a bootstrap server: RFC 8572, section 7, with a certificate request by RFC 9646."""

from __future__ import annotations

import base64
import binascii
import json
import logging
from typing import Any

from element.enrolment.errors import EnrolmentError
from element.enrolment.https import Https, Response
from element.factory import Identity

log = logging.getLogger(__name__)

MEDIA = "application/yang-data+json"
_SERVER, _CSR = "ietf-sztp-bootstrap-server", "ietf-sztp-csr"
_P256 = "MBMGByqGSM49AgEGCCqGSM49AwEH"
"""AlgorithmIdentifier of keys on P-256 (RFC 5480, section 2.1.1), as RFC 9646 has it: DER in base64."""
_P10 = "p10-csr"
_REQUESTS = ("csr-request", "request-info")
"""The structure in error-info: as RFC 9646 names it, and as its drafts did."""


class BootstrapServer:
    """One server, which is trusted because its TLS certificate is (RFC 8572, section 5.1)."""

    def __init__(self, https: Https, url: str, identity: Identity) -> None:
        self._https = https
        self._url = url.rstrip("/")
        self._model = {"hw-model": identity.model}

    def bootstrapping_data(self, csr: bytes) -> bytes:
        """Conveyed information (CMS) that holds a certificate for the request."""
        offer = {
            "key-generation": {"supported-algorithms": {"algorithm-identifier": [_P256]}},
            "csr-generation": {"supported-formats": {"format-identifier": [f"ietf-ztp-types:{_P10}"]}},
        }
        first = self._call("get-bootstrapping-data", self._model | {f"{_CSR}:csr-support": offer})
        if first.status == 200:
            raise EnrolmentError(f"{self._url} does not ask for a certificate request (RFC 9646)")
        self._check_request(first)
        order = self._model | {f"{_CSR}:{_P10}": base64.b64encode(csr).decode()}
        answer = self._call("get-bootstrapping-data", order)
        if answer.status != 200:
            raise EnrolmentError(f"{self._url} refuses: {_complaint(answer)}")
        output = _object(answer).get(f"{_SERVER}:output")
        conveyed = output.get("conveyed-information") if isinstance(output, dict) else None
        try:
            return base64.b64decode(str(conveyed or "?"), validate=True)
        except (binascii.Error, ValueError):
            raise EnrolmentError(f"{self._url} answers without conveyed-information") from None

    def _check_request(self, answer: Response) -> None:
        """RFC 9646, section 2.2: the server asks for a request, in a way that we have offered."""
        error = _error(answer)
        info = error.get("error-info")
        found = [info[f"{_CSR}:{name}"] for name in _REQUESTS if f"{_CSR}:{name}" in info] if info else []
        if answer.status != 400 or not found or not isinstance(found[0], dict):
            raise EnrolmentError(f"{self._url} refuses: {_complaint(answer)}")
        chosen = found[0].get("csr-generation", {}).get("selected-format", {}).get("format-identifier", _P10)
        algorithm = found[0].get("key-generation", {}).get("selected-algorithm", {}).get("algorithm-identifier", _P256)
        if chosen.rpartition(":")[2] != _P10 or algorithm != _P256:
            raise EnrolmentError(f"{self._url} wants {chosen} with algorithm {algorithm}, which was not offered")

    def report(self, progress: str, message: str = "", **more: Any) -> bool:
        """Report progress (section 7.3). Nothing depends on it but the operator's view."""
        order = {"progress-type": progress} | ({"message": message} if message else {}) | more
        try:
            answer = self._call("report-progress", order)
        except EnrolmentError as error:
            log.info("progress %s is not reported: %s", progress, error)
            return False
        if answer.status not in {200, 204}:
            log.info("progress %s is not taken by %s: %s", progress, self._url, _complaint(answer))
        return answer.status in {200, 204}

    def _call(self, operation: str, order: dict[str, Any]) -> Response:
        url = f"{self._url}/restconf/operations/{_SERVER}:{operation}"
        body = json.dumps({f"{_SERVER}:input": order}).encode()
        return self._https.post(url, body, {"Content-Type": MEDIA, "Accept": MEDIA})


def host_key(public: bytes) -> dict[str, Any]:
    """The part of the last report that tells the SSH host key (section 7.3, ssh-host-keys)."""
    key = {"algorithm": "ssh-ed25519", "key-data": public.decode()}
    return {"ssh-host-keys": {"ssh-host-key": [key]}}


def _object(answer: Response) -> dict[str, Any]:
    try:
        tree = json.loads(answer.body)
    except ValueError:
        return {}
    return tree if isinstance(tree, dict) else {}


def _error(answer: Response) -> dict[str, Any]:
    """The first error of a RESTCONF answer (RFC 8040, section 7.1)."""
    errors = _object(answer).get("ietf-restconf:errors")
    listed = errors.get("error") if isinstance(errors, dict) else None
    return listed[0] if isinstance(listed, list) and listed and isinstance(listed[0], dict) else {}


def _complaint(answer: Response) -> str:
    error = _error(answer)
    text = error.get("error-message") or error.get("error-tag") or "no reason given"
    return f"status {answer.status}, {text}"
