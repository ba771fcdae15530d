"""What Prometheus sees: rates, sizes and ages; labels from closed sets only, so nobody can make them grow."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from ledger.clock import SystemClock
from ledger.errors import Code

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS_S: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


def _now() -> float:
    return SystemClock().now().timestamp()


class Answers(Collector):
    """Answers by route, method and status, and how long they took: plain numbers, because every call adds to them.

    Written by the event loop, read by whoever collects: copies are taken under the interpreter's lock.
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, int], int] = {}
        self._times: dict[str, list[float]] = {}  # by route: a count for each bucket and one beyond, then their sum
        self._created: dict[object, float] = {}

    def note(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answer of a route's pattern."""
        key = (route, method, status)
        count = self._counts.get(key)
        if count is None:
            self._created[key], count = _now(), 0
        self._counts[key] = count + 1
        times = self._times.get(route)
        if times is None:
            self._created[route] = _now()
            times = self._times[route] = [0] * (len(BUCKETS_S) + 2)
        times[bisect_left(BUCKETS_S, seconds)] += 1
        times[-1] += seconds

    def collect(self) -> Iterator[Metric]:
        """Yield what was counted."""
        counted = CounterMetricFamily(
            "elicence_requests", "Answers by route pattern and status.", labels=["route", "method", "status"]
        )
        for key, count in self._counts.copy().items():
            route, method, status = key
            counted.add_metric([route, method, str(status)], count, created=self._created[key])
        yield counted
        timed = HistogramMetricFamily(
            "elicence_request_seconds", "Time from the request's head to the answer's end.", labels=["route"]
        )
        names = [*(str(float(each)) for each in BUCKETS_S), "+Inf"]
        for route, times in self._times.copy().items():
            *counts, total = times.copy()
            timed.add_metric([route], list(zip(names, accumulate(counts), strict=True)), total)
            timed.add_sample("elicence_request_seconds_created", {"route": route}, self._created[route])
        yield timed


class Metrics:
    """The metrics of one service process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.answers = Answers()
        self.registry.register(self.answers)
        self.refusals = Counter("elicence_refusals_total", "Refusals by code.", ["code"], registry=self.registry)
        self.sent_away = self.refusals.labels(str(Code.SERVICE_BUSY))
        """Of these, callers who were not let in; at hand, because looking a counter up costs more than counting."""
        self.verdicts = Counter("elicence_verdicts_total", "Verdicts by outcome.", ["outcome"], registry=self.registry)
        self.queue = Gauge("elicence_writer_queue", "Proposals waiting for the writer.", registry=self.registry)
        self.preparers_ready = Gauge(
            "elicence_preparers_ready", "Processes beside this one that can prepare licences.", registry=self.registry
        )
        self.preparers_lost = Gauge(
            "elicence_preparers_lost", "Such processes that died since this one started.", registry=self.registry
        )
        self.size = Gauge("elicence_log_size", "Entries committed, as this process last saw.", registry=self.registry)
        self.published = Gauge(
            "elicence_log_published_size", "Entries under a published checkpoint.", registry=self.registry
        )
        self.checkpoint_age = Gauge(
            "elicence_checkpoint_age_seconds", "Time since the last checkpoint was published.", registry=self.registry
        )
        self.status_age = Gauge(
            "elicence_status_list_age_seconds", "Age of the oldest published status list.", registry=self.registry
        )
        self._about_witnesses()
        self._about_peers()
        self._about_the_cascade()

    def _about_witnesses(self) -> None:
        self.witness_answers = Counter(
            "elicence_witness_answers_total",
            "Answers of our witness by log, empty for one it does not know.",
            ["log", "answer"],
            registry=self.registry,
        )
        self.witness_misbehaviour = Counter(
            "elicence_witness_misbehaviour_total",
            "Checkpoints a log signed against what our witness had cosigned, by kind.",
            ["log", "kind"],
            registry=self.registry,
        )
        self.quorum_age = Gauge(
            "elicence_witness_quorum_age_seconds",
            "Time since a quorum of witnesses last answered; -1 where none ever did, or none is asked for.",
            registry=self.registry,
        )
        self.witness_failures = Gauge(
            "elicence_witness_failures",
            "Rounds in a row without a cosignature, by witness of the policy.",
            ["witness"],
            registry=self.registry,
        )
        self.witness_bad_lines = Gauge(
            "elicence_witness_bad_lines",
            "Cosignatures of configured witnesses that failed, since the process started.",
            registry=self.registry,
        )
        self.log_witnessed = Gauge(
            "elicence_log_witnessed_size", "Entries under a witnessed checkpoint.", registry=self.registry
        )

    def _about_peers(self) -> None:
        self.peer_size = Gauge(
            "elicence_peer_log_size", "Verified entries of a peer's log.", ["region"], registry=self.registry
        )
        self.peer_age = Gauge(
            "elicence_peer_age_seconds",
            "Time since all of a peer was last fetched and held; -1 where it never did.",
            ["region"],
            registry=self.registry,
        )
        self.peer_state = Gauge(
            "elicence_peer_state",
            "1 for the state that a peer's log is in.",
            ["region", "state"],
            registry=self.registry,
        )
        self.peer_evidence = Gauge(
            "elicence_peer_evidence",
            "Pieces of evidence kept against a peer's log.",
            ["region"],
            registry=self.registry,
        )

    def _about_the_cascade(self) -> None:
        self.foreign_fallen = Gauge(
            "elicence_foreign_fallen",
            "A peer's licences that are down and that licences here rest on.",
            ["region"],
            registry=self.registry,
        )
        self.foreign_held = Gauge(
            "elicence_foreign_held",
            "A peer's licences whose fall is held here until an operator lets it go on.",
            ["region"],
            registry=self.registry,
        )
        self.foreign_unresolved = Gauge(
            "elicence_foreign_unresolved",
            "A peer's licences that licences here rest on and whose place in its lists is not known yet.",
            ["region"],
            registry=self.registry,
        )
        self.notices_refused = Gauge(
            "elicence_peer_notices_refused",
            "Notices of a peer that were refused since this process started.",
            ["region"],
            registry=self.registry,
        )

    def rest(self, standings: Mapping[str, Any], refused: Mapping[str, int]) -> None:
        """Take over how it stands with what rests on other regions' licences; the labels are peers, and no others."""
        for gauge in (self.foreign_fallen, self.foreign_held, self.foreign_unresolved, self.notices_refused):
            gauge.clear()
        for region, each in standings.items():
            self.foreign_fallen.labels(region).set(each.fallen)
            self.foreign_held.labels(region).set(each.held)
            self.foreign_unresolved.labels(region).set(each.unresolved)
        for region, count in refused.items():
            self.notices_refused.labels(region).set(count)

    def follow(self, states: Iterable[Mapping[str, Any]]) -> None:
        """Take over how following goes; the labels are the peers that are followed, and no others."""
        for gauge in (self.peer_size, self.peer_age, self.peer_state, self.peer_evidence):
            gauge.clear()
        for each in states:
            region, age = each["region"], each["age_s"]
            self.peer_size.labels(region).set(each["size"])
            self.peer_age.labels(region).set(-1 if age is None else age)
            self.peer_state.labels(region, each["state"]).set(1)
            self.peer_evidence.labels(region).set(each["evidence"])

    def watch(self, figures: Mapping[str, Any]) -> None:
        """Take over what the witnesses of the log say; the labels are those of the policy in force, and no others."""
        age = figures["quorum_age_s"]
        self.quorum_age.set(-1 if age is None else age)
        self.witness_failures.clear()
        for witness, failures in figures["failures"].items():
            self.witness_failures.labels(witness).set(failures)
        self.witness_bad_lines.set(figures["bad_lines"])
        self.log_witnessed.set(figures["size"])

    def text(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        return generate_latest(self.registry)
