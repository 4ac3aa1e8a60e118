"""Counts of cells x regions against a count by hand over every pair of fragment and region."""

from __future__ import annotations

import gzip
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import chromatell as ctl

CELLS = [f"AC{a}{b}GT-1" for a in "ACGT" for b in "ACGT"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame, pd.DataFrame]:
    """A fragments file, its fragments, and regions that overlap, nest, touch and lie in no order."""
    rng = np.random.default_rng(0)
    n = 4000
    start = rng.integers(0, 9000, n)
    fragments = pd.DataFrame(
        {
            "chrom": rng.choice(["chr1", "chr2", "chr3"], n),
            "start": start,
            "end": start + rng.integers(1, 900, n),
            "barcode": rng.choice(CELLS, n),
        }
    )
    path = tmp_path_factory.mktemp("fragments") / "fragments.tsv.gz"
    with gzip.open(path, "wt") as file:
        fragments.to_csv(file, sep="\t", header=False, index=False)
    first = rng.integers(0, 9500, 80)
    regions = pd.DataFrame(
        {"chrom": rng.choice(["chr1", "chr2"], 80), "start": first, "end": first + rng.integers(1, 1500, 80)}
    )
    nested = pd.DataFrame({"chrom": "chr1", "start": [100, 200, 250, 300], "end": [900, 300, 280, 500]})
    regions = pd.concat([regions, nested, regions.iloc[:1].assign(end=regions.end[0] + 5)], ignore_index=True)
    return path, fragments, regions


def by_hand(fragments: pd.DataFrame, regions: pd.DataFrame, count: str) -> np.ndarray:
    out = np.zeros((len(CELLS), len(regions)))
    for j, r in enumerate(regions.itertuples()):
        here = fragments[fragments.chrom == r.chrom]
        if count == "fragments":
            hits = here[(here.start < r.end) & (here.end > r.start)].barcode
        else:
            ends = ((here.start >= r.start) & (here.start < r.end), (here.end - 1 >= r.start) & (here.end - 1 < r.end))
            hits = pd.concat([here[e].barcode for e in ends])
        out[:, j] = [(hits == c).sum() for c in CELLS]
    return out


@pytest.mark.parametrize("count", ["fragments", "cut_sites"])
def test_counts_are_those_of_every_pair(made, count: str) -> None:
    path, fragments, regions = made
    order = CELLS[::-1]
    found = ctl.pp.count_regions(path, regions, barcodes=order, count=count)
    np.testing.assert_array_equal(found.X.toarray()[::-1], by_hand(fragments, regions, count))
    assert list(found.var_names[:1]) == [f"{regions.chrom[0]}:{regions.start[0]}-{regions.end[0]}"]
    assert found.obs_names.tolist() == order
    on_them = fragments[fragments.chrom != "chr3"].barcode.value_counts()
    assert found.obs["n_fragments"].to_dict() == on_them.to_dict()
    assert found.uns["ctl"]["count_regions"]["n_read"] == len(fragments)


def test_files_of_reads_are_a_cell_each(made, tmp_path: Path) -> None:
    _, fragments, regions = made
    for cell, part in fragments.groupby("barcode"):
        part.assign(name="read/1", score=0, strand="+")[["chrom", "start", "end", "name", "score", "strand"]].to_csv(
            tmp_path / f"{cell}.reads.bed", sep="\t", header=False, index=False
        )
    files = sorted(tmp_path.glob("*.bed"))
    named = ad.AnnData(np.zeros((1, len(regions))), var=regions.set_axis([f"e{i}" for i in range(len(regions))]))
    found = ctl.pp.count_regions(files, named)
    assert found.var_names.tolist() == named.var_names.tolist()
    wanted = pd.DataFrame(by_hand(fragments, regions, "fragments"), CELLS)
    np.testing.assert_array_equal(found.X.toarray(), wanted.loc[found.obs_names])
    some = ctl.pp.count_regions({"b": files[3], "a": files[5]}, named, barcodes=["a", "b"])
    np.testing.assert_array_equal(some.X.toarray(), found.X.toarray()[[5, 3]])


def test_a_model_reads_the_counts_beside_expression(tmp_path: Path) -> None:
    mdata = ctl.datasets.simulate_multiome(60, 20, 30, seed=0)
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"chrom": "chr1", "start": rng.integers(0, 5000, 3000)}).assign(end=lambda t: t.start + 50)
    table["barcode"] = rng.choice(mdata.obs_names, 3000)
    table.to_csv(tmp_path / "f.tsv", sep="\t", header=False, index=False)
    regions = [f"chr1:{a}-{a + 400}" for a in range(0, 5000, 500)]
    mdata.mod["erna"] = ctl.pp.count_regions(tmp_path / "f.tsv", regions, barcodes=mdata.obs_names)
    mdata.update()
    ctl.pp.split_cells(mdata, seed=0)
    ctl.tl.dense(mdata, inputs=("rna", "erna"), train_kwargs={"max_epochs": 1}, seed=0)
    assert ctl.models.load(mdata, key="dense").var_names["erna"] == regions


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"regions": ["chr1:1-5", "chr1:1-5"]}, "1 are there twice"),
        ({"regions": ["chr9:1-5"]}, "none of its chromosomes"),
        ({"min_fragments": 3}, "without barcodes="),
        ({"count": "reads"}, "choose one of"),
        ({"source": []}, "source is empty"),
        ({"source": {"x": "x.bed"}}, "16 of the 16 barcodes have no file"),
        ({"source": 3}, "source is a int"),
        ({"chrom_sizes": {"chr1": 500, "chr2": 500}}, "chrom_sizes"),
    ],
)
def test_what_cannot_be_counted_is_refused(made, change: dict, message: str) -> None:
    path, _, regions = made
    given = {"source": path, "regions": regions, "barcodes": CELLS, **change}
    with pytest.raises(ctl.ChromatellError, match=message):
        ctl.pp.count_regions(given.pop("source"), given.pop("regions"), **given)
