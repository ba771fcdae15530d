"""Key binding JWT (RFC 9901 §4.3): proof that whoever presents a licence holds the key it names in `cnf`.

Licences of today are bearer documents without `cnf`; where one has it, the verifier's policy decides whether proof is
asked for, never whether the presenter happened to attach one.
"""

import datetime as dt
from hashlib import sha256

from keys.errors import BadKey, BadSignature
from keys.public_key import PublicKey
from verifiers.encoding import b64u_encode
from verifiers.errors import Malformed, Reason, VerificationError
from verifiers.jws import parse_jws
from verifiers.licence import UnverifiedLicence
from verifiers.policy import Binding
from verifiers.sd_jwt import join

TYP = "kb+jwt"
_LENGTH_MAX = 8192


def check_key_binding(licence: UnverifiedLicence, expected: Binding | None, at: dt.datetime) -> bool:
    """Whether possession was asked for, after checking that it is proven for `expected` at the time `at`.

    Raises `VerificationError` with `holder.binding` where it is asked for and not proven, or where a proof is attached
    to a licence that names no key.
    """
    confirmation = licence.claims.get("cnf")
    attached = licence.sd_jwt.key_binding
    if expected is None:
        if attached is not None and confirmation is None:
            raise _unproven("a key binding without a key to bind to")
        return False
    if attached is None or type(confirmation) is not dict or type(confirmation.get("jwk")) is not dict:
        raise _unproven("none was given")
    signed_text = join(licence.sd_jwt.token, licence.sd_jwt.disclosures)
    check_key_binding_token(attached, signed_text, confirmation["jwk"], expected, at)
    return True


def check_key_binding_token(
    token: str, signed_text: str, jwk: dict[str, object], expected: Binding, at: dt.datetime
) -> None:
    """Check the key binding `token` over `signed_text`, the presentation up to and with its last tilde.

    Raises `VerificationError` with `holder.binding`.
    """
    try:
        jws = parse_jws(token, typ=TYP, reason=Reason.HOLDER_BINDING, limit=_LENGTH_MAX)
        PublicKey.from_jwk(jwk).check(jws.signing_input, jws.signature)
    except (Malformed, BadKey, BadSignature):
        raise _unproven("the key binding is malformed or not signed by the holder's key") from None
    claims = jws.payload
    issued = claims.get("iat")
    if claims.get("aud") != expected.audience or claims.get("nonce") != expected.nonce:
        raise _unproven("made for another verifier or another time")
    if claims.get("sd_hash") != b64u_encode(sha256(signed_text.encode("ascii")).digest()):
        raise _unproven("made for another presentation")
    if type(issued) is not int or abs(at.timestamp() - issued) > expected.age_max_s:
        raise _unproven("too old, or from the future")


def _unproven(detail: str) -> VerificationError:
    return VerificationError(Reason.HOLDER_BINDING, detail, "disclosures")
