"""Each suite keeps the same contract, and agrees with figures published by others."""

import base64
import hashlib
import pickle

import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from keys.errors import BadKey, BadSignature, RetiredKey
from keys.private_key import PrivateKey
from keys.public_key import PublicKey
from keys.suites import ED25519, ES256, ML_DSA_44, TABLE, suite
from tests.vectors import vectors

SUITES = sorted(TABLE)
MESSAGE = "示例消息".encode()
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

RFC6979_SCALAR = "C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721"
RFC6979_POINT = (
    "60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6"
    "7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299"
)
RFC6979_SIGNATURES = [
    (
        b"sample",
        "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716"
        "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8",
    ),
    (
        b"test",
        "F1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367"
        "019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083",
    ),
]
RFC8032_TESTS = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555"
        "fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da0"
        "85ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
]


@pytest.fixture(params=SUITES)
def private(request: pytest.FixtureRequest) -> PrivateKey:
    """Give a fresh key of each suite in turn."""
    return PrivateKey.generate(request.param)


def test_what_a_key_signs_its_public_half_checks(private: PrivateKey) -> None:
    """A signature has the suite's length and passes."""
    signature = private.sign(MESSAGE)

    private.public_key.check(MESSAGE, signature)
    assert len(signature) == suite(private.public_key.suite).SIGNATURE_LENGTH


def test_signing_many_keeps_their_order(private: PrivateKey) -> None:
    """The n-th signature is over the n-th message."""
    messages = [str(n).encode() for n in range(5)]

    for message, signature in zip(messages, private.sign_all(messages), strict=True):
        private.public_key.check(message, signature)


