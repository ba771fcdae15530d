"""Another region as this verifier sees it: its trust list, and what whoever follows its log found."""

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum

from verifiers.trust_list import TrustList


class Watch(StrEnum):
    """How a peer's log fares with whoever follows it.

    `unwatched`: nobody does, as with an offline kit. `unreachable` and `frozen` are silence: what was fetched before
    counts until it is too old. The other three are lies or damage: nothing that depends on the log is believed.
    """

    FOLLOWED = "followed"
    UNWATCHED = "unwatched"
    UNREACHABLE = "unreachable"
    FROZEN = "frozen"
    ROLLED_BACK = "rolled_back"
    INCONSISTENT = "inconsistent"
    FORKED = "forked"


@dataclass(frozen=True, slots=True)
class PeerView:
    """A peer's trust list, opened under its own root, and the state of its log at the last good look (`checked_at`).

    The root counts only if the verifier's own trust list names it for that region; `verify` compares. `poll_ms` is how
    often the peer is asked for news (0: whoever made this view does not ask), `logged` whether this version of its list
    was shown to be in its log (`None`: nobody looked).
    """

    trust: TrustList
    watch: Watch = Watch.UNWATCHED
    checked_at: dt.datetime | None = None
    poll_ms: int = 0
    logged: bool | None = None


def stale_bound_s(publish_ms: int, poll_ms: int, ttl_s: int) -> int:
    """Most seconds a withdrawal in one region may stay unseen in another, from the verifier's last good fetch on.

    The issuing region publishes every `publish_ms`, the other asks every `poll_ms`, and what it got counts for `ttl_s`
    (protocol 30). Part of a second counts as a whole one.

    >>> stale_bound_s(200, 1_000, 30)
    32
    """
    return ttl_s + -(-(publish_ms + poll_ms) // 1000)
