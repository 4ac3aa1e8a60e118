"""``chromatell report`` writes the page of ``ctl.io.report``."""

from __future__ import annotations

import re

import chromatell as ctl
from chromatell.cli import main


def _page(path) -> str:
    return re.sub(r"on \d{4}-\d\d-\d\d, \d\d:\d\d UTC", "", path.read_text("utf-8"))


def test_it_is_the_page_of_the_api(shared, tmp_path, capsys):
    assert main(["report", str(shared), "-o", str(tmp_path / "r.html"), "--groupby", "donor", "--title", "Mine"]) == 0
    assert "Wrote the report to" in capsys.readouterr().out
    ctl.io.report(shared, tmp_path / "api.html", groupby="donor", title="Mine")
    assert _page(tmp_path / "r.html") == _page(tmp_path / "api.html")
    assert "<h1>Mine</h1>" in _page(tmp_path / "r.html")


def test_what_is_there_stays_without_overwrite(shared, tmp_path, refused):
    (tmp_path / "r.html").write_text("mine")
    assert "--overwrite" in refused(["report", shared, "-o", tmp_path / "r.html"], 2)
    assert "must end in .html" in refused(["report", shared, "-o", tmp_path / "r.pdf"], 2)
    assert (tmp_path / "r.html").read_text() == "mine"
    assert main(["report", str(shared), "-o", str(tmp_path / "r.html"), "--overwrite", "-q"]) == 0
