"""A client's account with an Elicence service: signs for its token, names its officer, repeats a call safely.

Needs `httpx` and `pyjwt[crypto]`, and nothing of this project. Every state-changing call carries an `Idempotency-Key`
of the caller's own, so a call that got no answer is simply made again: it happens now, or is answered as before.
"""

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import jwt

BASE = "http://127.0.0.1:8000"
CLIENTS = Path("var/serve/clients.json")
ATTEMPTS = 5
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105 - a name, no secret
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Refused(Exception):
    """The service said no: `problem` is its RFC 9457 document, with a stable `type`, a title and a next step."""

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(f"{problem.get('title')} {problem.get('detail', '')}".strip())
        self.problem = problem


class Account:
    """One registered client. `client_id` and its private JWK are what the operator gave you.

    With a `subject_token`, which the identity platform signed for a person, it acts for that holder (RFC 8693).
    """

    def __init__(self, http: httpx.Client, client_id: str, jwk: dict[str, Any], subject_token: str = "") -> None:
        self._http = http
        self._client_id = client_id
        self._key = jwt.PyJWK(jwk)
        self._subject_token = subject_token
        self._token = ""
        self._renew_at = 0.0
        # The audience of an assertion is exactly the region's issuer string, not the address it is called by.
        self._issuer = str(http.get("/.well-known/elicence-region").raise_for_status().json()["iss"])

    def get(self, path: str, *, operator: str = "") -> httpx.Response:
        """Read something on behalf of an officer."""
        return self._send("GET", path, operator, {})

    def post(self, path: str, body: Any, *, operator: str = "", key: str) -> Any:
        """Change something once, however often this is called with the same `key` and body."""
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        return self._send("POST", path, operator, headers, json.dumps(body).encode()).json()

    def post_rows(self, path: str, rows: list[dict[str, Any]], *, operator: str) -> list[dict[str, Any]]:
        """Send a batch as NDJSON; each row's `client_ref` makes it safe to send again."""
        lines = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        answer = self._send("POST", path, operator, {"Content-Type": "application/x-ndjson"}, lines)
        return [json.loads(line) for line in answer.text.splitlines()]

    def _send(
        self, method: str, path: str, operator: str, headers: dict[str, str], content: bytes | None = None
    ) -> httpx.Response:
        for attempt in range(1, ATTEMPTS + 1):
            # An officer's number or name may be Chinese, headers are ASCII.
            sent = {"Authorization": f"Bearer {self._access()}", "Elicence-Operator": quote(operator), **headers}
            try:
                answer = self._http.request(method, path, headers=sent, content=content)
            except httpx.TransportError:
                if attempt == ATTEMPTS:
                    raise
                time.sleep(2**attempt / 10)
                continue
            if answer.status_code in (429, 503) and attempt < ATTEMPTS:
                time.sleep(float(answer.headers.get("Retry-After", 1)))
                continue
            if answer.is_error:
                raise Refused(answer.json())
            return answer
        raise AssertionError("unreachable")

    def _access(self) -> str:
        """Return an access token, asking for a new one shortly before the last one ends (RFC 7523)."""
        if time.monotonic() >= self._renew_at:
            now = int(time.time())
            claims: dict[str, Any] = {"iss": self._client_id, "sub": self._client_id, "aud": self._issuer}
            claims |= {"iat": now, "exp": now + 120, "jti": secrets.token_urlsafe(16)}
            form = {
                "grant_type": "client_credentials",
                "client_assertion_type": ASSERTION,
                "client_assertion": jwt.encode(claims, self._key.key, algorithm="ES256"),
            }
            if self._subject_token:
                form |= {"grant_type": EXCHANGE, "subject_token": self._subject_token, "subject_token_type": ID_TOKEN}
            answer = self._http.post("/oauth/token", data=form)
            if answer.is_error:
                raise Refused(answer.json())
            granted = answer.json()
            self._token, self._renew_at = granted["access_token"], time.monotonic() + granted["expires_in"] - 30
        return self._token


@contextmanager
def example_account(
    client_id: str, base: str = BASE, clients: Path = CLIENTS, subject_token: str = ""
) -> Iterator[Account]:
    """Open the account of one of the example clients that `make serve` registers."""
    listed = json.loads(clients.read_text("utf-8"))["clients"]
    key = next(Path(each["key"]) for each in listed if each["client_id"] == client_id)
    with httpx.Client(base_url=base, timeout=30) as http:
        yield Account(http, client_id, json.loads(key.read_text("utf-8")), subject_token)
