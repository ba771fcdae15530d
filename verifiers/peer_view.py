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

    The root counts only if the verifier's own trust list names it for that region; `verify` compares.
    """

    trust: TrustList
    watch: Watch = Watch.UNWATCHED
    checked_at: dt.datetime | None = None
