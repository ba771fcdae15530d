"""The one projector of cases, credit records and reviews.

A reversal lifts bans that other entries laid down, and a decision ends freezes; so these events are projected strictly
in index order, whatever the slices in which rebuild reads them. Import this module wherever events are projected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Final

from ledger.bans import project_banned
from ledger.credit import project_recorded, project_withdrawn
from ledger.database import Writing
from ledger.decisions import project_decided
from ledger.events import Event, projector
from ledger.foreign_causes import FELL, RESTORED, project_fell_abroad, project_restored_abroad
from ledger.foreign_settling import SETTLED, project_each_fell, project_each_restored, project_settled_abroad
from ledger.fraud import project_flagged, project_heard, project_notified
from ledger.freezing import project_frozen, project_lapsed
from ledger.reversal import project_reversed
from ledger.reviews import project_review_closed
from ledger.settling import project_settled, project_turned

_BY_NAME: Final[Mapping[str, Callable[[Writing, Event], None]]] = {
    "fraud.flagged": project_flagged,
    "fraud.notified": project_notified,
    "fraud.heard": project_heard,
    "fraud.frozen": project_frozen,
    "fraud.lapsed": project_lapsed,
    "fraud.decided": project_decided,
    "fraud.reversed": project_reversed,
    "review.closed": project_review_closed,
    "credit.recorded": project_recorded,
    "credit.withdrawn": project_withdrawn,
    "credit.banned": project_banned,
    "fraud.settled": project_settled,
    "causes.turned": project_turned,
    FELL: project_fell_abroad,
    RESTORED: project_restored_abroad,
    SETTLED: project_settled_abroad,
}
# Settling writes thousands of these in a row.
_IN_GROUPS: Final[Mapping[str, Callable[[Writing, Sequence[Event]], None]]] = {
    "licence.fell": project_each_fell,
    "licence.restored": project_each_restored,
}


@projector(*_BY_NAME, *_IN_GROUPS)
def project_cases(tx: Writing, events: Sequence[Event]) -> None:
    """Project the events of cases in the order of the log."""
    for name, group in groupby(events, key=lambda event: event.event):
        if name in _IN_GROUPS:
            _IN_GROUPS[name](tx, list(group))
        else:
            for event in group:
                _BY_NAME[name](tx, event)
