"""Links between the documents lead somewhere: to files that exist and to headings that are there."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("api", "keys", "ledger", "verifiers", "benchmarks", "migrations", "tests")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
_FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_REFERENCE = re.compile(r"^\[[^\]]+\]: (\S+)", re.MULTILINE)


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return _FENCE.sub("", page.read_text("utf-8"))


def anchors(page: Path) -> set[str]:
    """Return the names that headings of a page get: lower case, letters and digits, blanks as hyphens."""
    headings = re.findall(r"^#{1,6} (.+)$", prose(page), re.MULTILINE)
    shown = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower() for heading in headings]
    return {"".join(c for c in each if c.isalnum() or c in " -_").replace(" ", "-") for each in shown}


def links(page: Path) -> list[str]:
    """Return what a page links to within the project."""
    found = [*_LINK.findall(prose(page)), *_REFERENCE.findall(prose(page))]
    return [target for target in found if not re.match(r"[a-z]+:", target)]


def test_every_link_leads_to_a_file_and_a_heading() -> None:
    """Relative links of all pages, with the part behind `#` where there is one."""
    broken = []
    for page in PAGES:
        for target in links(page):
            path, _, anchor = target.partition("#")
            linked = page.parent / path if path else page
            if not linked.exists() or (anchor and linked.suffix == ".md" and anchor not in anchors(linked)):
                broken.append(f"{page.relative_to(ROOT)}: {target}")

    assert sum(len(links(page)) for page in PAGES) > 120
    assert broken == []


def test_every_page_that_the_code_refers_to_is_there() -> None:
    """`docs/….md` in docstrings, comments and the settings of the build."""
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    files += [ROOT / "pyproject.toml", ROOT / "Makefile"]
    named = {page for file in files for page in re.findall(r"\bdocs/[\w/-]+\.md\b", file.read_text("utf-8"))}

    assert len(named) > 20
    assert {page for page in named if not (ROOT / page).is_file()} == set()


def test_every_page_can_be_found() -> None:
    """Some other page, or the reader's first one, links to each page below docs, or names its folder."""
    linked = {
        (page.parent / target.partition("#")[0]).resolve()
        for page in PAGES
        for target in links(page)
        if target.partition("#")[0]
    }
    lonely = [page for page in (ROOT / "docs").rglob("*.md") if not {page, page.parent} & linked]

    assert [str(page.relative_to(ROOT)) for page in lonely] == []
