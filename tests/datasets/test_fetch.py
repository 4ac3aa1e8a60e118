"""A file is downloaded once, checked by its hash, and never kept with another one."""

from __future__ import annotations

import hashlib
import http.server
import threading

import pytest

import chromatell as ctl
from chromatell import ChromatellError, ChromatellWarning

CONTENT = b"cells and regions\n" * 100
SHA = hashlib.sha256(CONTENT).hexdigest()
PLAIN = "ignore:.*plain http:chromatell._validate.ChromatellWarning"


@pytest.fixture
def server():
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            there = self.path == "/set.h5mu"
            self.send_response(200 if there else 404)
            self.send_header("Content-Length", str(len(CONTENT) if there else 0))
            self.end_headers()
            self.wfile.write(CONTENT if there else b"")

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
    with pytest.raises(ChromatellError, match="Check the address and sha256"):
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
