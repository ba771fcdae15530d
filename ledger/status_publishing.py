"""Publishing status lists: at once when a bit changed, otherwise before the last token gets older than its `ttl`.

A revocation is as real as its list (promise 3): the task is woken by every commit and looks within milliseconds
whether a bit turned. Only the process that holds the publication lease signs; every process writes the files it
serves from what was stored.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Final

import orjson

from keys.signer import Signer
from ledger.clock import Clock
from ledger.database import Database
from ledger.pacing import Pulse
from ledger.public_files import PublicFiles
from ledger.publication import LeaseLost
from ledger.status_slots import lists_in_use
from ledger.status_tokens import (
    AGGREGATION,
    BITS,
    Bits,
    Snapshot,
    Token,
    drop_old_tokens,
    last_turn,
    newest_tokens,
    path_of,
    read_bits,
    snapshot,
    store_tokens,
    turn_day,
)
from verifiers.encoding import b64u_decode
from verifiers.jws import compact
from verifiers.legal_dates import day_of
from verifiers.status_list import AsOf, compress, header_segment, signing_input

EXPIRY_S: Final = 86_400
"""Life of a token: a historical answer is good between `iat` and `exp`; how old a token may be is for `ttl` and the
type's grace.
"""

RETENTION_S: Final = 30 * 86_400
_SWEEP_S: Final = 3600
# A token is replaced a little before a cache may let it go, so that no reader finds one older than `ttl`.
_REFRESH: Final = 0.8


class StatusPublisher:
    """Keeps the status lists of a region current; one a process, `wake` it on every commit.

    `leads` gives the fencing token of the publication lease while this process holds it, else None. `signer` gives
    the region's status key, which must have its certificate; it is asked each time, so a rotated key is used at once.
    """

    def __init__(
        self,
        database: Database,
        files: PublicFiles,
        clock: Clock,
        *,
        origin: str,
        signer: Callable[[], Signer],
        leads: Callable[[], int | None],
        ttl_s: int = 30,
        pause_s: float = 0.05,
        retention_s: int = RETENTION_S,
    ) -> None:
        self._database = database
        self._files = files
        self._clock = clock
        self._origin = origin
        self._signer = signer
        self._leads = leads
        self._ttl_s = ttl_s
        self._retention_s = retention_s
        self._last: dict[int, tuple[tuple[int, ...], Token]] = {}
        self._served = 0
        self._served_uris: dict[int, str] = {}
        self._swept = 0.0
        self._led: int | None = None
        self._kid = ""
        self._turned: date | None = None
        self._found: Snapshot | None = None
        self.pulse = Pulse("status lists", self.step, pause_s=pause_s, idle_s=min(0.2, ttl_s / 4))

    async def step(self) -> None:
        """Publish what changed or got old, if this process leads; then serve whatever the newest tokens are."""
        token = self._leads()
        if token is not None:
            if token != self._led:
                # Somebody else may have published since: start from what is stored, not from memory.
                self._last, self._led, self._found = {}, token, None
            kid = self._signer().public_key.kid
            if kid != self._kid:
                # Lists of a key that was replaced may count no more, so nobody is left with one until it gets old.
                self._last, self._kid = {}, kid
            try:
                await self._publish(token)
            except BaseException:
                self._led = None  # what was stored may be lost with a server: it is signed again and not shown before
                raise
        await asyncio.to_thread(self._serve)

    def ages(self) -> dict[int, int]:
        """Return how old the newest token of each list is, in seconds, as far as this process publishes them."""
        moment = int(self._clock.now().timestamp())
        return {list_num: moment - token.iat for list_num, (_, token) in self._last.items()}

    async def _publish(self, fencing_token: int) -> None:
        moment = self._clock.now()
        await self._turn(day_of(moment))
        found = self._found = await self._database.read(lambda tx: snapshot(tx, self._found))
        due = self._due(found, moment)
        if due:
            lists = await self._database.read(lambda tx: read_bits(tx, due))
            tokens = await self._sign(lists, moment)
            try:
                await self._database.write(lambda tx: store_tokens(tx, tokens, fencing_token))
            except LeaseLost:
                self._led = None
                return  # nobody saw these tokens; the new leader signs its own
            # Sums are those of the look before the bits were read: if bits turned in between, the next look finds out.
            self._last |= {token.list_num: (found.sums.get(token.list_num, ()), token) for token in tokens}
        if moment.timestamp() - self._swept > _SWEEP_S:
            self._swept = moment.timestamp()
            await self._database.write(lambda tx: drop_old_tokens(tx, int(self._swept) - self._retention_s))

    async def _turn(self, today: date) -> None:
        """Let a new day take effect: suspensions that begin or lapse, appeal periods that end (protocol 20).

        Done before the first token of the day, so what a token says is what holds on the day it was issued.
        """
        if self._turned is None:
            self._turned = await self._database.read(last_turn)
        if self._turned < today:
            since = self._turned
            await self._database.write(lambda tx: turn_day(tx, self._clock, since, today))
            self._turned, self._found = today, None

    def _due(self, found: Snapshot, moment: datetime) -> dict[int, str]:
        due = {}
        for list_num, uri in found.uris.items():
            last = self._last.get(list_num)
            if last is not None and last[0] == found.sums.get(list_num, ()):
                age = moment.timestamp() - last[1].iat
                if age < self._ttl_s * _REFRESH:
                    continue
            due[list_num] = uri
        return due

    async def _sign(self, lists: list[Bits], moment: datetime) -> list[Token]:
        signer = self._signer()
        if signer.certificate is None:
            raise RuntimeError("the status key has no certificate")
        header = header_segment(signer.public_key.kid, signer.certificate)
        issued = moment.astimezone(UTC).replace(microsecond=0)
        expires = issued + timedelta(seconds=max(EXPIRY_S, self._ttl_s))
        packed = await asyncio.to_thread(lambda: [compress(each.packed) for each in lists])
        messages = [
            signing_input(
                header=header,
                uri=each.uri,
                lst=lst,
                bits=BITS,
                issued_at=issued,
                expires_at=expires,
                ttl=self._ttl_s,
                as_of=AsOf(self._origin, each.size),
            )
            for each, lst in zip(lists, packed, strict=True)
        ]
        signatures = await signer.sign(messages)
        iat, exp = int(issued.timestamp()), int(expires.timestamp())
        return [
            Token(each.list_num, iat, exp, each.size, each.digest, compact(message, signature))
            for each, message, signature in zip(lists, messages, signatures, strict=True)
        ]

    def _serve(self) -> None:
        with self._database.reading() as tx:
            seq, tokens = newest_tokens(tx, self._served)
            uris = lists_in_use(tx) if tokens else self._served_uris
        for token in tokens:
            # Processes may share the folder: a slow one must not put an older list over a newer one.
            self._files.write_forward(path_of(token.list_num), token.text.encode("ascii"), order=_position)
        if uris != self._served_uris:
            self._files.write([(AGGREGATION, aggregation(uris))])
        self._served, self._served_uris = seq, uris


def aggregation(uris: dict[int, str]) -> bytes:
    """Return the aggregation document: the addresses of all lists in use (draft-ietf-oauth-status-list §9)."""
    return orjson.dumps({"status_lists": [uris[list_num] for list_num in sorted(uris)]})


def _position(token: bytes) -> tuple[int, int]:
    payload = orjson.loads(b64u_decode(token.split(b".")[1].decode("ascii")))
    return payload["as_of"]["size"], payload["iat"]
