"""docs/protocol.md names tests and modules that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "protocol.md").read_text("utf-8")
ROWS = [line.split("|") for line in PAGE.splitlines() if re.match(r"\| [0-9]", line)]
NAMING = [row for row in (line.split("|") for line in PAGE.splitlines()) if len(row) == 6]
"""Every row that names modules and tests, whether its rule has a number or not."""
RULES = {*(str(n) for n in range(1, 39)), "18a", "21a", "21b", "22a", "22b", "31a"}


def test_every_rule_has_its_row() -> None:
    """One row a rule, none twice."""
    named = [rule.strip() for row in ROWS for rule in row[1].split(",")]

    assert sorted(named) == sorted(RULES)


def test_every_test_named_is_there() -> None:
    """`area/file: a, b` means tests/area/test_file.py with test_a and test_b."""
    missing = []
    for row in NAMING:
        for place, names in re.findall(r"`([a-z]+/[a-z_]+)(?:: ([a-z0-9_, ]+))?`", row[4]):
            file = ROOT / "tests" / f"{place.split('/')[0]}" / f"test_{place.split('/')[1]}.py"
            text = file.read_text("utf-8") if file.is_file() else ""
            wanted = [name.strip() for name in (names or "").split(",") if name.strip()]
            missing += [place] if not text else [f"{place}: {n}" for n in wanted if f"def test_{n}(" not in text]

    assert missing == []


def test_every_module_named_is_there() -> None:
    """Modules and folders stand where the page says."""
    named = {name for row in NAMING for name in re.findall(r"`((?:api|ledger|verifiers|keys)/[a-z_*/]+)`", row[3])}

    missing = {name for name in named if not [*ROOT.glob(f"{name}.py"), *ROOT.glob(name)]}
    assert len(named) > 50 and missing == set()


def test_links_lead_somewhere() -> None:
    """Pages it refers to exist."""
    links = re.findall(r"\]\(([^)#]+)\)", PAGE)

    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
