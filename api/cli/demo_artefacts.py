"""What the demo leaves behind in its folder, fetched from the service over HTTP (docs/demo.md lists the files)."""

import json
import os
import time
from pathlib import Path
from typing import Any

import httpx

from api.cli.http_client import ServiceClient, good
from verifiers.checkpoint import parse_checkpoint
from verifiers.note import parse_note
from verifiers.tiles import all_tiles

_ROOT = Path(__file__).resolve().parents[2]
_STATUS_WAIT_S = 30


class Artefacts:
    """Files in `folder`, named as the contract names them."""

    def __init__(self, http: httpx.Client, folder: Path) -> None:
        self._http = http
        self.folder = folder

    def write(self, name: str, data: bytes | str) -> None:
        """Write one file."""
        place = self.folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data.encode() if isinstance(data, str) else data)

    def write_json(self, name: str, value: Any) -> None:
        """Write one JSON file for people to read."""
        self.write(name, json.dumps(value, ensure_ascii=False, indent=1) + "\n")

    def fetch(self, name: str, url: str) -> bytes:
        """Fetch a public file and write it."""
        data = good(self._http.get(url)).content
        self.write(name, data)
        return data

    def save_region(self, region: dict[str, Any]) -> None:
        """Write the root's fingerprint, the log's keys and the trust list."""
        self.write("root.txt", region["root"] + "\n")
        self.write("log.vkey", "\n".join(region["log"]["vkeys"]) + "\n")
        self.fetch("trust-list.jwt", "/trust-list")

    def save_licence(self, client: ServiceClient, issued: dict[str, Any], operator: str) -> None:
        """Write a licence with receipt, bundle and face."""
        path = f"/v1/licences/{issued['id']}"
        self.write("licence.sdjwt", issued["licence"] + "\n")
        self.write("receipt.tlog-proof", client.get(f"{path}/receipt", operator=operator).content)
        self.write("face.svg", client.get(f"{path}/face.svg", operator=operator).content)
        self.write("licence.pdf", client.get(f"{path}/face.pdf", operator=operator).content)
        self.fetch_bundle(client, issued["id"], operator)

    def fetch_bundle(self, client: ServiceClient, licence: str, operator: str) -> None:
        """Write the offline bundle of a licence as it is now."""
        self.write("bundle.json", client.get(f"/v1/licences/{licence}/bundle", operator=operator).content)

    def wait_for_status(self, name: str, status: dict[str, Any]) -> None:
        """Write the status list once it has changed from the one fetched before."""
        before = (self.folder / "status-list-before.jwt").read_bytes()
        deadline = time.monotonic() + _STATUS_WAIT_S
        while self.fetch(name, status["uri"]) == before and time.monotonic() < deadline:
            time.sleep(0.1)

    def save_log(self) -> None:
        """Write checkpoint, tiles and entry bundles as served."""
        checkpoint = self.fetch("log/checkpoint", "/log/checkpoint").decode()
        for tile in all_tiles(parse_checkpoint(parse_note(checkpoint).text).size):
            self.fetch(f"log/{tile.path()}", f"/log/{tile.path()}")


def python_path() -> dict[str, str]:
    """Return an environment in which a child process finds this project from any folder."""
    return dict(os.environ) | {"PYTHONPATH": str(_ROOT)}
