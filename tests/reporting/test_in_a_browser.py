"""The report in headless Chromium, at the width of a desk and of a phone: run where playwright and a browser are.

``pip install playwright`` and Debian's `chromium`, or ``playwright install chromium``; skipped where either is absent.
"""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

import chromatell as ctl

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.browser
WIDTHS = {"desk": (1280, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def browser():
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with playwright.sync_playwright() as p:
        try:
            found = p.chromium.launch(executable_path=path, args=["--no-sandbox"])
        except playwright.Error as error:
            pytest.skip(f"no browser: {str(error).splitlines()[0]}")
        yield found
        found.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    mdata = ctl.datasets.simulate_multiome(300, 30, 60, n_types=3, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    ctl.tl.dense(mdata, train_kwargs={"max_epochs": 2}, seed=0)
    ctl.tl.evaluate(mdata, baselines=["region_mean", "knn"], n_bootstrap=10, seed=0)
    ctl.tl.uncertainty(mdata, "cell_type", n_draws=3, seed=0)
    ctl.pp.link_genes(mdata, mdata.mod["rna"].var)
    ctl.tl.gene_activity(mdata)
    held = np.random.default_rng(0).random((60, 30)) < 0.3
    held = pd.DataFrame(held, mdata.mod["atac"].var_names, [f"motif_{i}" for i in range(30)])
    ctl.tl.motif_activity(mdata, matches=held, n_backgrounds=5)
    ctl.tl.link_regions(mdata, n_cells=50, seed=0)
    ctl.tl.perturb(mdata, ["gene_1", "gene_2"], n_cells=10, seed=0)
    return ctl.io.report(mdata, tmp_path_factory.mktemp("report") / "report.html")


@pytest.mark.parametrize("name", WIDTHS)
def test_it_opens_whole_and_fits(name, browser, report):
    width, height = WIDTHS[name]
    page = browser.new_page(viewport={"width": width, "height": height})
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report.as_uri())
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [report.as_uri()]
    pictures = page.evaluate("[...document.images].map(i => [i.complete, i.naturalWidth, i.clientWidth])")
    assert len(pictures) >= 12
    assert all(complete and natural > 0 and 200 <= shown <= width for complete, natural, shown in pictures)
    assert page.evaluate("document.documentElement.scrollWidth") == width  # tables scroll, the page does not
    assert len(page.screenshot(full_page=True)) > 50_000
    page.emulate_media(media="print")
    assert len(page.pdf(format="A4")) > 50_000
    page.close()
