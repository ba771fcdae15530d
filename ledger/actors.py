"""Who is calling: the authenticated client, the department it acts for and the officer behind it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Actor:
    """An authenticated caller.

    `client` is the registered client's id, `department` the USCC it acts for (18 characters; empty for holders and
    operators of the region), `scopes` the OAuth scopes of its token, `operator` the officer named by
    `Elicence-Operator` (protocol rule 31), `areas` the GB/T 2260 prefixes it may act in (empty: the whole region).
    """

    client: str
    department: str
    scopes: frozenset[str]
    operator: str | None = None
    areas: frozenset[str] = frozenset()

    def may(self, scope: str) -> bool:
        """Tell whether the caller's token carries `scope`."""
        return scope in self.scopes
