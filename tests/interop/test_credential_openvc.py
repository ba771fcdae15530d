"""openvc-core from PyPI, a strict verifier, judges our licences, status lists and codes; we judge its licences."""

from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256
from openvc import cbor, cose
from openvc.errors import OpenvcError
from openvc.proof.sd_jwt import SdJwtVcProofSuite
from openvc.status.status_list import CredentialRevoked, CredentialSuspended
from openvc.status.token_status_list import decode_status_list, get_status
from openvc.verify import VerificationPolicy, verify_credential

from tests.interop.credential_world import LICENCE_KEY, issue, many, private_scalar, region_of_today
from tests.verifiers.issuer import MARKET, SLOTS, judge
from verifiers.encoding import b32_decode, b64_encode, b64u_decode
from verifiers.errors import Reason
from verifiers.jws import read_json
from verifiers.licence import parse, present
from verifiers.policy import Policy
from verifiers.status_list import compress, inflate, pack
from verifiers.verdict import Outcome

pytestmark = pytest.mark.interop

REGION = region_of_today()
LICENCES = many(REGION)
ROOT = x509.load_der_x509_certificate(REGION.root)


def judged(compact: str, values: dict[int, int] | None = None, root: x509.Certificate = ROOT) -> Any:
    """Its verdict, with the whole certificate path, the binding of `iss` to it, dates and the status list."""
    token = REGION.status_token(values=values or {})

    def resolve(uri: str) -> dict[str, Any]:
        claims: dict[str, Any] = read_json(b64u_decode(token.split(".")[1]), Reason.STATUS)
        assert claims["sub"] == uri
        return claims

    policy = VerificationPolicy(expected_vct=parse(compact).vct)
    return verify_credential(compact, policy=policy, resolve_status_list_token=resolve, x5c_trust_anchors=[root])


@pytest.mark.parametrize("place", range(len(LICENCES)))
def test_it_verifies_our_licences_and_reads_the_same_claims(place: int) -> None:
    """Path, SAN, dates, status and disclosures."""
    compact = LICENCES[place].compact
    for text in (compact, present(compact, [("holders", 0, "name")])):
        claims = {name: value for name, value in judged(text).claims.items() if name != "_sd_alg"}
        assert claims == parse(text).claims


def test_it_tells_revoked_from_suspended_as_we_do() -> None:
    """Values 1 and 2 of the list."""
    issued = LICENCES[0]

    with pytest.raises(CredentialRevoked):
        judged(issued.compact, {issued.idx: 1})
    with pytest.raises(CredentialSuspended):
        judged(issued.compact, {issued.idx: 2})


def test_it_refuses_our_licence_under_another_root() -> None:
    """It pins a root as we do."""
    other = x509.load_der_x509_certificate(region_of_today().root)

    with pytest.raises(OpenvcError):
        judged(LICENCES[0].compact, root=other)


def test_it_reads_our_printed_code_as_cose_and_finds_its_signature_right() -> None:
    """COSE_Sign1 with tag 18, and a signature over the Sig_structure that it builds itself."""
    issued = LICENCES[0]
    data = b32_decode(issued.code.split("#")[1])
    sign1 = cose.parse_sign1(cbor.decode(data))
    jwk = REGION.public(f"{MARKET}/code").jwk()

    assert sign1.protected_header == {1: -7, 4: REGION.public(f"{MARKET}/code").key_id[:8]}
    assert cose.verify_sign1(sign1, public_jwk=jwk)
    assert not cose.verify_sign1(sign1, public_jwk=REGION.public(LICENCE_KEY).jwk())


def test_it_decodes_our_status_lists_equally() -> None:
    """All widths, all slots."""
    for bits in (1, 2, 4, 8):
        values = {idx: idx % (1 << bits) for idx in range(0, SLOTS, 7)}
        packed = pack(values, SLOTS, bits)
        theirs = decode_status_list(compress(packed))

        assert theirs == packed == inflate(compress(packed))
        assert all(get_status(theirs, idx, bits=bits) == values.get(idx, 0) for idx in range(SLOTS))


class Key:
    """Our department's key for its issuer."""

    alg = "ES256"
    kid = REGION.public(LICENCE_KEY).kid

    def __init__(self) -> None:
        self._key = ec.derive_private_key(private_scalar(REGION), ec.SECP256R1())

    def sign(self, data: bytes) -> bytes:
        """r‖s."""
        r, s = utils.decode_dss_signature(self._key.sign(data, ec.ECDSA(SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)


def test_we_verify_what_it_issues_in_all_steps_that_apply() -> None:
    """A licence of another maker, of a type that needs no receipt."""
    region = REGION
    face = read_json(b64u_decode(issue(region, 91).compact.split(".")[1]), Reason.LICENCE)
    claims = {name: value for name, value in face.items() if not name.startswith("_sd")}
    claims |= {"holders": [{"kind": "person", "name": "示例甲"}], "fields": {"scope": "x"}, "number": "JY1"}
    certificate = b64_encode(region.certificate(LICENCE_KEY))

    theirs = SdJwtVcProofSuite().issue(claims, signing_key=Key(), disclosable=["number"], decoys=3, x5c=[certificate])

    region.receipt_rule = "optional"
    verdict = judge(theirs, region.trust(), status=[region.status()], at=region.now, policy=Policy(root=region.pin))
    assert verdict.outcome is Outcome.VALID, verdict.reasons
    assert verdict.licence is not None and verdict.licence["number"] == "JY1"
