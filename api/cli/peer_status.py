"""`elicence peers status`: how following the peers goes, as the database tells; the service need not be asked."""

from typing import Any

import typer

from api.cli.answers import answering, print_json
from api.cli.catalogue import AsJson, in_region
from api.cli.peer_lines import plain
from ledger.following import Following
from ledger.region import Region

_EXIT_TROUBLED = 1


def status(as_json: AsJson = False) -> None:
    """Show every peer's state, size, age, trust list and evidence; exit 1 where one lies or is frozen or silent."""
    with answering(as_json):
        found = in_region(_states)
        if as_json:
            print_json({"peers": found})
        for each in [] if as_json else found:
            typer.echo(status_line(each))
    if any(each["state"] != "followed" for each in found):
        raise typer.Exit(_EXIT_TROUBLED)


def status_line(each: dict[str, Any]) -> str:
    """Return one peer's state on one line; ages in seconds, `-` for what is not known."""
    age = "-" if each["age_s"] is None else f"{each['age_s']} s"
    listed = "-" if each["trust_list"] is None else f"#{each['trust_list']['seq']}"
    parts = [
        each["region"],
        plain(each["names"]["zh"]),
        each["status"],
        each["state"],
        f"条目 entries {each['size']}",
        f"距今 age {age}",
        f"信任列表 list {listed}",
        f"状态列表 status lists {each['status_lists']['held']}",
        f"证据 evidence {each['evidence']}",
        plain(each["detail"]),
    ]
    return "\t".join(part for part in parts if part)


async def _states(region: Region) -> list[dict[str, Any]]:
    if region.outside is None:
        return []
    following = Following(region, region.outside)
    await following.refresh()
    return following.states()
