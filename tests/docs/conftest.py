"""A served region with the example data, and a stranger's files, for what the documents tell readers to try."""

import json
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from api.cli import demo_people as people
from api.cli.demo_artefacts import Artefacts
from api.cli.demo_service import DemoService, running
from verifiers.legal_dates import day_of

ROOT = Path(__file__).parent.parent.parent
OFFICER = "示例经办员"


@pytest.fixture(scope="session")
def service_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder that stands for `var/serve`."""
    return tmp_path_factory.mktemp("serve")


@pytest.fixture(scope="session")
def service(service_folder: Path) -> Iterator[DemoService]:
    """Serve a region with the example data in a process of its own."""
    with running(service_folder) as served:
        yield served


@pytest.fixture(scope="session")
def artefacts(service: DemoService, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with what `make demo` leaves of a good licence, made by the demo's own code."""
    folder = tmp_path_factory.mktemp("artefacts")
    education = service.client("education-business")
    body = people.diploma() | {"number": "106971201205900001", "valid_from": day_of(datetime.now(UTC)).isoformat()}
    issued = education.post("/v1/licences?wait=receipt", body, operator=OFFICER)
    files = Artefacts(service.http, folder)
    files.save_region(service.http.get("/.well-known/elicence-region").json())
    files.save_licence(education, issued, OFFICER)
    files.fetch("status-list-before.jwt", issued["status"]["uri"])
    files.write("code-static.txt", json.loads((folder / "bundle.json").read_text("utf-8"))["code"] + "\n")
    files.save_log()
    return folder


@pytest.fixture(scope="session")
def surroundings(service: DemoService) -> dict[str, str]:
    """Give the environment in which commands of the documents are run: this project's commands on the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
