"""The Python of the README and of the user guide runs as it stands, a page at a time, in an empty folder."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
import pytest

import chromatell as ctl
from chromatell.models._base import ChromatinModel

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "docs/installation.md",
    "docs/user_guide/dense.md",
    "docs/user_guide/xchrom.md",
    "docs/user_guide/sequence.md",
    "docs/user_guide/atacformer.md",
    "docs/user_guide/nascent.md",
    "docs/user_guide/evaluation.md",
    "docs/user_guide/evaluation-pairs.md",
    "docs/user_guide/evaluation-bins.md",
    "docs/user_guide/evaluation-tracks.md",
    "docs/user_guide/biology.md",
    "docs/user_guide/files.md",
    "docs/user_guide/large-data.md",
    "docs/user_guide/rna-only.md",
    "docs/user_guide/beyond-my-peaks.md",
)


def _shorten(monkeypatch):
    """Two epochs, few replicates, some of the cells: that the calls work is what is tested, in little time."""
    train, evaluate, fisher, example = ChromatinModel.train, ctl.tl.evaluate, ctl.tl.fisher, ctl.datasets.pbmc_example

    def short(self, max_epochs=None, **options):
        train(self, min(max_epochs or 2, 2), **options)

    monkeypatch.setattr(ChromatinModel, "train", short)
    monkeypatch.setattr(ctl.datasets, "pbmc_example", lambda: example()[::4].copy())
    monkeypatch.setattr(ctl.tl, "evaluate", lambda *args, **options: evaluate(*args, **{"n_bootstrap": 10, **options}))
    monkeypatch.setattr(ctl.tl, "fisher", lambda *args, **options: fisher(*args, **{"n_bootstrap": 10, **options}))


def _files_of_tracks(folder):
    """The bigWigs that the README reads: sparse signal, and a mark where it is dense."""
    pytest.importorskip("xgboost")
    pytest.importorskip("pybigtools")
    rng = np.random.default_rng(0)
    size = 12_000_000
    where = np.repeat(rng.random(size // 2000) < 0.1, 40)
    signal = [rng.poisson(0.05 + 0.8 * where).astype(np.float32) for _ in range(4)]
    names = ["plus", "minus", "other_plus", "other_minus", "H3K4me3"]
    tracks = ctl.data.BinnedTracks({"chr1": [*signal, 10.0 * where]}, names, chrom_sizes={"chr1": size})
    for name, path in ctl.io.bigwig.write(tracks, folder / "made", names=names).items():
        path.rename(folder / f"{name}.bw")


def _files_of_cells(folder):
    """The cells and fragments that the README reads: a fragment every 5 kb for each count."""
    mdata = ctl.datasets.simulate_multiome(300, 20, 120, seed=0)
    mdata.mod["rna"].write_h5ad(folder / "cells.h5ad")
    counts, names = mdata.mod["atac"].X.tocoo(), mdata.mod["rna"].obs_names
    with gzip.open(folder / "fragments.tsv.gz", "wt") as file:
        for cell, place, n in zip(counts.row, counts.col, counts.data, strict=True):
            start = 5000 * int(place) + 2000
            file.write(f"chr1\t{start}\t{start + 300}\t{names[cell]}\t1\n" * int(n))


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.filterwarnings("ignore:Cell type explains:chromatell._validate.ChromatellWarning")
def test_the_page_runs(page, tmp_path, monkeypatch):
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("agg")
    monkeypatch.chdir(tmp_path)
    if page == "README.md":
        _files_of_tracks(tmp_path)
        _files_of_cells(tmp_path)
    monkeypatch.setattr(ctl.settings, "seed", None)
    _shorten(monkeypatch)
    verbosity = ctl.settings.verbosity
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), flags=re.M | re.S)
    assert blocks
    names: dict = {}
    try:
        for block in blocks:
            exec(compile(block, page, "exec"), names)
            plt.close("all")  # a page draws more than matplotlib keeps without a warning
    finally:
        ctl.settings.verbosity = verbosity


def test_every_public_function_has_an_entry_in_the_api():
    listed = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "api").glob("*.rst"))
    for space in ("pp", "tl", "pl", "datasets", "metrics", "io", "genome"):
        for name in getattr(ctl, space).__all__:
            assert f"chromatell.{space}.{name}\n" in listed, f"ctl.{space}.{name} has no entry in docs/api"


def test_links_between_files_of_the_repository_lead_somewhere():
    for page in ("README.md",):
        for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text(encoding="utf-8")):
            assert (ROOT / target).exists(), f"{page} links to {target}, which is not there"
