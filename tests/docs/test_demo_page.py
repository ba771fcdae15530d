"""The page about the demo names what the demo leaves behind."""

from tests.docs.conftest import ROOT

CONTRACT = [
    "licence.sdjwt", "receipt.tlog-proof", "face.svg", "licence.pdf", "code-static.png", "code-static.txt",
    "code-dynamic.png", "code-dynamic.txt", "trust-list.jwt", "root.txt", "status-list-before.jwt",
    "status-list-after.jwt", "bundle.json", "verdict-before.json", "verdict-after.json", "cascade.json", "log/",
    "log.vkey", "summary.json",
]  # fmt: skip


def test_every_artefact_that_programs_rely_on_is_explained() -> None:
    """The names outside programs look for, each with what it holds."""
    rows = [line for line in (ROOT / "docs/demo.md").read_text("utf-8").splitlines() if line.startswith("| `")]

    assert [name for name in CONTRACT if not any(f"`{name}`" in row for row in rows)] == []


def test_every_step_of_the_demo_is_told() -> None:
    """As many steps as the two acts take."""
    acts = {"api/cli/demo.py": "with story.step(", "api/cli/demo_regions.py": "with act.step("}
    steps = sum((ROOT / path).read_text("utf-8").count(step) for path, step in acts.items())
    told = [line for line in (ROOT / "docs/demo.md").read_text("utf-8").splitlines() if line[:3] in _numbered()]

    assert len(told) == steps


def _numbered() -> set[str]:
    return {f"| {number}" for number in range(1, 10)}