def test_a_flipped_bit_anywhere_in_a_signature_is_refused(private: PrivateKey) -> None:
    """No byte of a signature is slack."""
    signature = private.sign(MESSAGE)
    step = max(1, len(signature) // 64)

    for position in range(0, len(signature), step):
        forged = bytearray(signature)
        forged[position] ^= 0x10
        with pytest.raises(BadSignature):
            private.public_key.check(MESSAGE, bytes(forged))


def test_another_message_another_key_or_another_length_is_refused(private: PrivateKey) -> None:
    """A signature is for one message and one key, and neither shorter nor longer."""
    key, signature = private.public_key, private.sign(MESSAGE)
    stranger = PrivateKey.generate(key.suite).public_key

    for checker, message, presented in (
        (key, MESSAGE + b"!", signature),
        (stranger, MESSAGE, signature),
        (key, MESSAGE, signature[:-1]),
        (key, MESSAGE, signature + b"\0"),
        (key, MESSAGE, b""),
        (key, MESSAGE, bytes(len(signature))),
        (key, MESSAGE, b"\xff" * len(signature)),
    ):
        with pytest.raises(BadSignature):
            checker.check(message, presented)


def test_a_key_of_one_suite_does_not_load_as_another(private: PrivateKey) -> None:
    """The suite is a property of the key; claiming another is refused."""
    key = private.public_key

    for other in set(SUITES) - {key.suite}:
        with pytest.raises(BadKey):
            PublicKey(other, key.spki)
        with pytest.raises(BadKey):
            PublicKey.from_raw(other, key.raw)
        with pytest.raises(BadKey):
            PublicKey.from_text(key.to_text().replace(key.suite, other))


def test_a_public_key_reads_back_from_each_of_its_forms(private: PrivateKey) -> None:
    """SPKI, raw bytes, text, JWK and pickle all give an equal key."""
    key = private.public_key

    forms = (
        PublicKey.from_spki(key.spki),
        PublicKey.from_raw(key.suite, key.raw),
        PublicKey.from_text(key.to_text()),
        PublicKey.from_jwk(key.jwk()),
        pickle.loads(pickle.dumps(key)),
    )

    assert set(forms) == {key}
    assert PrivateKey.from_pkcs8(private.pkcs8()).public_key == key


def test_the_key_id_is_the_hash_of_the_spki(private: PrivateKey) -> None:
    """`key_id` has 32 bytes and `kid` is its first 16 as base64url."""
    key = private.public_key

    assert key.key_id == hashlib.sha256(key.spki).digest()
    assert key.kid == base64.urlsafe_b64encode(key.key_id[:16]).rstrip(b"=").decode()
    assert len(key.kid) == 22


def test_truncated_extended_or_altered_public_keys_are_refused(private: PrivateKey) -> None:
    """One key has one encoding; anything else is `BadKey`."""
    spki = private.public_key.spki

    for bad in (b"", spki[:-1], spki + b"\0", b"\x31" + spki[1:], bytes(len(spki))):
        with pytest.raises(BadKey):
            PublicKey.from_spki(bad)


def test_a_destroyed_key_signs_no_more(private: PrivateKey) -> None:
    """After `destroy` neither signing nor saving works."""
    private.destroy()

    with pytest.raises(RetiredKey):
        private.sign(MESSAGE)
    with pytest.raises(RetiredKey):
        private.pkcs8()


def test_a_private_key_does_not_print_or_pickle(private: PrivateKey) -> None:
    """Nothing secret reaches a log line, and no queue can carry a key away."""
    assert private.pkcs8().hex()[-32:] not in repr(private) + str(private)

    with pytest.raises(TypeError):
        pickle.dumps(private)


def test_es256_signs_the_figures_of_rfc_6979() -> None:
    """RFC 6979 A.2.5: P-256 with SHA-256, nonces and all."""
    private = PrivateKey.from_secret(ES256, bytes.fromhex(RFC6979_SCALAR))

    assert private.public_key.raw.hex() == "04" + RFC6979_POINT.lower()
    for message, signature in RFC6979_SIGNATURES:
        assert private.sign(message).hex() == signature.lower()


def test_es256_accepts_high_s() -> None:
    """The twin signature with n - s is as good: nothing is identified by signature bytes."""
    private = PrivateKey.generate(ES256)
    signature = private.sign(MESSAGE)
    s = int.from_bytes(signature[32:])

    private.public_key.check(MESSAGE, signature[:32] + (P256_ORDER - s).to_bytes(32))


@pytest.mark.parametrize(("r", "s"), [(0, 1), (1, 0), (P256_ORDER, 1), (1, P256_ORDER), (2**256 - 1, 2**256 - 1)])
def test_es256_refuses_figures_out_of_range(r: int, s: int) -> None:
    """Neither zero nor the group order and above is a signature."""
    key = PrivateKey.generate(ES256).public_key

    with pytest.raises(BadSignature):
        key.check(MESSAGE, r.to_bytes(32) + s.to_bytes(32))


def test_es256_turns_every_der_length_into_64_bytes() -> None:
    """Short and long integers in DER, which come up once in hundreds of signatures, keep their value."""
    # A fixed key signs deterministically, so these messages bring the rare lengths every time.
    private = PrivateKey.from_secret(ES256, bytes.fromhex(RFC6979_SCALAR))

    for n in (192, 281, 67895, 95258, 148885, *range(60)):  # s, r, both short; s, r two bytes short; and the usual
        message = str(n).encode()
        raw = private.sign(message)
        der = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
        private.held.public_key().verify(der, message, ec.ECDSA(hashes.SHA256()))
        private.public_key.check(message, raw)


def test_es256_refuses_points_off_the_curve_and_compressed_points() -> None:
    """Only the uncompressed form of a real point is a key."""
    point = bytes.fromhex("04" + RFC6979_POINT)
    key = PublicKey.from_raw(ES256, point)
    compressed = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point).public_bytes(
        Encoding.X962, PublicFormat.CompressedPoint
    )

    for bad in (point[:-1] + b"\0", b"\x04" + bytes(64), compressed):
        with pytest.raises(BadKey):
            PublicKey.from_raw(ES256, bad)
    assert key.raw == point


