"""The report is one file that shows what the tables hold, escapes every text and asks for nothing from outside."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

import chromatell as ctl
from chromatell import ChromatellError

mpl.use("agg")
EVIL = '<script>alert("x")</script> & $a_{$'
MOTIFS = ["SPI1", "<i>EBF1", "CTCF", "TP53"]
VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """Elements, texts and attributes of a page; an element that is not closed in its place is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.texts.append(data)

    def all(self, name: str) -> list[dict]:
        return [attrs for tag, attrs in self.elements if tag == name]


@pytest.fixture(scope="module")
def mdata():
    mdata = ctl.datasets.simulate_multiome(300, 30, 60, n_types=3, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    mdata.obs["cell_type"] = mdata.obs["cell_type"].cat.rename_categories({"type_1": EVIL})
    ctl.tl.dense(mdata, train_kwargs={"max_epochs": 2}, seed=0)
    ctl.tl.evaluate(mdata, baselines=["region_mean", "knn"], n_bootstrap=20, seed=0)
    ctl.tl.rank_regions(mdata, "cell_type", n_bootstrap=10, seed=0)
    ctl.tl.uncertainty(mdata, "cell_type", n_draws=3, seed=0)
    ctl.pp.link_genes(mdata, mdata.mod["rna"].var)
    ctl.tl.gene_activity(mdata)
    held = np.random.default_rng(0).random((60, 4)) < 0.3
    ctl.tl.motif_activity(mdata, matches=pd.DataFrame(held, mdata.mod["atac"].var_names, MOTIFS), n_backgrounds=5)
    ctl.tl.link_regions(mdata, n_cells=50, seed=0)
    ctl.tl.perturb(mdata, ["gene_1", "gene_2"], n_cells=10, seed=0)
    mdata.uns["ctl"]["models"]["dense"]["card"] = np.frombuffer(
        b'{"notes": "<img src=x onerror=alert(1)>", "data": {"cells": 3}}', dtype=np.uint8
    )
    return mdata


@pytest.fixture(scope="module")
def text(mdata, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    assert ctl.io.report(mdata, path, title="Mine <b>") == path
    assert path.stat().st_size < 5_000_000
    return path.read_text("utf-8")


def test_every_text_is_escaped_and_nothing_comes_from_outside(text, mdata):
    page = Page(text)
    assert {tag for tag, _ in page.elements} & {"script", "iframe", "object", "form", "svg", "b"} == set()
    assert not [a for _, attrs in page.elements for a in attrs if a.startswith("on")]
    sources = [attrs[k] for _, attrs in page.elements for k in ("src", "href") if k in attrs]
    assert all(s.startswith(("data:image/svg+xml;base64,", "data:,", "#")) for s in sources)
    assert "default-src 'none'" in page.all("meta")[1]["content"]
    assert any(EVIL in t for t in page.texts)
    assert "<img src=x onerror=alert(1)>" in page.texts
    assert html.escape("Mine <b>") in text
    assert all(attrs["alt"] for attrs in page.all("img"))
    assert {a["href"][1:] for a in page.all("a")} == {a["id"] for a in page.all("section")}
    assert not any(name in text for name in mdata.obs_names[:50])


def test_it_shows_what_the_tables_hold(text, mdata):
    shown = Page(text).texts
    table = mdata.uns["ctl"]["evaluation"]
    for value in table["value"].dropna():
        assert f"{value:.4f}" in shown
    gains = mdata.uns["ctl"]["gains"]
    for value in gains["gain"]:
        assert f"{value:+.4f}" in shown
    for part in ("train", "val", "test"):
        assert str(int((mdata.obs["ctl_split"] == part).sum())) in shown
    top = mdata.uns["ctl"]["rank_regions"]["table"]
    assert top.loc[top["low"].idxmax(), "region"] in shown
    assert ctl.io.content_hash(ctl.io.read_record(mdata, "dense")) in shown
    sure = int(((gains["ci_low"] > 0) & (gains["ahead"] == "")).sum())
    assert any(f"ahead of the best baseline in {sure} of {len(gains)} scores" in t for t in shown)
    assert not any("Not in these data" in t for t in shown)


def test_a_gain_over_a_baseline_that_another_beats_says_so(mdata, tmp_path):
    found = mdata.copy()
    gains = found.uns["ctl"]["gains"].copy()
    first = gains.index[0]
    gains["ahead"], gains["gain_over_ahead"] = "", np.nan
    gains.loc[first, ["gain", "ahead", "gain_over_ahead"]] = [0.0625, "knn", -0.03125]
    found.uns["ctl"]["gains"] = gains
    ctl.io.report(found, tmp_path / "r.html")
    shown = Page((tmp_path / "r.html").read_text("utf-8")).texts
    assert shown[shown.index("+0.0625") + 3] == "-0.0312 over knn"
    assert any("read such a gain as none" in text for text in shown)
    ctl.io.export_model(found, "dense", tmp_path / "model")
    scores = {(s["pairs"], s["view"], s["metric"]): s for s in ctl.io.load_record(tmp_path / "model").card["scores"]}
    row = gains.loc[first]
    told = scores[row["pairs"], row["view"], row["metric"]]
    assert (told["baseline"], told["gain"], told["ahead"], told["gain_over_ahead"]) == (
        row["baseline"],
        0.0625,
        "knn",
        -0.03125,
    )
    table = found.uns["ctl"]["evaluation"]
    assert len(scores) == int((table["model"] == "dense").sum())
    assert "| knn | -0.03125 |" in (tmp_path / "model" / "README.md").read_text("utf-8").replace("\\", "")


def test_what_was_computed_of_genes_motifs_and_links_is_shown(text, mdata):
    shown = Page(text).texts
    assert set(MOTIFS) <= set(shown)
    genes = mdata.mod["gene_activity"].var
    assert set(genes.nlargest(10, "ctl_pearson")["gene"]) <= set(shown)
    links = mdata.uns["ctl"]["region_links"]["table"]
    for value in links.nsmallest(10, "pvalue")["effect"]:
        assert f"{value:.4g}" in shown
    assert any(f"{int((links['fdr'] < 0.1).sum())} of {len(links)} linked pairs" in t for t in shown)
    for row in mdata.uns["ctl"]["perturbation"]["table"].itertuples():
        assert {row.target, f"{row.size:.4g}"} <= set(shown)


def test_one_result_makes_one_part_and_a_column_that_is_not_there_is_said(tmp_path):
    mdata = ctl.datasets.simulate_multiome(60, 20, 30, seed=0)
    held = pd.DataFrame(np.eye(30, 2) > 0, mdata.mod["atac"].var_names, ["A", "B"])
    ctl.tl.motif_activity(mdata, key="atac", matches=held, n_backgrounds=5)
    for data in (mdata, *mdata.mod.values()):
        del data.obs["cell_type"]
    page = Page(ctl.io.report(mdata, tmp_path / "a.html").read_text("utf-8"))
    assert "Activity of motifs" in page.texts
    assert "Gene activity and expression" not in page.texts
    assert any("Did not find mdata.obs['cell_type']" in t for t in page.texts)
    with pytest.raises(ChromatellError, match=r"Did not find mdata.obs\['kind'\]; columns there: 'donor'"):
        ctl.io.report(mdata, tmp_path / "b.html", groupby="kind")  # asked for by name
    assert not (tmp_path / "b.html").exists()


def test_what_is_missing_is_named_with_the_call_that_makes_it(tmp_path):
    mdata = ctl.datasets.simulate_multiome(60, 20, 30, seed=0)
    ctl.io.write(mdata, tmp_path / "cells.h5mu")
    before = mdata.copy()
    said = " ".join(Page(ctl.io.report(mdata, tmp_path / "a.html").read_text("utf-8")).texts)
    for call in (
        "ctl.pp.split_cells(mdata)",
        "ctl.tl.evaluate(mdata)",
        "ctl.tl.uncertainty(",
        "ctl.tl.dense(mdata)",
        "link_regions(",
    ):
        assert call in said
    assert list(mdata.mod) == list(before.mod)
    assert dict(mdata.uns) == dict(before.uns)
    from_file = ctl.io.report(tmp_path / "cells.h5mu", tmp_path / "b.html").read_text("utf-8")
    assert "<h1>chromatell report: cells.h5mu</h1>" in from_file


def test_a_map_without_groups_and_tracks_without_predictions_have_what_they_name(tmp_path):
    mdata = ctl.datasets.simulate_multiome(80, 20, 30, n_types=2, seed=0)
    for data in (mdata, *mdata.mod.values()):
        data.obs.pop("cell_type")
    ctl.pp.split_cells(mdata, seed=0)
    ctl.tl.baseline(mdata, "svd_ridge", key_added="mine")

    def said(data):
        return " ".join(Page(ctl.io.report(data, tmp_path / "a.html", overwrite=True).read_text("utf-8")).texts)

    missing = "Neither obs['cell_type'] nor scores of cells are there."
    assert f"{missing} Name groups with groupby=, or run ctl.tl.evaluate(mdata)." in said(mdata)
    ctl.tl.evaluate(mdata, baselines=["region_mean"], views="per_cell", n_bootstrap=0)
    assert missing not in said(mdata)

    rate = np.repeat(np.random.default_rng(0).gamma(0.3, 3, 200), 20)
    values = np.stack([np.random.default_rng(1).poisson(rate), rate > 2]).astype("f4")
    tracks = ctl.data.BinnedTracks({"chr1": values}, ["plus", "mark"], chrom_sizes={"chr1": 200_000})
    tracks.table["role"] = ["input", "target"]
    ctl.pp.split_regions(tracks, by="blocks", block=10_000, width=250, fractions=(0.5, 0.2, 0.3), seed=0)
    ctl.tl.evaluate(tracks, baselines=["log_signal"], n_bootstrap=0)
    missing = "No prediction of tracks is scored."
    assert f"{missing} Run ctl.tl.nascent(tracks), ctl.tl.evaluate(tracks)." in said(tracks)
    ctl.tl.nascent(tracks, architecture="xgboost", window=5, train_kwargs={"max_epochs": 2}, seed=0)
    ctl.tl.evaluate(tracks, n_bootstrap=0)
    assert missing not in said(tracks)


def test_cells_by_bins_and_tracks(tmp_path):
    adata = ctl.datasets.simulate_multiome(200, 20, 80, n_types=2, seed=0).mod["atac"]
    ctl.pp.split_cells(adata, seed=0)
    ctl.tl.evaluate(adata, [], labels=None, n_bootstrap=0, seed=0)
    shown = Page(ctl.io.report(adata, tmp_path / "bins.html").read_text("utf-8")).texts
    assert "removed bins" in shown

    rng = np.random.default_rng(0)
    values = rng.gamma(1, 2, (3, 4000)).astype("f4")
    tracks = ctl.data.BinnedTracks({"chr1": values}, ["plus", "mark", "mark_mine"], chrom_sizes={"chr1": 200_000})
    tracks.table["role"] = ["input", "target", "prediction"]
    tracks.table["assay"] = ["PRO-seq", "mark", "mark"]
    ctl.pp.split_regions(tracks, by="blocks", block=10_000, width=50, seed=0)
    ctl.tl.evaluate(tracks, baselines=["mean"], n_bootstrap=0)
    page = Page(ctl.io.report(tracks, tmp_path / "tracks.html").read_text("utf-8"))
    table = tracks.uns["ctl"]["evaluation"]
    pearson = table[(table["metric"] == "pearson") & (table["chrom"] == "all") & ~table["is_baseline"]]
    assert f"{pearson['value'].iloc[0]:.4g}" in page.texts
    assert len(page.all("img")) == 2


def test_bad_input_is_refused_before_anything_is_written(mdata, tmp_path):
    with pytest.raises(ChromatellError, match=r"must end in \.html"):
        ctl.io.report(mdata, tmp_path / "report.pdf")
    (tmp_path / "there.html").write_text("mine")
    with pytest.raises(ChromatellError, match="overwrite=True"):
        ctl.io.report(mdata, tmp_path / "there.html")
    with pytest.raises(ChromatellError, match="takes a MuData"):
        ctl.io.report([1, 2], tmp_path / "list.html")
    assert [p.name for p in tmp_path.iterdir()] == ["there.html"]
    assert (tmp_path / "there.html").read_text() == "mine"
    ctl.io.report(mdata, tmp_path / "there.html", overwrite=True)
    assert re.match("<!doctype html>", (tmp_path / "there.html").read_text("utf-8"))
