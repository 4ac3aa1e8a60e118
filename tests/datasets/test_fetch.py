"""A file is downloaded once, checked by its hash, and never kept with another one."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import threading

import pytest

import chromatell as ctl
from chromatell import ChromatellError, ChromatellWarning
from chromatell.datasets._public_files import PUBLIC_FILES, PublicFile

CONTENT = b"cells and regions\n" * 100
GENOME = gzip.compress(b">chr1\nACGT\n", mtime=0)
SHA = hashlib.sha256(CONTENT).hexdigest()
PLAIN = "ignore:.*plain http:chromatell._validate.ChromatellWarning"


@pytest.fixture
def server():
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            content = {"/set.h5mu": CONTENT, "/genome.fa.gz": GENOME}.get(self.path, b"")
            self.send_response(200 if content else 404)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            pass

    found = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{found.server_address[1]}", asked
    found.shutdown()
    found.server_close()


@pytest.mark.filterwarnings(PLAIN)
def test_a_file_is_fetched_once(server, tmp_path):
    address, asked = server
    first = ctl.datasets.fetch(f"{address}/set.h5mu", sha256=SHA, cache=tmp_path)
    assert first.read_bytes() == CONTENT
    assert ctl.datasets.fetch(f"{address}/set.h5mu", sha256=SHA.upper(), cache=tmp_path) == first
    assert asked == ["/set.h5mu"]
    first.write_bytes(b"changed")
    assert ctl.datasets.fetch(f"{address}/set.h5mu", sha256=SHA, cache=tmp_path).read_bytes() == CONTENT
    assert len(asked) == 2


@pytest.mark.filterwarnings(PLAIN)
def test_another_hash_an_absent_file_and_no_address_are_errors(server, tmp_path):
    address, asked = server
    with pytest.raises(ChromatellError, match="Check the address and its hash"):
        ctl.datasets.fetch(f"{address}/set.h5mu", sha256="0" * 64, cache=tmp_path)
    with pytest.raises(ChromatellError, match="Could not get"):
        ctl.datasets.fetch(f"{address}/absent", sha256=SHA, cache=tmp_path)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []
    n = len(asked)
    with pytest.raises(ChromatellError, match="is no address"):
        ctl.datasets.fetch("ftp://example.org/set.h5mu")
    with pytest.raises(ChromatellError, match="64 hexadecimal digits"):
        ctl.datasets.fetch(f"{address}/set.h5mu", sha256="md5:abc")
    assert len(asked) == n


def test_without_a_hash_it_warns(server, tmp_path):
    address, _ = server
    with pytest.warns(ChromatellWarning, match="without a known hash"):
        assert ctl.datasets.fetch(f"{address}/set.h5mu", cache=tmp_path).read_bytes() == CONTENT


@pytest.mark.filterwarnings(PLAIN)
def test_a_public_file_is_known_by_its_name_and_hash(server, tmp_path, monkeypatch):
    address, asked = server
    md5 = f"md5:{hashlib.md5(CONTENT).hexdigest()}"
    monkeypatch.setitem(PUBLIC_FILES, "cells", PublicFile(f"{address}/set.h5mu", md5, "cells", "open(path)"))
    sha = f"sha256:{hashlib.sha256(GENOME).hexdigest()}"
    genome = PublicFile(f"{address}/genome.fa.gz", sha, "a genome", "open(path)", unpack=True)
    monkeypatch.setitem(PUBLIC_FILES, "genome", genome)
    monkeypatch.setitem(PUBLIC_FILES, "other", PublicFile(f"{address}/set.h5mu", sha, "other", "open(path)"))
    assert ctl.datasets.fetch("cells", cache=tmp_path).read_bytes() == CONTENT
    for _ in range(2):
        assert ctl.datasets.fetch("genome", cache=tmp_path).read_bytes() == b">chr1\nACGT\n"
    assert asked == ["/set.h5mu", "/genome.fa.gz"]
    with pytest.raises(ChromatellError, match="Check the address and its hash"):
        ctl.datasets.fetch("other", cache=tmp_path / "new")
    with pytest.raises(ChromatellError, match="leave sha256= out"):
        ctl.datasets.fetch("cells", sha256=SHA, cache=tmp_path)
    with pytest.raises(ChromatellError, match=r"names: pbmc10k_multiome, .*Did you mean 'pbmc10k_multiome'\?"):
        ctl.datasets.fetch("pbmc10k_multiom", cache=tmp_path)


@pytest.mark.parametrize("name", PUBLIC_FILES)
def test_public_files_are_named_in_the_docstring_and_have_whole_hashes(name):
    known = PUBLIC_FILES[name]
    assert f"'{name}'" in ctl.datasets.fetch.__doc__
    kind, _, digest = known.digest.partition(":")
    assert len(digest) == {"md5": 32, "sha256": 64}[kind]
    assert int(digest, 16) > 0
    assert known.url.startswith("https://")
    assert known.unpack == known.url.endswith(".fa.gz")
