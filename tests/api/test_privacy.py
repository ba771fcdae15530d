"""Nothing personal lies about: not in log lines, metrics, public files, nor readable in the database."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import pytest
import structlog

from api import logs
from tests.api.story import tell, world_on
from tests.ledger.licensing import COMPANY, PERSON

PERSONAL = (
    "示例甲有限公司",
    str(PERSON["id"]),
    "示例省示例市示例路",
    "证明由中介提供",
    "限期整改期间",
    "住所证明经核查系伪造",
    "另有独立证明",
    "法定代表人示例",
)
"""Names, numbers, places and free text that the story sends; a company's own code is the number of its licence."""


def _found(data: bytes) -> list[str]:
    shown = [data, re.sub(rb"\\u([0-9a-f]{4})", lambda m: chr(int(m[1], 16)).encode("utf-8", "replace"), data)]
    return [each for each in PERSONAL if any(each.encode() in one for one in shown)]


async def test_the_whole_story_leaves_nothing_personal_behind(
    sqlite_url: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Every operation, at the most talkative level: standard error, metrics, published files, database, temporary
    files.
    """
    async with world_on(sqlite_url, tmp_path, log_level="DEBUG") as world:
        await tell(world)
        refused = await world.business.call("POST", "/v1/licences", {"type": "x", "holder": PERSON, "fields": {"a": 1}})
        assert refused.status_code == 422
        metrics = (await world.service.http.get("/metrics")).content
        database = Path(sqlite_url.removeprefix("sqlite:///"))
        stored = {file: file.read_bytes() for file in database.parent.glob(f"{database.name}*")}
    out, err = capfd.readouterr()

    assert "elicence_requests_total" in metrics.decode() and '"event":"answer"' in err
    assert _found(metrics) == []
    assert _found((out + err).encode()) == []
    files = [file for file in tmp_path.rglob("*") if file.is_file() and file not in stored]
    assert any(file.name == "checkpoint" for file in files)
    for file in files:
        assert _found(file.read_bytes()) == [], file.relative_to(tmp_path)
    for file, data in stored.items():
        assert _found(data) == [], file.name
    assert str(COMPANY["id"]).encode() in b"".join(stored.values())  # the search itself works


def test_a_careless_line_is_cut(capfd: pytest.CaptureFixture[str]) -> None:
    """Members nobody allowed, texts of exceptions and messages of libraries never come out."""
    logs.configure("DEBUG")
    try:
        raise ValueError(PERSON["id"])
    except ValueError as error:
        structlog.get_logger().error("careless", holder=PERSON["name"], exc_info=error)
        logging.getLogger("library").exception("the number %s", PERSON["id"])

    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["careless", "library"]
    assert _found(json.dumps(lines, ensure_ascii=False).encode()) == [] and "holder" not in lines[0]
