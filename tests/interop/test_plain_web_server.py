"""A plain web server on the published files serves what the service serves: `examples/nginx.conf`, run by nginx."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from api.cli.demo_service import DemoService, running
from benchmarks.over_http import batch_issue
from benchmarks.static_reads import nginx
from ledger.precompressed import compress_bundles
from ledger.public_files import PublicFiles, served_size
from verifiers.tiles import WIDTH

pytestmark = pytest.mark.interop

SAME = ("content-type", "access-control-allow-origin")
FOR_EVER = "public, max-age=604800, immutable"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoService]:
    """A served region with a little more than one full bundle of entries."""
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed (Debian: nginx-light)")
    with running(tmp_path_factory.mktemp("region")) as region:
        batch_issue(region, 300, 0)
        yield region


@pytest.fixture(scope="module")
def beside(service: DemoService) -> Iterator[httpx.Client]:
    """A client of nginx on the same files."""
    files = PublicFiles(service.settings.tiles)
    while served_size(files.checkpoint() or "\n0\n") < WIDTH:
        time.sleep(0.05)  # ended by the timeout of the test, should nothing be published
    compress_bundles(files, 0, WIDTH)
    with nginx(files) as (port, _), httpx.Client(base_url=f"http://127.0.0.1:{port}") as http:
        yield http


def _paths(service: DemoService) -> list[str]:
    lists = service.http.get("/status-lists").json()["status_lists"]
    number = lists[0].rsplit("/", 1)[1]
    return ["/log/tile/0/000", "/log/tile/entries/000", "/trust-list", "/trust-list/1", f"/status-lists/{number}"]


def test_every_kind_of_file_comes_the_same_from_both(service: DemoService, beside: httpx.Client) -> None:
    """The same bytes under the same names and media types, for any origin; tiles and versions are kept for ever."""
    for path in _paths(service):
        ours, theirs = service.http.get(path), beside.get(path)
        assert theirs.status_code == ours.status_code == 200, path
        assert theirs.content == ours.content, path
        assert [theirs.headers[name] for name in SAME] == [ours.headers[name] for name in SAME], path
        assert (theirs.headers["cache-control"] == FOR_EVER) == (ours.headers["cache-control"] == FOR_EVER), path


def test_a_reader_that_has_it_is_told_so(service: DemoService, beside: httpx.Client) -> None:
    """A poll of an unchanged file costs a head of a few hundred bytes."""
    for path in _paths(service):
        tag = beside.get(path).headers["etag"]
        again = beside.get(path, headers={"If-None-Match": tag})
        assert (again.status_code, again.content) == (304, b""), path


def test_full_bundles_go_out_compressed(beside: httpx.Client) -> None:
    """The file that lies beside the bundle is sent as it is."""
    with beside.stream("GET", "/log/tile/entries/000", headers={"Accept-Encoding": "gzip"}) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        assert int(answer.headers["content-length"]) == len(b"".join(answer.iter_raw()))


@pytest.mark.parametrize("path", ["/", "/.lock", "/log/tile/.lock", "/trust-list/../.lock", "/checkpoint", "/log/tile"])
def test_nothing_else_is_served(beside: httpx.Client, path: str) -> None:
    """Neither the lock and temporary files, nor a listing, nor a second name for anything."""
    assert beside.get(path).status_code in (301, 403, 404)


def test_the_configuration_names_no_folder_of_ours() -> None:
    """Whoever uses it puts his own in."""
    text = (Path(__file__).parents[2] / "examples" / "nginx.conf").read_text("utf-8")
    assert text.count("@FILES@") > 5
    assert "/var/" not in text
