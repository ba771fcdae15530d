"""A client of the service, as a department's own system would be one.

It signs for its token, names its officer, and can repeat what it did without doing it twice.
"""

import json
import secrets
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import jwt

_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_RENEW_BEFORE_S = 30


class Refused(Exception):
    """The service said no; `problem` is its RFC 9457 document."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        self.status = status
        self.problem = problem
        super().__init__(f"{status} {problem.get('code')}: {problem.get('title')}")

    @property
    def code(self) -> str:
        """The stable code of the refusal."""
        return str(self.problem.get("code", "unknown"))


class ServiceClient:
    """One registered client. `operator` is the officer that calls are made for; a client may act for several."""

    def __init__(self, http: httpx.Client, client_id: str, jwk: dict[str, Any], issuer: str) -> None:
        self._http = http
        self._client_id = client_id
        self._jwk = jwk
        self._issuer = issuer
        self._tokens: dict[str, tuple[str, float]] = {}

    @classmethod
    def from_file(cls, http: httpx.Client, client_id: str, key: Path, issuer: str) -> "ServiceClient":
        """Make a client whose private JWK lies in file `key`."""
        return cls(http, client_id, json.loads(key.read_text("utf-8")), issuer)

    def get(self, path: str, *, operator: str = "", **more: Any) -> httpx.Response:
        """Read; returns the answer once it is a good one. Raises `Refused`."""
        return self.request("GET", path, operator=operator, **more)

    def post(self, path: str, body: Any = None, *, operator: str = "", key: str | None = None, **more: Any) -> Any:
        """Change something, safely repeatable under `key`; returns the answer's JSON. Raises `Refused`."""
        headers = {"Idempotency-Key": key or secrets.token_urlsafe(12)}
        answer = self.request("POST", path, operator=operator, headers=headers, json=body, **more)
        return answer.json() if answer.content else None

    def request(
        self,
        method: str,
        path: str,
        *,
        operator: str = "",
        headers: dict[str, str] | None = None,
        subject_token: str = "",
        **more: Any,
    ) -> httpx.Response:
        """Make an authorised call; with a `subject_token` it is made for that holder (RFC 8693). Raises `Refused`."""
        sent = {"Authorization": f"Bearer {self.token(subject_token)}", **(headers or {})}
        if operator:
            sent["Elicence-Operator"] = quote(operator)
        return good(self._http.request(method, path, headers=sent, **more))

    def token(self, subject_token: str = "") -> str:
        """Return an access token that lives a while yet. Raises `Refused`."""
        held = self._tokens.get(subject_token)
        if held is not None and held[1] > time.monotonic() + _RENEW_BEFORE_S:
            return held[0]
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": _ASSERTION,
            "client_assertion": self._assertion(),
        }
        if subject_token:
            form |= {
                "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                "subject_token": subject_token,
                "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
            }
        answer = good(self._http.post("/oauth/token", data=form)).json()
        self._tokens[subject_token] = (answer["access_token"], time.monotonic() + answer["expires_in"])
        return str(answer["access_token"])

    def _assertion(self) -> str:
        now = int(time.time())
        claims = {
            "iss": self._client_id,
            "sub": self._client_id,
            "aud": self._issuer,
            "iat": now,
            "exp": now + 120,
            "jti": secrets.token_urlsafe(16),
        }
        algorithm = "ES256" if self._jwk["crv"] == "P-256" else "EdDSA"
        return jwt.encode(
            claims, jwt.PyJWK(self._jwk).key, algorithm=algorithm, headers={"kid": self._jwk.get("kid", "")}
        )


def good(answer: httpx.Response) -> httpx.Response:
    """Return `answer` if it is a good one. Raises `Refused` with the problem it carries."""
    if answer.is_success:
        return answer
    try:
        problem = answer.json()
    except ValueError:
        problem = {"title": answer.reason_phrase}
    raise Refused(answer.status_code, problem)
