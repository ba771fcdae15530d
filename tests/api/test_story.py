"""Every operation works, and does what its description says."""

import json
import os
from pathlib import Path
from typing import Any

from api import interface
from api.app import create_app
from api.operations import OPERATIONS
from api.settings import Settings
from tests.api.story import tell, world_on

EXAMPLES = Path(interface.__file__).parent / "examples.json"
BINARY = {"getTile", "getLicenceCodePng", "getLicenceFacePdf", "getLicenceCodeSvg", "getLicenceFaceSvg"}
LONGEST = 160


async def test_every_operation_works_as_its_example_shows(sqlite_url: str, tmp_path: Path) -> None:
    """The whole walk over HTTP; each worked example has the shape of what really went in and out.

    `ELICENCE_WRITE=1` writes the examples anew instead.
    """
    async with world_on(sqlite_url, tmp_path) as world:
        await tell(world)

    seen = {name: _shortened(each) for name, each in world.seen.items()}
    missing = set(OPERATIONS) - set(seen) - BINARY
    assert missing == set(), f"the story never called {sorted(missing)}"
    if os.environ.get("ELICENCE_WRITE"):
        EXAMPLES.write_text(json.dumps(seen, ensure_ascii=False, indent=1, sort_keys=True) + "\n", "utf-8")
    kept = json.loads(EXAMPLES.read_text("utf-8"))
    assert _differences(kept, seen) == []


def test_the_kept_description_is_the_one_that_is_served() -> None:
    """docs/openapi.json is what `/openapi.json` serves; `python -m api.openapi docs/openapi.json` writes it."""
    kept = Path(__file__).parent.parent.parent / "docs" / "openapi.json"

    assert kept.read_text("utf-8") == interface.text(create_app(Settings.model_construct()))


def _shortened(value: Any) -> Any:
    """Cut what is long and says nothing to a reader: tokens, proofs, lists of more than two."""
    if isinstance(value, dict):
        return {name: _shortened(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_shortened(each) for each in value[:2]]
    if isinstance(value, str) and len(value) > LONGEST:
        return value[:LONGEST] + "…"
    return value


def _differences(kept: Any, seen: Any, where: str = "") -> list[str]:
    """List where names or kinds of values differ; nothing stands for anything, and of a list the first counts."""
    if kept is None or seen is None:
        return []
    if isinstance(kept, dict) and isinstance(seen, dict):
        odd = [f"{where}/{name}" for name in kept.keys() ^ seen.keys()]
        return odd + [each for name in kept.keys() & seen.keys() for each in _named(kept, seen, name, where)]
    if isinstance(kept, list) and isinstance(seen, list):
        return _differences(kept[0], seen[0], f"{where}/0") if kept and seen else []
    return [] if type(kept) is type(seen) else [where]


def _named(kept: dict[str, Any], seen: dict[str, Any], name: str, where: str) -> list[str]:
    return _differences(kept[name], seen[name], f"{where}/{name}")
