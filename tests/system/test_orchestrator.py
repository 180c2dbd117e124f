"""The orchestrator in its node: what listens where, who gets in, what comes back after a kill (EV-03, EV-04).

The clients are the standard library's and curl: nobody here wrote them.
"""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any

import pytest

from harness.lab import Lab
from harness.wait import wait_for

pytestmark = pytest.mark.topology("orchestrator")

IDENTITY, MANAGER, GRO, BOOTSTRAP, CALL_HOME = 8441, 8442, 8444, 8572, 4335
WAN = "203.0.113.6"
DEVICES = "/restconf/data/elasticlab-devices:devices"
ORDERS = "/tmf-api/serviceOrdering/v4/serviceOrder"
YANG = "application/yang-data+json"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def body(self) -> Any:
        return json.loads(self.text)


class Token(str):
    """A token that a failed test's report does not show."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<token>"


class Client:
    """HTTPS on the management network, the service CA trusted and nobody else."""

    def __init__(self, lab: Lab) -> None:
        self.folder = lab.factory.directory / "stacks" / "stack"
        self.address = lab["stack"].management_address
        self.context = ssl.create_default_context(cafile=str(self.folder / "service-ca.pem"))

    def ask(
        self,
        method: str,
        port: int,
        path: str,
        token: str | None = None,
        body: Any = None,
        kind: str = "application/json",
    ) -> Answer:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"https://{self.address}:{port}{path}", data, method=method)
        request.add_header("Content-Type", kind)
        if token:
            request.add_header("Authorization", token if " " in token else f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=10, context=self.context) as reply:
                return Answer(reply.status, dict(reply.headers), reply.read().decode())
        except urllib.error.HTTPError as error:
            return Answer(error.code, dict(error.headers), error.read().decode())

    def token(self, program: str, secret: str) -> Token:
        """RFC 6749, section 4.4, with the secret in the header (section 2.3.1)."""
        basic = base64.b64encode(f"{urllib.parse.quote(program)}:{urllib.parse.quote(secret)}".encode()).decode()
        form = "application/x-www-form-urlencoded"
        answer = self.ask("POST", IDENTITY, "/oauth2/token", f"Basic {basic}", "grant_type=client_credentials", form)
        assert answer.status == 200, answer.text
        return Token(answer.body["access_token"])

    def administrator(self) -> str:
        return self.token("labctl", (self.folder / "labctl-secret").read_text().strip())

    def tenant(self, name: str) -> str:
        """A token of a program of the tenant; both are made the first time."""
        admin = self.administrator()
        tenant = {"schemas": ["urn:elasticlab:scim:Tenant"], "name": name, "displayName": name}
        assert self.ask("POST", IDENTITY, "/scim/v2/Tenants", admin, tenant).status in (201, 409)
        secret = f"a-secret-of-{name}-for-this-test"
        program = {
            "schemas": ["urn:elasticlab:scim:Program"],
            "clientId": f"{name}-tests",
            "secret": secret,
            "tenant": name,
            "roles": ["tenant"],
        }
        made = self.ask("POST", IDENTITY, "/scim/v2/Programs", admin, program)
        assert made.status in (201, 409), made.text
        return self.token(f"{name}-tests", secret)


@pytest.fixture
def client(lab: Lab) -> Client:
    return Client(lab)


def device(serial: str) -> dict[str, Any]:
    entry = {"serial": serial, "name": serial.lower(), "model": "ucpe-100", "owner": "acme"}
    return {"elasticlab-devices:device": [entry]}


class TestWhoGetsIn:
    @pytest.mark.parametrize(
        ("port", "path"),
        [(MANAGER, DEVICES), (GRO, ORDERS), (IDENTITY, "/scim/v2/Users")],
        ids=["manager", "gro", "scim"],
    )
    def test_without_a_token_nobody(self, client: Client, port: int, path: str) -> None:
        answer = client.ask("GET", port, path)
        assert answer.status == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")

    def test_the_administrator_keeps_the_registry(self, client: Client) -> None:
        admin = client.administrator()
        place = f"{DEVICES}/device=EL-TEST-1"
        assert client.ask("PUT", MANAGER, place, admin, device("EL-TEST-1"), YANG).status in (201, 204)
        found = client.ask("GET", MANAGER, place, admin).body["elasticlab-devices:device"][0]
        assert (found["name"], found["owner"], found["status"]) == ("el-test-1", "acme", "expected")
        assert client.ask("DELETE", MANAGER, place, admin).status == 204
        assert client.ask("GET", MANAGER, place, admin).status == 404

    def test_a_device_that_makes_no_sense_is_refused_by_name(self, client: Client) -> None:
        admin = client.administrator()
        wrong = {"elasticlab-devices:device": [{"serial": "EL-TEST-2", "name": "No Label", "owner": "acme"}]}
        answer = client.ask("PUT", MANAGER, f"{DEVICES}/device=EL-TEST-2", admin, wrong, YANG)
        assert answer.status == 400
        error = answer.body["ietf-restconf:errors"]["error"][0]
        assert error["error-tag"] == "invalid-value"
        assert "name" in error["error-message"], error

    def test_a_tenant_has_orders_and_no_registry(self, client: Client) -> None:
        acme = client.tenant("acme")
        assert client.ask("GET", GRO, ORDERS, acme).status == 200
        assert client.ask("GET", MANAGER, DEVICES, acme).status == 403
        assert client.ask("GET", IDENTITY, "/scim/v2/Users", acme).status == 403

    def test_an_order_that_makes_no_sense_names_its_field(self, client: Client) -> None:
        order = {
            "serviceOrderItem": [{"id": "1", "action": "add", "service": {"serviceSpecification": {"id": "nothing"}}}]
        }
        answer = client.ask("POST", GRO, ORDERS, client.tenant("acme"), order)
        assert answer.status == 400, answer.text
        assert answer.headers["content-type"].startswith("application/problem+json")
        assert "/serviceOrderItem/0" in answer.text

    def test_a_token_that_was_touched_is_worth_nothing(self, client: Client) -> None:
        head, claims, signature = client.administrator().split(".")
        forged = json.loads(base64.urlsafe_b64decode(claims + "=="))
        forged["tenant"] = "globex"
        changed = base64.urlsafe_b64encode(json.dumps(forged).encode()).decode().rstrip("=")
        assert client.ask("GET", MANAGER, DEVICES, f"{head}.{changed}.{signature}").status == 401


class TestTheNode:
    def test_devices_find_what_is_theirs_and_nothing_else(self, lab: Lab) -> None:
        listening = lab["stack"].exec("ss", "-Hltn").splitlines()
        on_wan = {line.split()[3].rpartition(":")[2] for line in listening if line.split()[3].startswith(f"{WAN}:")}
        everywhere = [line for line in listening if line.split()[3].startswith(("0.0.0.0:", "*:", "[::]:"))]
        assert on_wan == {str(BOOTSTRAP), str(CALL_HOME)}
        assert everywhere == []

    def test_the_revocation_list_is_there_for_whoever_asks(self, lab: Lab) -> None:
        ask = ("curl", "-sk", "--max-time", "5", "-o", "/tmp/crl", "-w", "%{http_code} %{content_type}")
        assert lab["internet"].exec(*ask, f"https://{WAN}:{BOOTSTRAP}/crl") == "200 application/pkix-crl"

    def test_a_stranger_is_given_nothing(self, lab: Lab) -> None:
        operation = "/restconf/operations/ietf-sztp-bootstrap-server:get-bootstrapping-data"
        ask = ("curl", "-sk", "--max-time", "5", "-o", "/dev/null", "-w", "%{http_code}", "-X", "POST")
        body = ("-H", "Content-Type: application/yang-data+json", "-d", '{"ietf-sztp-bootstrap-server:input": {}}')
        assert lab["internet"].exec(*ask, *body, f"https://{WAN}:{BOOTSTRAP}{operation}") == "401"

    def test_each_component_is_a_user_of_its_own_and_reads_its_own_keys_only(self, lab: Lab) -> None:
        users = {}
        for line in lab["stack"].exec("ps", "-eo", "uid,args").splitlines():
            user, _, command = line.strip().partition(" ")
            if "-m " in command and "/opt/stack" in command:
                users[command.rpartition(" ")[2]] = int(user)
        assert sorted(users) == ["controller", "gro", "identity", "manager", "portal"]
        assert len(set(users.values())) == 5
        assert 0 not in users.values()
        for name, owner in users.items():
            for other, uid in users.items():
                run = lab["stack"].run("chpst", "-u", f":{uid}:{uid}", "cat", f"/run/{name}/{name}.key")
                assert run.ok == (name == other)
            assert not lab["stack"].run("chpst", "-u", f":{owner}:{owner}", "cat", f"/factory/{name}.key").ok

    def test_no_secret_is_in_logs_or_process_lists(self, lab: Lab, client: Client) -> None:
        client.administrator()
        seen = lab["stack"].exec("sh", "-c", "ps axeww; cat /var/log/*/current")
        for name in ("admin-password", "labctl-secret"):
            assert (client.folder / name).read_text().strip() not in seen


@pytest.mark.parametrize(("component", "port"), [("identity", IDENTITY), ("manager", MANAGER), ("gro", GRO)])
def test_a_killed_component_comes_back_with_what_it_acknowledged(
    lab: Lab, client: Client, component: str, port: int
) -> None:
    admin = client.administrator()
    place = f"{DEVICES}/device=EL-TEST-9"
    assert client.ask("PUT", MANAGER, place, admin, device("EL-TEST-9"), YANG).status in (201, 204)
    pattern = f"python -m {component}$"
    killed = lab["stack"].exec("pgrep", "-f", pattern).strip()
    lab["stack"].exec("kill", "-KILL", killed)

    def back() -> bool:
        """Another process, and it answers (whoever has no token is told so)."""
        found = lab["stack"].run("pgrep", "-f", pattern).stdout.strip()
        if found in ("", killed):
            return False
        try:
            return client.ask("GET", port, "/").status < 500
        except urllib.error.URLError:
            return False

    wait_for(f"{component} to be back", back, 20)
    assert client.ask("GET", MANAGER, place, client.administrator()).status == 200
    assert client.ask("GET", GRO, ORDERS, client.tenant("acme")).status == 200
    assert client.ask("DELETE", MANAGER, place, client.administrator()).status == 204
