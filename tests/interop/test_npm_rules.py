"""certlogic-js, by the authors of CertLogic, judges our rules: the published cases and some thousands made up."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from tests.api.story_equivalences import DECLARATION
from tests.interop.strangers import Programs
from tests.verifiers.made_up_rules import Maker
from tests.verifiers.test_rule import AT, judged
from verifiers.legal_dates import parse_time
from verifiers.rule import rule_data

pytestmark = [pytest.mark.interop, pytest.mark.long, pytest.mark.timeout(900)]

CASES = 4_000


def test_certlogic_judges_alike(node: Programs) -> None:
    """Wherever we decide, it decides the same, also over fields of the wrong type and months that are too short."""
    cases: list[dict[str, Any]] = []
    expected: list[bool] = []
    for seed in range(CASES):
        maker = Maker(Random(seed))
        logic, content = maker.truth(4), maker.content()
        ours = judged(logic, content)
        if isinstance(ours, bool):
            cases.append({"logic": logic, "data": rule_data(content, AT)})
            expected.append(ours)

    answers = node.ask("rules.mjs", {"cases": cases})

    assert len(cases) > CASES // 3
    for case, answer, ours in zip(cases, answers, expected, strict=True):
        assert answer == {"found": ours}, case


def test_certlogic_judges_the_example_as_published(node: Programs) -> None:
    """Each of its cases; where something is not shown, we say that it is open, and CertLogic does not say yes."""
    declaration = json.loads(DECLARATION.read_text("utf-8"))
    trials = declaration["tests"]
    cases = [
        {"logic": declaration["conditions"], "data": rule_data(each["payload"], parse_time(each["at"]))}
        for each in trials
    ]

    answers = node.ask("rules.mjs", {"cases": cases})

    assert [answer["found"] for answer in answers] == [each["expect"] is True for each in trials]
