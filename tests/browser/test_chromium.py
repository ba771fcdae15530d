"""Finding a browser: one line says why there is none."""

import os
import shutil
import subprocess

import pytest

from tests.browser import chromium


def nowhere(name: str) -> None:
    """Find no program at all."""


def test_without_a_browser_and_without_rights_to_install_one_the_reason_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An ordinary user is told what to install."""
    monkeypatch.setattr(shutil, "which", nowhere)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(chromium.NoChromium, match="install the system's chromium package"):
        chromium.find()


def test_an_installation_that_fails_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the package tool said last is the reason."""
    monkeypatch.setattr(shutil, "which", lambda name: name if name == "apt-get" else None)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    failed = subprocess.CompletedProcess([], 100, "", "Reading lists\nE: no network")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)

    with pytest.raises(chromium.NoChromium, match=r"apt-get update failed: E: no network"):
        chromium.find()


def test_a_chosen_browser_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """`ELICENCE_CHROMIUM` names the one to use."""
    monkeypatch.setenv("ELICENCE_CHROMIUM", "/bin/sh")

    assert chromium.find() == "/bin/sh"
