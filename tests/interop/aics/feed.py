"""A log written with aics-tlog asks a witness for cosignatures through the client of aics-witness.

Reads `{url, vkey, origin, seed, sizes, fork}` from standard input: where the witness is and its 0x04 verifier key, the
log's name and the Ed25519 seed (hex) it signs with, the sizes it grows to, and the size at which it then shows another
tree. Answers with the lines it accepted for each size, and with what became of what it should not have been given. The
client itself checks every cosignature, its time, and the sizes that a conflict names.
"""

import json
import sys

from aics_tlog import Checkpoint, MerkleTree, parse_vkey, sign_checkpoint
from aics_witness.feeder import WitnessAhead, WitnessClient, WitnessConflict, WitnessRejected
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class Log:
    """A log that can show any of its sizes."""

    def __init__(self, origin: str, key: Ed25519PrivateKey, entries: list[bytes]) -> None:
        self.origin, self.key = origin, key
        self.tree = MerkleTree(entries)

    def note(self, size: int) -> bytes:
        """The signed checkpoint of `size` entries."""
        head = Checkpoint(origin=self.origin, size=size, root=self.tree.root(size))
        return bytes(sign_checkpoint(head, self.key, self.origin).to_bytes())


def refused(client: WitnessClient, note: bytes, proof: object) -> dict[str, object]:
    """What became of a request that a witness must not cosign."""
    try:
        return {"lines": client.submit(note, proof)}
    except WitnessRejected as error:
        return {"status": error.status}
    except (WitnessAhead, WitnessConflict) as error:
        return {"conflict": error.known_size}


def main() -> None:
    """Feed the witness."""
    given = json.load(sys.stdin)
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(given["seed"]))
    sizes, fork = given["sizes"], given["fork"]
    entries = [b"entry-%d" % number for number in range(max(sizes) + 10)]
    log = Log(given["origin"], key, entries)
    other = Log(given["origin"], key, [*entries[: fork - 1], *(each + b"!" for each in entries[fork - 1 :])])
    with WitnessClient(given["url"], parse_vkey(given["vkey"]), max_attempts=2) as client:
        answers = [
            {"note": log.note(size).decode(), "lines": client.submit(log.note(size), log.tree.consistency_proof)}
            for size in sizes
        ]
        last = sizes[-1]
        refreshed = client.submit(log.note(last), log.tree.consistency_proof)
    with WitnessClient(given["url"], parse_vkey(given["vkey"]), max_attempts=2) as forgetful:
        # Knows of no size, so it is told one, and goes on from there.
        recovered = forgetful.submit(log.note(last + 1), log.tree.consistency_proof)
    with WitnessClient(given["url"], parse_vkey(given["vkey"]), max_attempts=2) as liar:
        unknown = Log(given["origin"] + "/other", key, entries)
        strange = Log(given["origin"], Ed25519PrivateKey.generate(), entries)
        found = {
            "older": refused(liar, log.note(last), log.tree.consistency_proof),
            "another root": refused(liar, other.note(last + 1), (last + 1, [])),
            "fork": refused(liar, other.note(last + 2), (last + 1, other.tree.consistency_proof(last + 1, last + 2))),
            "no proof": refused(liar, log.note(last + 2), (last + 1, [])),
            "unknown log": refused(liar, unknown.note(last), unknown.tree.consistency_proof),
            "strange key": refused(liar, strange.note(last + 2), strange.tree.consistency_proof),
        }
    json.dump({"answers": answers, "refreshed": refreshed, "recovered": recovered, "refused": found}, sys.stdout)


main()
