"""Figures published by others, or fixed by us for others, as JSON."""

import json
from pathlib import Path
from typing import Any


def vectors(name: str) -> Any:
    """Give the parsed file `name`.json of this folder."""
    return json.loads((Path(__file__).parent / f"{name}.json").read_text(encoding="utf-8"))
