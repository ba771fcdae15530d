"""Fixtures that every test may ask for: databases of both kinds, fresh for each test.

The schema is laid once a process and engine; each test gets a copy of it (a template database, a copied file).
`empty_…` fixtures give a database without a schema, for the migrations themselves.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.postgres_server import Cluster, NoPostgres, cluster

ENGINES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]
# Tests kill processes, not machines: what the kernel was given is kept, and nothing waits for the disk.
TEST_SETTINGS = {"fsync": "off", "full_page_writes": "off"}


# Services that tests start prepare licences themselves, unless a test is about those that do not.
os.environ.setdefault("ELICENCE_PREPARERS", "0")

# What decides whether a change lands gives the same answer twice; everybody else's runs look for new examples.
settings.register_profile("steady", derandomize=True)
settings.load_profile("steady" if os.environ.get("CI") else "default")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Cluster]:
    """Give the PostgreSQL server of this test process, started when the first test asks for it."""
    try:
        server = cluster(TEST_SETTINGS)
    except NoPostgres as missing:
        pytest.fail(str(missing), pytrace=False)
    yield server
    server.close()


@pytest.fixture
def empty_postgres_url(postgres_server: Cluster) -> Iterator[str]:
    """Give the URL of a PostgreSQL database with nothing in it."""
    name = postgres_server.create_database()
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture(scope="session")
def postgres_template(postgres_server: Cluster) -> Iterator[str]:
    """Give the name of a PostgreSQL database with the newest schema, to be copied."""
    from ledger.database import migrate

    name = postgres_server.create_database()
    migrate(postgres_server.url(name))
    yield name
    postgres_server.drop_database(name)


@pytest.fixture
def postgres_url(postgres_server: Cluster, postgres_template: str) -> Iterator[str]:
    """Give the URL of a PostgreSQL database of this test's own, with the newest schema."""
    name = postgres_server.create_database(template=postgres_template)
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an SQLite file with the newest schema, to be copied."""
    from ledger.database import migrate

    file = tmp_path_factory.mktemp("sqlite") / "template.db"
    migrate(f"sqlite:///{file}")
    return file


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """Give the URL of an SQLite database of this test's own, with the newest schema."""
    file = tmp_path / "ledger.db"
    for part in sqlite_template.parent.glob(sqlite_template.name + "*"):
        shutil.copyfile(part, file.with_name(part.name.replace(sqlite_template.name, file.name)))
    return f"sqlite:///{file}"


@pytest.fixture(params=ENGINES)
def database_url(request: pytest.FixtureRequest) -> str:
    """Give a fresh database with the newest schema: the test runs once on SQLite and once on PostgreSQL."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


@pytest.fixture(params=ENGINES)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give a database without a schema: the test runs once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    url: str = request.getfixturevalue("empty_postgres_url")
    return url


@pytest.fixture
def sqlite_urls(sqlite_template: Path, tmp_path: Path) -> Callable[[str], str]:
    """Give what makes the URL of one more SQLite database of this test's own, with the newest schema, by name."""

    def make(name: str) -> str:
        file = tmp_path / f"{name}.db"
        for part in sqlite_template.parent.glob(sqlite_template.name + "*"):
            shutil.copyfile(part, file.with_name(part.name.replace(sqlite_template.name, file.name)))
        return f"sqlite:///{file}"

    return make


@pytest.fixture
def postgres_urls(postgres_server: Cluster, postgres_template: str) -> Iterator[Callable[[str], str]]:
    """Give what makes the URL of one more PostgreSQL database of this test's own, with the newest schema."""
    made: list[str] = []

    def make(_name: str) -> str:
        made.append(postgres_server.create_database(template=postgres_template))
        return postgres_server.url(made[-1])

    yield make
    for name in made:
        postgres_server.drop_database(name)


@pytest.fixture(params=ENGINES)
def database_urls(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Give what makes databases by name, for worlds of several regions: once on SQLite and once on PostgreSQL."""
    name = "sqlite_urls" if request.param == "sqlite" else "postgres_urls"
    made: Callable[[str], str] = request.getfixturevalue(name)
    return made
