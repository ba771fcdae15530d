"""The page's verdict on a printed code against `verifiers.verify`: same outcome, same reasons in the same order."""

import datetime as dt
from dataclasses import dataclass, replace
from typing import Any

import pytest
from playwright.async_api import Page

from tests.verifiers.issuer import BASE, FOOD, MARKET, NOW, ORIGIN, REGION, Issuer, judge
from verifiers.errors import VerificationError
from verifiers.policy import Policy
from verifiers.status_list import AsOf, open_status_list
from verifiers.trust_document import Position, Revocation, StatusListName, TrustedGrant
from verifiers.trust_list import open_trust_list

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

ISSUER = Issuer()
FACE = ISSUER.face()
START, END = Position.start(ORIGIN), ISSUER.position()
DAY = dt.timedelta(days=1)
JUDGE = """async (cases) => {
  const { readCode, Refused } = await import("/pages/static_code.js");
  const { openTrustList, openStatusList } = await import("/pages/signed_lists.js");
  const { judge, listOf } = await import("/pages/code_verdict.js");
  const opened = async (text, open) => {
    if (text === null) return null;
    try { return await open(text); } catch (error) { if (error instanceof Refused) return error; throw error; }
  };
  const verdicts = [];
  for (const each of cases) {
    const code = readCode(each.code.split("#")[1]);
    const trust = await opened(each.trust, openTrustList);
    const uri = trust === null || trust instanceof Refused ? null : listOf(trust, code.facts);
    const status = uri === null ? null : await opened(each.status, (text) => openStatusList(text, trust, uri));
    const { outcome, reasons, notes } = await judge(code, trust, status, each.at);
    verdicts.push([outcome, reasons, notes]);
  }
  return verdicts;
}"""


@dataclass(frozen=True)
class Case:
    """A code with the lists and the time it is judged by."""

    name: str
    code: str
    trust: str | None
    status: str | None
    at: dt.datetime = NOW

    def for_page(self) -> dict[str, Any]:
        """Return it as the page is given it."""
        return {"code": self.code, "trust": self.trust, "status": self.status, "at": int(self.at.timestamp())}

    def by_python(self) -> list[Any]:
        """Return what `verify` says, in the page's shape; a list that cannot be opened is the finding it is."""
        trust = None
        if self.trust is not None:
            trust = open_trust_list(self.trust, root_fingerprint=ISSUER.pin, at=self.at)
        lists, refused = [], None
        if self.status is not None and trust is not None:
            try:
                lists = [open_status_list(self.status, trust)]
            except VerificationError as error:
                refused = str(error.reason)
        verdict = judge(self.code, trust, status=lists, at=self.at, policy=Policy(root=ISSUER.pin))
        reasons = [str(reason) for reason in verdict.reasons]
        if refused is not None:
            return ["invalid", [refused], [str(note) for note in verdict.notes]]
        return [str(verdict.outcome), reasons, [str(note) for note in verdict.notes]]


def code(department: str = MARKET, **changes: Any) -> str:
    """Return a signed code of the example licence with some members changed."""
    return ISSUER.sign_code(ISSUER.code_payload(FACE, department, **changes), department)[1]


def trust(**changes: Any) -> str:
    """Return a signed trust list with some members changed."""
    return ISSUER.trust_token(ISSUER.document(**changes))


def status(value: int = 0, **changes: Any) -> str:
    """Return a signed status list in which the example licence's slot holds `value`."""
    return ISSUER.status_token(values={7: value}, **changes)


def forged() -> str:
    """Return a code whose signature is that of another payload."""
    right, other = code(), code(serial="2026000008")
    # 64 bytes of signature are the last 102 characters and a bit; the frame before them stays.
    return right[:-100] + other[-100:]


