"""token-status-list from PyPI and we decode each other's status lists equally."""

import random

import pytest
from token_status_list import BitArray

from tests.verifiers.issuer import SLOTS, Issuer
from verifiers.encoding import b64u_decode
from verifiers.errors import Reason
from verifiers.jws import read_json
from verifiers.status_list import compress, inflate, pack

pytestmark = pytest.mark.interop


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 1.0])
def test_both_codecs_read_the_same_statuses(bits: int, share: float) -> None:
    """Ours in theirs, theirs in ours, from empty to full."""
    chance = random.Random(f"{bits} {share}")
    values = {idx: chance.randrange(1 << bits) for idx in range(SLOTS) if chance.random() < share}

    theirs = BitArray.from_b64(bits, compress(pack(values, SLOTS, bits)))
    made = BitArray.of_size(bits, SLOTS)
    for idx, value in values.items():
        made[idx] = value

    assert [theirs[idx] for idx in range(SLOTS)] == [values.get(idx, 0) for idx in range(SLOTS)]
    assert inflate(made.to_b64()) == pack(values, SLOTS, bits)


def test_it_reads_the_list_in_our_signed_token() -> None:
    """As it is served."""
    token = Issuer().status_token(values={7: 1, 8: 2})
    claim = read_json(b64u_decode(token.split(".")[1]), Reason.STATUS)["status_list"]

    theirs = BitArray.load(claim)

    assert (theirs[6], theirs[7], theirs[8]) == (0, 1, 2)
