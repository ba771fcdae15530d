"""The example programs, run as their readers run them, against a living service."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import httpx
import pytest

from api.cli.demo_service import DemoService
from tests.docs.conftest import OFFICER, ROOT

EXAMPLES = ROOT / "examples"


def run(service: DemoService, folder: Path, program: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run an example program with the address and clients of the served region."""
    where = ["--base", service.settings.base_url, "--clients", str(folder / "clients.json")]
    return subprocess.run(
        [sys.executable, str(EXAMPLES / program), *options, *where], capture_output=True, text=True, timeout=120
    )


def load(program: str) -> ModuleType:
    """Load an example program as a module."""
    spec = importlib.util.spec_from_file_location(program, EXAMPLES / f"{program}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_department_s_client_issues_and_takes_back_once_however_often_it_runs(
    service: DemoService, service_folder: Path
) -> None:
    """Run twice it says the same words, because nothing was done twice."""
    first = run(service, service_folder, "department_client.py", "--run", "7")
    second = run(service, service_folder, "department_client.py", "--run", "7")

    assert (first.returncode, first.stderr) == (0, "")
    assert second.stdout == first.stdout
    assert first.stdout.count("row department-7-shop-") == 3
    assert "withdrawn: entry" in first.stdout


def test_the_window_scans_a_printed_code(service: DemoService, service_folder: Path, artefacts: Path) -> None:
    """A good code is valid, a changed one is not, and the exit status says so."""
    text = printed_code(artefacts)

    good = run(service, service_folder, "window_scan.py", text)
    changed = run(service, service_folder, "window_scan.py", text[:-9] + "AAAAAAAAA")

    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout.startswith("valid (static)") and "示例甲" in good.stdout
    assert changed.returncode in (1, 3)


def printed_code(artefacts: Path) -> str:
    """Return the text of the static code in the artefacts' bundle."""
    return str(json.loads((artefacts / "bundle.json").read_text())["code"])


def test_a_third_party_checks_files_alone(artefacts: Path) -> None:
    """No service is asked; the project's pure packages are all it needs."""
    command = [sys.executable, str(EXAMPLES / "verify_offline.py"), str(artefacts)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("valid")
    assert "示例大学" in done.stdout


class LosesAnswers(httpx.HTTPTransport):
    """A network that delivers every call and loses the first answer to each state-changing one."""

    def __init__(self) -> None:
        super().__init__()
        self.lost: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Deliver the request; the first answer under each idempotency key never arrives."""
        answer = super().handle_request(request)
        key = request.headers.get("Idempotency-Key", "")
        if key and key not in self.lost:
            self.lost.append(key)
            answer.read()
            raise httpx.ReadError("the connection broke before the answer came")
        return answer


def test_a_lost_answer_costs_no_second_licence(
    service: DemoService, service_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The account repeats the call under the same key and gets the licence that was issued the first time."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    account_of, department = load("service_account"), load("department_client")
    network = LosesAnswers()
    jwk = json.loads((service_folder / "client-keys/market-business.jwk.json").read_text())

    with httpx.Client(base_url=service.settings.base_url, timeout=30, transport=network) as http:
        account = account_of.Account(http, "market-business", jwk)
        issued = department.issue_one(account, 8)
        again = department.issue_one(account, 8)

    assert network.lost == ["department-8-shop-1"]
    assert again["id"] == issued["id"]


def test_a_bad_row_of_a_batch_is_an_error_row_in_its_place(
    service: DemoService, service_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows beside it are issued."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    account_of, department = load("service_account"), load("department_client")
    rows = [{"client_ref": f"bad-row-{shop}", **department.food_licence(9, shop)} for shop in (1, 2, 3)]
    rows[1]["number"] = "wrong"

    with account_of.example_account(
        "market-business", service.settings.base_url, service_folder / "clients.json"
    ) as account:
        answers = account.post_rows("/v1/licences/batch", rows, operator=OFFICER)

    assert [answer["client_ref"] for answer in answers] == ["bad-row-1", "bad-row-2", "bad-row-3"]
    assert ["problem" in answer for answer in answers] == [False, True, False]
