"""`elicence keys`: a region's keys from the first root to the last retirement, as an operator types it."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from api.cli.key_refusals import EXIT_REFUSED, EXIT_UNUSABLE, refusal
from api.cli.keys import PASSWORD_VARIABLE, app
from keys import errors
from keys.certificates import check_leaf, check_root
from keys.certification import from_pem_or_der
from keys.file_store import FileKeyStore
from keys.password import TESTING_ONLY

PASSWORD = "示例口令"
LICENCE = "91330106EXAMPLE001/licence"
SUBJECT = ("--base", "https://ledger.example", "--organisation", "示例市场监督管理局")
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Give a function that runs the command in a folder with the stores `service` and `root`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ELICENCE_KEYSTORE", "service")
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    for name in ("service", "root"):
        FileKeyStore.new(tmp_path / name, PASSWORD, TESTING_ONLY)

    def call(*arguments: str, exit_code: int = 0) -> Result:
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == exit_code, (result.output, result.exception)
        return result

    return call


def facts(result: Result) -> dict[str, Any]:
    """Return the JSON a command printed."""
    parsed: dict[str, Any] = json.loads(result.stdout)
    return parsed


def make_root(run: Run, *more: str) -> Result:
    """Make the root key and certificate in the store `root`."""
    return run("create", "root", "--store", "root", "--region", "330106", "--organisation", "示例区", "--json", *more)


def test_a_key_gets_its_certificate_from_a_root_in_another_store(run: Run, tmp_path: Path) -> None:
    """create → request on one machine, sign on the offline one, install on the first."""
    fingerprint = facts(make_root(run))["certificate_sha256"]
    root = FileKeyStore.open("root", PASSWORD).signer("root").certificate
    assert root is not None and check_root(root).sha256 == fingerprint
    kid = facts(run("create", LICENCE, "--json"))["kid"]

    run("request", LICENCE, *SUBJECT, "--out", "licence.csr")
    signed = run("sign", "licence.csr", "--store", "root", "--yes", "--out", "licence.pem", "--json")
    installed = facts(run("install", LICENCE, "licence.pem", "--json"))

    leaf = check_leaf(from_pem_or_der(Path("licence.pem").read_bytes()), root)
    assert leaf.subject.department == "91330106EXAMPLE001"
    assert leaf.san_uri == "https://ledger.example/d/91330106EXAMPLE001"
    assert leaf.not_after == check_root(root).not_after
    assert facts(signed)["kid"] == leaf.public_key.kid == installed["kid"] == kid
    assert installed["certificate_sha256"] == leaf.sha256
    assert "organisation=示例市场监督管理局" in signed.stderr


def test_the_list_needs_no_password_and_shows_states(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anyone who owns the files can see what there is; JSON and lines say the same."""
    run("create", "list")
    run("create", "log-mldsa44", "--suite", "ML-DSA-44")
    run("rotate", "list")
    monkeypatch.delenv(PASSWORD_VARIABLE)

    keys = facts(run("list", "--json"))["keys"]
    lines = run("list").stdout.splitlines()

    assert [(key["name"], key["suite"], key["state"]) for key in keys] == [
        ("list", "ES256", "active"),
        ("log-mldsa44", "ML-DSA-44", "active"),
        ("list", "ES256", "next"),
    ]
    assert [line.split("\t")[3] for line in lines] == [key["kid"] for key in keys]


def test_rotation_is_two_steps_and_retirement_asks_first(run: Run) -> None:
    """The successor waits for its certificate; the end of a key is confirmed."""
    old = facts(run("create", "list", "--json"))["kid"]
    new = facts(run("rotate", "list", "--json"))
    promoted = facts(run("rotate", "list", "--promote", "--json"))

    assert (new["state"], promoted["state"], promoted["kid"]) == ("next", "active", new["kid"])
    run("retire", "list", exit_code=1)
    assert facts(run("retire", "list", "--yes", "--json"))["state"] == "destroyed"
    assert [key["kid"] for key in facts(run("list", "--json"))["keys"]] == [old, new["kid"]]


def test_a_new_store_can_be_made_with_its_first_key(run: Run) -> None:
    """An offline root starts from nothing in one command."""
    made = run(
        "create", "root", "--new-store", "--store", "fresh/keys", "--region", "330106", "--organisation", "示例区"
    )

    assert "已生成密钥 / created key: root" in made.stdout
    run("list", "--store", "fresh/keys")


def test_what_lines_say_is_in_both_languages(run: Run) -> None:
    """One line, Chinese and English, with the name and the key id."""
    line = run("create", "list").stdout

    assert line.startswith("已生成密钥 / created key: list ")
    assert "证书请求" not in line and line.count("\n") == 1


def test_a_root_that_cannot_be_certified_leaves_its_name_free(run: Run) -> None:
    """A mistake in the root's name is corrected by typing again."""
    run("create", "root", "--store", "root", "--region", "330106", "--organisation", "示" * 65, exit_code=EXIT_REFUSED)
    make_root(run)