def cases() -> list[Case]:
    """Return a case for every way the verdict on a code can go."""
    good, fresh, listed = code(), status(), trust()
    revoked = ISSUER.key_change(f"{MARKET}/code", revoked=Revocation(NOW - DAY, "leaked"))
    ended = (TrustedGrant(MARKET, FOOD, 1, REGION, ("change", "issue"), START, END),)
    changing = (TrustedGrant(MARKET, FOOD, 1, REGION, ("change",), START),)
    unlisted = tuple(key for key in ISSUER.document().keys if key.purpose != "code")
    other_list = (StatusListName(1, f"{BASE}/status-lists/2"),)
    return [
        Case("good", good, listed, fresh),
        Case("with a cut name and several holders", code(name_cut=True, several_holders=True), listed, fresh),
        Case("revoked", good, listed, status(1)),
        Case("suspended", good, listed, status(2)),
        Case("refused", good, listed, status(3)),
        Case("no status list", good, listed, None),
        Case("no trust list", good, None, fresh),
        Case("status within grace", good, listed, fresh, NOW + dt.timedelta(hours=20)),
        Case("status stale", good, listed, fresh, NOW + 2 * DAY - dt.timedelta(seconds=1)),
        Case("revoked in a stale list", good, listed, status(1), NOW + 3 * DAY),
        Case("trust list expired", good, listed, fresh, NOW + 31 * DAY),
        Case("licence expired", good, listed, fresh, NOW.replace(year=2031, month=11, day=20, hour=16)),
        Case("last day of a licence", good, listed, fresh, NOW.replace(year=2031, month=11, day=20, hour=15)),
        Case("not yet valid", good, listed, fresh, NOW.replace(day=20, hour=15)),
        Case("unknown key, fresh list", good, trust(keys=unlisted), fresh),
        Case("unknown key, old list", good, trust(keys=unlisted), fresh, NOW + dt.timedelta(hours=2)),
        Case("forged", forged(), listed, fresh),
        Case("another department's number", code(issuer_number=2), listed, fresh),
        Case("a type nobody knows", code(type_number=9), listed, fresh),
        Case("a type not granted", code(type_number=2), listed, fresh),
        Case("a later version", code(version=2), trust(grants=changing), fresh),
        Case("a first version without leave to issue", good, trust(grants=changing), fresh),
        Case("key compromised", good, trust(keys=revoked), fresh),
        Case("grant ended", good, trust(grants=ended), fresh),
        Case("a list nobody names", code(list_number=9), listed, fresh),
        Case("a slot beyond the list", code(status_idx=2**31), listed, fresh),
        Case("another list's token", good, trust(status_lists=other_list), fresh),
        Case("status of another log", good, listed, status(as_of=AsOf("other.example/log", 1))),
        Case("status signed by the list key", good, listed, status(key="list")),
        Case("status with a bad signature", good, listed, fresh[:-8] + "AAAAAA" + fresh[-2:]),
        Case("clock behind", good, listed, fresh, NOW - dt.timedelta(minutes=10)),
        Case("clock a little behind", good, listed, fresh, NOW - dt.timedelta(minutes=4)),
    ]


async def test_the_page_judges_as_the_verifier_does(page: Page, pages: str) -> None:
    """Outcome, reasons and notes agree in every case."""
    tried = cases()
    await page.goto(f"{pages}/V")

    found = await page.evaluate(JUDGE, [case.for_page() for case in tried])

    for case, (outcome, reasons, notes) in zip(tried, found, strict=True):
        expected = case.by_python()
        assert (case.name, outcome, reasons) == (case.name, *expected[:2])
        assert (case.name, sorted(notes)) == (case.name, sorted(expected[2]))
    assert {outcome for outcome, *_ in found} == {"valid", "invalid", "undetermined"}
    assert len({reason for _, reasons, _ in found for reason in reasons}) >= 20


async def test_a_trust_list_that_was_changed_on_its_way_is_refused(page: Page, pages: str) -> None:
    """No verdict rests on a list whose signature does not hold."""
    listed = trust()
    header, _, signature = listed.split(".")
    other = trust(seq=2).split(".")[1]
    swapped = ISSUER.trust_token(replace(ISSUER.document(), seq=3), key="status")
    await page.goto(f"{pages}/V")

    found = await page.evaluate(
        JUDGE,
        [Case("", code(), text, status()).for_page() for text in (f"{header}.{other}.{signature}", swapped, "x.y.z")],
    )

    assert [(outcome, reasons) for outcome, reasons, _ in found] == [
        ("invalid", ["trust.signature"]), ("invalid", ["trust.certificate"]), ("invalid", ["trust.malformed"]),
    ]  # fmt: skip
