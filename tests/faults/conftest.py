"""Places to suffer in: a region laid down once an engine, copied for each case, and the nursery that runs them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.nursery import Nursery
from tests.faults.subject import Place
from tests.postgres_server import Cluster


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Give the process that starts children."""
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture(scope="session")
def sqlite_place(nursery: Nursery, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a region on SQLite that has come to rest."""
    folder = tmp_path_factory.mktemp("faults")
    shutil.copyfile(sqlite_template, folder / "ledger.db")
    nursery.sound("prepare", f"sqlite:///{folder / 'ledger.db'}", folder)
    return folder


@pytest.fixture(scope="session")
def postgres_place(
    nursery: Nursery, postgres_server: Cluster, postgres_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """Give database and folder of a region on PostgreSQL that has come to rest."""
    folder = tmp_path_factory.mktemp("faults")
    name = postgres_server.create_database(template=postgres_template)
    nursery.sound("prepare", postgres_server.url(name), folder)
    yield name, folder
    postgres_server.drop_database(name)


@pytest.fixture
def place_on(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], Place]]:
    """Give what makes a copy of the resting region on an engine."""
    made: list[str] = []
    folder = tmp_path / "place"

    def make(engine: str) -> Place:
        if engine == "sqlite":
            shutil.copytree(request.getfixturevalue("sqlite_place"), folder)
            return Place(f"sqlite:///{folder / 'ledger.db'}", folder)
        server: Cluster = request.getfixturevalue("postgres_server")
        template, laid = request.getfixturevalue("postgres_place")
        shutil.copytree(laid, folder)
        made.append(server.create_database(template=template))
        return Place(server.url(made[-1]), folder)

    yield make
    for name in made:
        request.getfixturevalue("postgres_server").drop_database(name)