@pytest.mark.parametrize(
    ("arguments", "exit_code", "code"),
    [
        (("create", "list"), EXIT_REFUSED, "AlreadyExists"),
        (("create", "status", "--suite", "RS256"), EXIT_REFUSED, "BadKey"),
        (("create", "../list"), EXIT_UNUSABLE, "KeyStoreError"),
        (("create", "list", "--new-store"), EXIT_REFUSED, "AlreadyExists"),
        (("rotate", "nobody"), EXIT_REFUSED, "UnknownKey"),
        (("rotate", "list", "--promote"), EXIT_REFUSED, "UnknownKey"),
        (("retire", "nobody", "--yes"), EXIT_REFUSED, "UnknownKey"),
        (("request", "nobody", *SUBJECT), EXIT_REFUSED, "UnknownKey"),
        (("request", "list", "--base", "nowhere", "--organisation", "示例"), EXIT_REFUSED, "BadCertificate"),
        (("sign", "absent.csr", "--yes"), EXIT_UNUSABLE, "OSError"),
        (("sign", "rubbish", "--yes"), EXIT_REFUSED, "BadCertificate"),
        (("sign", "binary", "--yes"), EXIT_UNUSABLE, "UnicodeDecodeError"),
        (("sign", "list.csr", "--yes", "--root", "list"), EXIT_REFUSED, "BadCertificate"),
        (("sign", "list.csr", "--yes", "--store", "root", "--days", "36525"), EXIT_REFUSED, "BadCertificate"),
        (("install", "list", "rubbish"), EXIT_REFUSED, "BadCertificate"),
        (("install", "list", "list.pem", "--root", "list.pem"), EXIT_REFUSED, "BadCertificate"),
        (("install", "status", "list.pem"), EXIT_REFUSED, "UnknownKey"),
        (("list", "--store", "nowhere"), EXIT_UNUSABLE, "KeyStoreError"),
    ],
)
def test_each_mistake_has_its_own_refusal(run: Run, arguments: tuple[str, ...], exit_code: int, code: str) -> None:
    """A code for programs, a line for people, exit 1 for a refusal and 3 for a store or file that cannot be used."""
    make_root(run)
    run("create", "list")
    run("request", "list", *SUBJECT, "--out", "list.csr")
    run("sign", "list.csr", "--store", "root", "--yes", "--out", "list.pem")
    Path("rubbish").write_text("no certificate")
    Path("binary").write_bytes(b"\xff\xfe")

    refused = facts(run(*arguments, "--json", exit_code=exit_code))
    line = run(*arguments, exit_code=exit_code).stderr

    assert refused["error"] == code
    assert f"{refused['zh']} / {refused['en']}\n" in line


def test_wrong_password_open_files_and_damage_are_told_apart(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator sees which of them it is."""
    index = Path("service/index")
    with monkeypatch.context() as wrong:
        wrong.setenv(PASSWORD_VARIABLE, "guess")
        first = facts(run("create", "list", "--json", exit_code=EXIT_UNUSABLE))
    index.chmod(0o644)
    second = facts(run("create", "list", "--json", exit_code=EXIT_UNUSABLE))
    index.chmod(0o600)
    index.write_bytes(index.read_bytes()[:-3])
    third = facts(run("create", "list", "--json", exit_code=EXIT_UNUSABLE))

    assert [refused["error"] for refused in (first, second, third)] == [
        "WrongPassword",
        "BadPermissions",
        "StoreDamaged",
    ]


def test_without_a_terminal_the_password_must_be_in_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service unit gets a line that names the variable, not a prompt that nobody answers."""
    monkeypatch.delenv(PASSWORD_VARIABLE)

    assert PASSWORD_VARIABLE in run("create", "list", exit_code=EXIT_UNUSABLE).stderr


def test_no_output_carries_the_password(run: Run) -> None:
    """Neither lines nor JSON."""
    texts = [run(*call).output for call in (("create", "list", "--json"), ("list",), ("request", "list", *SUBJECT))]

    assert PASSWORD not in " ".join(texts)
    assert "PRIVATE" not in " ".join(texts)


def test_the_operating_guide_works_as_written(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every command in docs/operating/keys.md runs, in its order, and ends 0."""
    guide = (Path(__file__).parents[2] / "docs" / "operating" / "keys.md").read_text(encoding="utf-8")
    commands = [line for block in re.findall(r"```console\n(.*?)```", guide, re.DOTALL) for line in block.splitlines()]
    monkeypatch.delenv("ELICENCE_KEYSTORE")
    (tmp_path / "guide").mkdir()
    monkeypatch.chdir(tmp_path / "guide")

    for command in commands:
        words = shlex.split(command.removeprefix("$ "))
        assert words[:2] == ["elicence", "keys"]
        run(*words[2:])
    assert len(commands) >= 9


def test_every_error_of_the_key_package_has_a_line() -> None:
    """A new class of error must be given its words before it can reach an operator."""
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, errors.KeysError) and kind is not errors.KeysError:
            assert refusal(kind("detail")).code == kind.__name__
    with pytest.raises(ZeroDivisionError):
        refusal(ZeroDivisionError())
