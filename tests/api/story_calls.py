"""The part of the story in which another region calls: it redeems a code, relies on a licence, and sends a notice."""

from dataclasses import replace
from typing import Any

import httpx
import orjson

from api.http_signatures import sign_request
from ledger import presentations
from ledger.followed import StoredList, keep_list
from tests.api.service import Service
from tests.ledger import cases
from tests.ledger.licensing import BUSINESS
from tests.ledger.peering import CODE
from tests.region import BASE_URL
from tests.verifiers.issuer import MARKET, Issuer
from verifiers.dynamic_code import mint
from verifiers.encoding import b64u_decode
from verifiers.jws import compact
from verifiers.notice import NamedLicence, Notice, signing_input
from verifiers.trust_document import Position, TrustedKey
from verifiers.trust_list import open_trust_list


async def call(service: Service, there: Issuer, licence: dict[str, Any]) -> None:
    """Call as the region `there`, which has been admitted, about a licence of ours."""
    region = service.region
    await _name_key(service, there)
    subject = await cases.holder_of(region, licence["id"])
    made = await presentations.prepare(region, subject, {"licences": [{"licence": licence["id"]}]})
    code = mint(made["base"], b64u_decode(made["handle"]), b64u_decode(made["key"]), region.clock.now())
    scan = {
        "code": code,
        "types": [{"type": BUSINESS, "fields": ["registered_capital"]}],
        "matter": "EXAMPLE-SX-62",
        "purpose": "示例：异地办理",
        "window": {"department": MARKET, "region": CODE},
    }
    shown = await _signed(service, there, "/peer/scans", scan)
    assert len(shown["licences"]) == 1
    relied = await _signed(service, there, "/peer/reliances", {"identifiers": [licence["identifier"], "示例标识"]})
    assert relied["unknown"] == ["示例标识"]
    assert await _signed(service, there, "/peer/notices", {"notices": [_notice(service, there)]}) == {
        "states": ["ignored"]
    }


async def _name_key(service: Service, there: Issuer) -> None:
    """Follow the other region's list to the version that names its key for calls."""
    region = service.region
    there.store.create("peer", "ES256")
    key = TrustedKey("peer", there.public("peer"), Position.start(there.origin))
    document = there.document()
    text = there.trust_token(replace(document, seq=document.seq + 1, keys=(*document.keys, key)))
    opened = open_trust_list(text, root_fingerprint=there.pin, at=region.clock.now())
    stored = StoredList(opened.document.seq, opened.digest, text, len(there.entries) - 1)
    await region.database.write(lambda tx: keep_list(tx, CODE, there.pin, stored, region.clock.now()))


async def _signed(service: Service, there: Issuer, path: str, document: dict[str, Any]) -> dict[str, Any]:
    url, body = f"{BASE_URL}{path}", orjson.dumps(document)
    signer, at = there.store.signer("peer"), service.region.clock.now()
    headers = await sign_request(signer, region=CODE, method="POST", url=url, body=body, at=at)
    sent = {"Content-Type": "application/json", "Accept-Language": "en", **headers}
    answer: httpx.Response = await service.http.post(url, content=body, headers=sent)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def _notice(service: Service, there: Issuer) -> str:
    region = service.region
    said = Notice(
        sender=CODE,
        receiver=region.config.region,
        origin=there.origin,
        entry=0,
        cause=f"{there.origin}:0",
        event="fell",
        effect="revoked",
        licences=(NamedLicence("示例标识", there.list_uri, 7),),
        at=region.clock.now().replace(microsecond=0),
    )
    to_sign = signing_input(said, there.public("peer").kid)
    return compact(to_sign, there.sign("peer", to_sign))
