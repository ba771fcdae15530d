"""`elicence-verify` and licences of another region: the lists of peers, their status lists, and what is remembered."""

import datetime as dt
import json
from pathlib import Path

import pytest

from tests.verifiers.foreign_world import equivalence, home_trust, row
from tests.verifiers.issuer import Issuer
from verifiers.__main__ import main

THERE = "https://abroad.example"


class Kit:
    """The files of a verifier here for a licence from there, all of this moment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        now = dt.datetime.now(dt.UTC).replace(microsecond=0)
        today = now.date() - dt.timedelta(days=1)
        self.home = Issuer(now=now)
        self.abroad = Issuer(region="620000", base=THERE, now=now)
        self.issued = self.abroad.issue(7, issued_on=today, valid_from=today)
        self.ours = self.home.issue(7, issued_on=today, valid_from=today)
        self.licence = self.write("licence.sdjwt", self.issued.compact)
        self.receipt = self.write("receipt.tlog-proof", self.abroad.receipt(self.issued.index, self.issued.opening))
        self.peer = self.write("peer.jwt", self.abroad.trust_token())
        self.status = self.write("peer-status.jwt", self.abroad.status_token())
        self.own_status = self.write("status.jwt", self.home.status_token())
        self.bundle = self.write("bundle.json", self.abroad.bundle(self.issued))
        self.trust = self.write("trust.jwt", self.list_naming(self.abroad))
        self.common = ["--root", self.home.pin, "--trust", self.trust]
        self.judged = ["--receipt", self.receipt, "--status", self.own_status, "--status", self.status]

    def list_naming(self, peer: Issuer, seq: int = 1) -> str:
        """Our trust list, which recognises that region."""
        wanted = home_trust().document
        document = self.home.document(
            seq=seq,
            peers=(row(peer),),
            types=wanted.types,
            rules=wanted.rules,
            equivalences=(equivalence(valid_from=self.home.now),),
        )
        return self.home.trust_token(document)

    def write(self, name: str, content: str | bytes) -> str:
        """A file in the folder."""
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    """Files of one licence from there."""
    return Kit(tmp_path)


def test_a_foreign_licence_is_judged_with_the_peers_list(kit: Kit, capsys: pytest.CaptureFixture[str]) -> None:
    """Status lists find their region by themselves; without the peer's list the verdict says what is missing."""
    assert main([kit.licence, *kit.common, *kit.judged, "--peer", kit.peer, "--lang", "en"]) == 0
    told = capsys.readouterr().out
    assert "counts here as" in told and "food-62 v3" in told and "peer.unwatched" in told

    assert main([kit.licence, *kit.common, "--json"]) == 2
    assert "peer.list_missing" in capsys.readouterr().out
    assert main([kit.licence, *kit.common, "--receipt", kit.receipt, "--peer", kit.peer, "--json"]) == 2
    assert "status.missing" in capsys.readouterr().out


def test_a_bundle_from_there_needs_no_list_of_that_peer(kit: Kit) -> None:
    """It brings its own, which counts under the root that ours names."""
    assert main([kit.bundle, *kit.common]) == 0
    assert main([kit.bundle, "--root", kit.home.pin]) == 1


def test_a_list_of_nobody_we_recognise_helps_nothing(kit: Kit, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither another region's, nor one with the same code under another root."""
    stranger = kit.write("stranger.jwt", Issuer(region="620000", base=THERE, now=kit.home.now).trust_token())
    broken = kit.write("broken.jwt", kit.abroad.trust_token()[:-4] + "AAAA")

    assert main([kit.licence, *kit.common, "--receipt", kit.receipt, "--peer", stranger, "--json"]) == 2
    assert "peer.list_missing" in capsys.readouterr().out
    assert main([kit.licence, *kit.common, "--peer", broken, "--json"]) == 1
    assert "trust.signature" in capsys.readouterr().out


def test_a_status_list_of_nobody_counts_against_the_verdict(kit: Kit, capsys: pytest.CaptureFixture[str]) -> None:
    """And names what is wrong with it under the region whose key it claims."""
    forged = kit.write("forged.jwt", kit.abroad.status_token()[:-4] + "AAAA")
    stranger = kit.write("stranger.jwt", Issuer(region="630000", now=kit.home.now).status_token())
    arguments = [kit.licence, *kit.common, *kit.judged, "--peer", kit.peer, "--json"]

    assert main([*arguments, "--status", forged]) == 1
    assert "status.signature" in capsys.readouterr().out
    assert main([*arguments, "--status", stranger]) == 1
    assert "status.key" in capsys.readouterr().out


def test_the_state_file_remembers_each_region_under_its_root(kit: Kit, capsys: pytest.CaptureFixture[str]) -> None:
    """An older list of theirs is refused; one code under two roots does not mix."""
    state = kit.folder / "state.json"
    newer = kit.write("newer.jwt", kit.abroad.trust_token(kit.abroad.document(seq=5)))
    arguments = [kit.licence, *kit.common, *kit.judged, "--state", str(state), "--json"]

    assert main([*arguments, "--peer", newer]) == 0
    kept = {(each["region"], each["root"]): each["seq"] for each in json.loads(state.read_text())["trust"]}
    assert kept == {("610000", kit.home.pin): 1, ("620000", kit.abroad.pin): 5}
    capsys.readouterr()
    assert main([*arguments, "--peer", kit.peer]) == 2
    assert "peer.list_rollback" in capsys.readouterr().out

    successor = Issuer(region="620000", base=THERE, now=kit.home.now)
    today = kit.home.now.date() - dt.timedelta(days=1)
    issued = successor.issue(7, issued_on=today, valid_from=today)
    files = {
        "--trust": kit.list_naming(successor, seq=2),
        "--peer": successor.trust_token(),
        "--status": successor.status_token(),
        "--receipt": successor.receipt(issued.index, issued.opening),
    }
    given = [part for name, text in files.items() for part in (name, kit.write(f"successor{name}", text))]
    licence = kit.write("successor.sdjwt", issued.compact)
    assert main([licence, "--root", kit.home.pin, *given, "--state", str(state)]) == 0


def test_our_own_licence_is_judged_as_without_peers(kit: Kit) -> None:
    """Whatever lists of others are at hand."""
    licence = kit.write("ours.sdjwt", kit.ours.compact)
    receipt = kit.write("ours.tlog-proof", kit.home.receipt(kit.ours.index, kit.ours.opening))
    peers = ["--peer", kit.peer, "--status", kit.status]

    assert main([licence, *kit.common, "--receipt", receipt, "--status", kit.own_status, *peers]) == 0
    revoked = kit.write("revoked.jwt", kit.home.status_token(values={7: 1}))
    assert main([licence, *kit.common, "--receipt", receipt, "--status", revoked, *peers]) == 1
