"""Private keys of people and hubs, as the JWK files that clients have: read, checked, and used for one signature."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from api import strict_json
from keys.errors import BadKey
from keys.private_key import PrivateKey
from keys.public_key import PublicKey
from keys.suites import ES256
from verifiers.encoding import b64u_decode
from verifiers.errors import VerificationError

_MAX_FILE = 65_536


@dataclass(frozen=True, slots=True)
class FileKey:
    """An ES256 key out of a file; `kid` is what the file calls it, or our own id for it."""

    kid: str
    public_key: PublicKey
    sign: Callable[[bytes], bytes]


def read_key(file: Path) -> FileKey:
    """Return the private ES256 key in the JWK `file`.

    Raises `OSError`, `Refusal` with a `body.*` code, or `BadKey` for anything but such a key.
    """
    jwk = strict_json.parse(file.read_bytes(), limit=_MAX_FILE)
    if not isinstance(jwk, dict) or not isinstance(jwk.get("d"), str):
        raise BadKey("not the JWK of a private key")
    public = PublicKey.from_jwk({name: value for name, value in jwk.items() if name != "d"})
    try:
        private = PrivateKey.from_secret(ES256, b64u_decode(jwk["d"], 32))
    except VerificationError as error:
        raise BadKey(error.detail) from None
    if private.public_key != public:
        raise BadKey("the halves of this key do not belong together")
    kid = jwk.get("kid")
    return FileKey(kid if isinstance(kid, str) and kid else public.kid, public, private.sign)
