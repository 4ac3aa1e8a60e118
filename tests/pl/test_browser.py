"""`pl.browser`: what igv.js is given, and the picture in its place; no network, and a real igv.js where one is."""

from __future__ import annotations

import base64
import importlib
import json
import shutil
import sys
import types

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

import chromatell as ctl
from chromatell.pl import _browser as module


@pytest.fixture
def mdata():
    mdata = ctl.datasets.simulate_multiome(120, 20, 60, seed=0)
    mdata.obs["group"] = np.where(np.arange(120) % 2, "a<b>", "c")
    ctl.tl.add_prediction(mdata, np.random.default_rng(0).random((120, 60)).astype(np.float32), key="mine")
    return mdata


@pytest.fixture
def place(mdata):
    return mdata.mod["atac"].var.iloc[3]


def ipython(shell):
    return types.SimpleNamespace(get_ipython=lambda: shell, version_info=(9, 0))  # matplotlib asks for its version


@pytest.fixture
def notebook(monkeypatch):
    """A kernel and an igv_notebook that keeps what it was given."""
    given = []
    fake = types.ModuleType("igv_notebook")
    fake.__spec__ = importlib.machinery.ModuleSpec("igv_notebook", None)
    fake.init = lambda: given.append("init")
    fake.Browser = lambda config: given.append(config) or config
    shell = types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "igv_notebook", fake)
    monkeypatch.setitem(sys.modules, "IPython", ipython(shell))
    module._start.cache_clear()
    yield given
    module._start.cache_clear()


def genes_at(place):
    row = {"chrom": place["chrom"], "start": place["start"], "end": place["end"], "name": "GENE", "strand": "-"}
    return pd.DataFrame([row])


def test_tracks_hold_the_means_of_groups_and_no_address(mdata, place, notebook):
    window_of = f"{place['chrom']}:{place['start'] - 10}-{place['end'] + 10}"
    config = ctl.pl.browser(mdata, window_of, "group", annotation=genes_at(place), flank=100_000_000)
    ctl.pl.browser(mdata, window_of, "group")
    assert [g == "init" for g in notebook] == [True, False, False]
    assert config["locus"] == f"{place['chrom']}:{place['start'] - 9}-{place['end'] + 10}"
    names = [t["name"] for t in config["tracks"]]
    assert names == ["a(b), observed", "a(b), predicted", "c, observed", "c, predicted", "Genes"]
    var = mdata.mod["atac"].var
    here = np.flatnonzero(var["chrom"] == place["chrom"])
    odd = np.arange(120) % 2 == 1
    x = mdata.mod["atac"].X.toarray() > 0
    for track, values in zip(
        config["tracks"], (x[odd], mdata["atac_pred"].X[odd], x[~odd], mdata["atac_pred"].X[~odd]), strict=False
    ):
        assert [(f["start"], f["end"]) for f in track["features"]] == list(
            zip(var["start"].iloc[here], var["end"].iloc[here], strict=True)
        )
        np.testing.assert_allclose([f["value"] for f in track["features"]], values[:, here].mean(axis=0), atol=1e-5)
    assert config["tracks"][-1]["features"][0]["name"] == "GENE"
    assert "http" not in json.dumps(config)
    sizes = base64.b64decode(config["reference"]["chromSizesURL"].partition(",")[2]).decode().split()
    assert sizes[0] == place["chrom"]
    assert int(sizes[1]) > var["end"].iloc[here].max()


def test_elsewhere_it_is_the_picture(mdata, place, monkeypatch, log):
    window_of = f"{place['chrom']}:{place['start'] - 10}-{place['end'] + 10}"
    monkeypatch.setitem(sys.modules, "IPython", ipython(None))
    ax = ctl.pl.browser(mdata, window_of)
    assert isinstance(ax, Axes)
    assert ax.get_ylabel() == "Share of cells with the region open"
    with pytest.raises(ctl.ChromatellError, match="must begin before it ends"):
        ctl.pl.browser(mdata, "chr1:9-3")
    with pytest.raises(ctl.ChromatellError, match="flank=-1"):
        ctl.pl.browser(mdata, window_of, flank=-1)
    shell = types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", ipython(shell))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install 'chromatell[browser]'" in module._missing()


@pytest.mark.browser
def test_igv_draws_it_and_asks_for_nothing(mdata, place, tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    igv = pytest.importorskip("igv_notebook", reason="igv-notebook is not installed")
    path = shutil.which("chromium") or shutil.which("google-chrome")
    window_of = f"{place['chrom']}:{place['start'] - 3000}-{place['end'] + 3000}"
    found = module.window_of(mdata, window_of, "group", None, None, flank=10_000)
    config = module.configuration(found, genes_at(place))
    script = (importlib.resources.files(igv) / "js" / "igv.iife.js").read_text("utf-8")
    (tmp_path / "page.html").write_text(f"<body><div id='d'></div><script>{script}</script></body>", "utf-8")
    with sync_api.sync_playwright() as p:
        try:
            chrome = p.chromium.launch(executable_path=path, args=["--no-sandbox"])
        except sync_api.Error as error:
            pytest.skip(f"no browser: {str(error).splitlines()[0]}")
        page, asked = chrome.new_page(viewport={"width": 900, "height": 480}), []
        page.on("request", lambda request: asked.append(request.url))
        page.goto((tmp_path / "page.html").as_uri())
        call = "async c => (await igv.createBrowser(document.getElementById('d'), c)).trackViews.map(t => t.track.name)"
        names = page.evaluate(call, config)
        page.wait_for_timeout(500)
        page.screenshot(path=tmp_path / "page.png")
        chrome.close()
    assert [n for n in names if n and ("observed" in n or "predicted" in n)] == [
        t["name"] for t in config["tracks"][:4]
    ]
    assert [url for url in asked if not url.startswith(("data:", "blob:", "file:"))] == []
