"""`python -m api.openapi docs/openapi.json`: writes the interface description of a service with default settings."""

import sys
from pathlib import Path

from api import interface
from api.app import create_app
from api.settings import Settings


def main(place: str) -> None:
    """Write the description to `place`."""
    Path(place).write_text(interface.text(create_app(Settings.model_construct())), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