@pytest.mark.parametrize(("seed", "public", "message", "signature"), RFC8032_TESTS)
def test_ed25519_signs_the_figures_of_rfc_8032(seed: str, public: str, message: str, signature: str) -> None:
    """RFC 8032 §7.1, tests 1 and 2."""
    private = PrivateKey.from_secret(ED25519, bytes.fromhex(seed))

    assert private.public_key.raw.hex() == public
    assert private.sign(bytes.fromhex(message)).hex() == signature


def test_ml_dsa_44_checks_a_cosignature_made_by_another_implementation() -> None:
    """The seed gives the published key, and the published signature over the cosigned message passes."""
    published = vectors("tlog")["cosignature_mldsa44"]
    private = PrivateKey.from_secret(ML_DSA_44, bytes.fromhex(published["seed_hex"]))
    raw = base64.b64decode(published["vkey"].split("+", 2)[2])[1:]
    signature = base64.b64decode(published["signature_line_b64"])[4 + 8 :]
    message = bytes.fromhex(published["cosigned_message_hex"])

    assert private.public_key.raw == raw
    private.public_key.check(message, signature)
    with pytest.raises(BadSignature):
        private.public_key.check(message + b"\0", signature)


@pytest.mark.parametrize("name", SUITES)
def test_a_secret_of_the_wrong_length_makes_no_key(name: str) -> None:
    """Seeds and scalars have 32 bytes."""
    for secret in (b"", bytes(31), bytes(33)):
        with pytest.raises(BadKey):
            PrivateKey.from_secret(name, secret)


@pytest.mark.parametrize("scalar", [0, P256_ORDER, 2**256 - 1])
def test_an_es256_scalar_out_of_range_makes_no_key(scalar: int) -> None:
    """A scalar lies between 1 and the group order."""
    with pytest.raises(BadKey):
        PrivateKey.from_secret(ES256, scalar.to_bytes(32))


def test_suites_outside_the_table_are_refused() -> None:
    """The table is closed: no name, public key or private key from elsewhere gets in."""
    stranger = rsa.generate_private_key(65537, 2048)
    spki = stranger.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    p384 = ec.generate_private_key(ec.SECP384R1())

    for name in ("RS256", "none", "es256", ""):
        with pytest.raises(BadKey):
            PrivateKey.generate(name)
    with pytest.raises(BadKey):
        PublicKey.from_spki(spki)
    for held in (stranger, p384):
        with pytest.raises(BadKey):
            PrivateKey(ES256, held)
        with pytest.raises(BadKey):
            PrivateKey.from_pkcs8(held.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(BadKey):
        PrivateKey.from_pkcs8(b"no key")


def test_pyjwt_reads_our_es256_keys_and_signatures() -> None:
    """A JWS made with our raw signature and JWK passes in another library, and theirs in ours."""
    held = ec.generate_private_key(ec.SECP256R1())
    private = PrivateKey(ES256, held)
    theirs = jwt.encode({"sub": "示例"}, held, algorithm="ES256")
    signing_input, _, encoded = theirs.rpartition(".")
    ours = private.sign(signing_input.encode())

    private.public_key.check(signing_input.encode(), base64.urlsafe_b64decode(encoded + "=="))
    token = f"{signing_input}.{base64.urlsafe_b64encode(ours).rstrip(b'=').decode()}"
    assert jwt.decode(token, jwt.PyJWK(private.public_key.jwk()), algorithms=["ES256"]) == {"sub": "示例"}


def test_another_library_checks_our_es256_signature() -> None:
    """`cryptography` accepts our r‖s once it is DER again."""
    held = ec.generate_private_key(ec.SECP256R1())
    raw = PrivateKey(ES256, held).sign(MESSAGE)
    der = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))

    held.public_key().verify(der, MESSAGE, ec.ECDSA(hashes.SHA256()))
    assert decode_dss_signature(der)[0] == int.from_bytes(raw[:32])
