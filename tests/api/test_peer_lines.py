"""What another region calls itself, on the terminal of those who decide about it."""

from api.cli.peer_lines import peer_line, shown_lines


def test_names_from_elsewhere_cannot_write_over_what_people_decide_by() -> None:
    """No line of their own, no moving of the cursor, no turning round: such characters are shown as replaced."""
    names = {"zh": "示例乙省\n根指纹 root\t0000\x1b[2J", "en": "Example\u202eB\u200b"}
    found = {
        "proposal": {
            "act": "peer.admit",
            "region": "620000",
            "names": names,
            "root": "ab",
            "base": "https://b.example",
        },
        "shows": {
            "departments": [{"id": "1", "names": names, "status": "active", "keys": []}],
            "types": [{"code": "T", "major": 1, "names": names}],
        },
    }
    line = peer_line({"region": "620000", "names": names, "status": "active", "base": "https://b.example"})

    told = [*shown_lines(found), line]

    assert all(character.isprintable() or character == "\t" for each in told for character in each)
    assert sum(each.startswith("根指纹 root") for each in told) == 1
