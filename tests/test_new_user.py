"""What a new user does, right or wrong: the right runs the same whatever its types, the wrong is one clear error."""

from __future__ import annotations

import re

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import chromatell as ctl
from chromatell import ChromatellError

TINY = {"d": 32, "n_layers": 1, "n_hidden": 32, "seed": 0, "train_kwargs": {"max_epochs": 1}}


@pytest.fixture(scope="module")
def bins():
    adata = ctl.datasets.simulate_multiome(150, 20, 50, seed=0).mod["atac"]
    ctl.pp.split_cells(adata, seed=0)
    return adata


@pytest.fixture(scope="module")
def embedding(bins):
    return ctl.tl.atacformer(bins, **TINY, copy=True).obsm["X_atacformer"]


def unsorted(x):
    order = np.concatenate([np.arange(a, b)[::-1] for a, b in zip(x.indptr[:-1], x.indptr[1:], strict=True)])
    return sp.csr_matrix((x.data[order], x.indices[order], x.indptr), shape=x.shape)


def int64_indices(x):
    x = x.copy()
    x.indices, x.indptr = x.indices.astype(np.int64), x.indptr.astype(np.int64)
    return x


@pytest.mark.parametrize(
    "stored",
    [
        lambda x: x.toarray().astype(np.float16),
        lambda x: np.asfortranarray(x.toarray().astype(float)),
        lambda x: x.astype(np.uint8),
        lambda x: x > 0,
        lambda x: x.tocsc(),
        lambda x: sp.csr_array(x),
        int64_indices,
        unsorted,
    ],
    ids=["float16", "fortran", "uint8", "bool", "csc", "csr_array", "int64 indices", "unsorted"],
)
@pytest.mark.filterwarnings("ignore:Training will be faster when sparse matrix:UserWarning")
def test_how_counts_are_stored_changes_nothing(bins, embedding, stored):
    adata = bins.copy()
    adata.X = stored(bins.X)
    dtype = adata.X.dtype
    ctl.tl.atacformer(adata, **TINY)
    np.testing.assert_array_equal(adata.obsm["X_atacformer"], embedding)
    assert adata.X.dtype == dtype
    binned = ctl.pp.bin_genome(adata, chrom_sizes="hg38")
    want = bins.copy()
    want.X = (bins.X > 0).astype(np.float32) if dtype.kind == "b" else bins.X
    np.testing.assert_array_equal(binned.X.toarray(), ctl.pp.bin_genome(want, chrom_sizes="hg38").X.toarray())


def test_bins_on_disk_are_read_as_in_memory(bins, embedding, tmp_path):
    bins.write_h5ad(tmp_path / "bins.h5ad")
    backed = ad.read_h5ad(tmp_path / "bins.h5ad", backed="r")
    binned = ctl.pp.bin_genome(backed, chrom_sizes="hg38")
    np.testing.assert_array_equal(binned.X.toarray(), ctl.pp.bin_genome(bins, chrom_sizes="hg38").X.toarray())
    ctl.tl.atacformer(backed, **TINY)
    np.testing.assert_allclose(backed.obsm["X_atacformer"], embedding, atol=1e-5)


def test_an_anndata_by_itself_is_not_called_a_modality(bins):
    for change, message in (
        (lambda a: a.X.data.__setitem__(0, np.nan), r"^adata.X holds 1 NaN .* adata.X.data\[:\] = np.nan_to_num"),
        (lambda a: a.X.data.__setitem__(0, -1), r"^adata.X holds 1 negative values .*scaling: read the file again"),
        (lambda a: setattr(a, "obs_names", ["x"] * a.n_obs), r"^adata has 1 repeated .*adata.obs_names_make_unique"),
    ):
        adata = bins.copy()
        change(adata)
        for call in (lambda a: ctl.tl.atacformer(a, **TINY), lambda a: ctl.pp.bin_genome(a, chrom_sizes="hg38")):
            with pytest.raises(ChromatellError, match=message):
                call(adata)
    with pytest.raises(ChromatellError, match=r"^mdata.mod\['atac'\] has 1 repeated"):
        ctl.pp.bin_genome(md.MuData({"atac": adata}), chrom_sizes="hg38")


def test_the_cure_for_nan_is_one(bins):
    for stored in (bins.X.copy(), bins.X.toarray()):
        adata = bins.copy()
        adata.X = stored
        (adata.X.data if sp.issparse(adata.X) else adata.X).flat[:2] = np.nan, np.inf
        with pytest.raises(ChromatellError, match="NaN") as raised:
            ctl.tl.atacformer(adata, **TINY)
        exec(str(raised.value).split("e.g. ")[1].rstrip("."), {"adata": adata, "np": np})
        ctl.tl.atacformer(adata, **TINY)
        assert np.isfinite(adata.obsm["X_atacformer"]).all()


def test_cells_named_by_something_else_than_a_list(tmp_path):
    for given, cure in (
        ("barcodes.tsv.gz", r"pd.read_csv\('barcodes.tsv.gz', header=None\)\[0\]"),
        (ad.AnnData(obs=pd.DataFrame(index=["a"])), "barcodes is a AnnData; .*such as rna.obs_names"),
    ):
        with pytest.raises(ChromatellError, match=cure):
            ctl.pp.bin_genome("fragments.tsv", chrom_sizes="hg38", barcodes=given)
    with pytest.raises(ChromatellError, match=r"cells.h5ad' holds cells.* ctl.pp.bin_genome\(ctl.io.read\("):
        ctl.pp.bin_genome(tmp_path / "cells.h5ad", chrom_sizes="hg38")


# ---- where results go


@pytest.fixture
def untrainable(monkeypatch):
    """Training is an error: what cannot be written must be said before it."""
    from chromatell.models._base import ChromatinModel

    def train(self, *args, **options):
        raise AssertionError("trained before the output was looked at")

    monkeypatch.setattr(ChromatinModel, "train", train)


@pytest.fixture
def locked(tmp_path, monkeypatch):
    """A folder that is not ours to write into, even for root."""
    import os

    folder, access = tmp_path / "locked", os.access
    folder.mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != str(folder) and access(path, mode))
    return folder


@pytest.mark.parametrize("family", ["dense", "atacformer"])
def test_a_store_that_cannot_be_written_is_named_before_training(family, untrainable, locked, tmp_path):
    mdata = ctl.datasets.simulate_multiome(150, 20, 50, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    (tmp_path / "there.zarr").mkdir()
    (tmp_path / "file").write_text("x")
    options = {"context": "X_pca"} if family == "atacformer" else {}
    for path, message in (
        (tmp_path / "there.zarr", "there.zarr' exists. Choose another path"),
        (locked / "deep" / "new.zarr", "locked is not writable. Choose another path"),
        (tmp_path / "file" / "new.zarr", "file is a file, not a folder"),
    ):
        with pytest.raises(ChromatellError, match=message):
            getattr(ctl.tl, family)(mdata, out=path, **options)
    assert set(mdata.mod) == {"rna", "atac"}


@pytest.fixture
def tracks():
    rng = np.random.default_rng(0)
    signal = rng.poisson(0.4, (2, 3000)).astype(np.float32)
    values = np.vstack([signal, np.convolve(signal.sum(axis=0), np.ones(5), "same")])
    made = ctl.data.BinnedTracks({"chr21": values}, ["plus", "minus", "mark"], chrom_sizes={"chr21": 149_970})
    ctl.pp.split_regions(made, by="blocks", block=10_000, width=1050, seed=0)
    return made


def test_tracks_that_cannot_be_written_are_named_first(tracks, untrainable, locked, tmp_path):
    pytest.importorskip("pybigtools")
    pytest.importorskip("xgboost")
    with pytest.raises(ChromatellError, match="locked is not writable"):
        ctl.tl.nascent(tracks, window=21, out=locked / "new.zarr")
    with pytest.raises(ChromatellError, match="locked is not writable"):
        ctl.io.bigwig.write(tracks, locked / "new")
    assert list(locked.iterdir()) == []


def test_a_region_of_tracks_in_a_users_words(tracks):
    want = tracks.to_anndata("chr21:10,000-20,000")
    for text in ("21:10000-20000", "Chr21:10,000-20,000"):
        np.testing.assert_array_equal(tracks.to_anndata(text).X, want.X)
    for text, message in (
        ("chr21:100,000-200,000", "goes beyond the end of chr21, at 149,970. Take 'chr21:100000-149970', or is it"),
        ("chr21:500-100", "must begin before it ends, such as 'chr21:0-149970'"),
        ("22:10-90", "no chromosome '22'; there: 'chr21'"),
        ("chr21:a-b", "does not parse. Needed: 'chrom:start-end'"),
    ):
        with pytest.raises(ChromatellError, match=message):
            tracks.to_anndata(text)


def test_blocks_that_are_shorter_than_their_gap_say_so(tracks):
    with pytest.raises(ChromatellError, match="blocks of 10,000 bp lie 64,025 bp apart .*") as error:
        ctl.pp.split_regions(tracks, by="blocks", block=10_000)
    said = {name: int(value) for name, value in re.findall(r"(block|width)=(\d+)", str(error.value))}
    ctl.pp.split_regions(tracks, by="blocks", **said)
    assert all((tracks.splits["chr21"] == part).any() for part in range(3))
    with pytest.raises(ChromatellError, match=r"blocks of 100,000 bp lie 525 bp apart .* Take block=\d+, width=1050"):
        ctl.pp.split_regions(tracks, by="blocks", block=100_000, width=1050)


def test_tracks_without_a_split_are_said_to_be(tracks, caplog):
    pytest.importorskip("xgboost")
    tracks.splits = {}
    tracks.table["role"] = ["input", "input", "target"]
    ctl.tl.nascent(tracks, window=21, train_kwargs={"max_epochs": 1})
    assert "not split: all bins train, none is left to score" in caplog.text


def test_roles_that_are_lacking_name_the_arguments_of_the_model(tracks):
    tracks.table["role"] = "target"
    with pytest.raises(ChromatellError, match=r"no track of role 'input'.* for a model inputs=\[...\]"):
        ctl.tl.nascent(tracks, window=21)


def test_targets_that_are_infinite_somewhere_are_unknown_there(tracks):
    pytest.importorskip("xgboost")
    tracks.table["role"] = ["input", "input", "target"]
    unknown = tracks.copy()
    tracks.values("chr21")[2, 40], unknown.values("chr21")[2, 40] = np.inf, np.nan
    for made in (tracks, unknown):
        ctl.tl.nascent(made, window=21, seed=0, train_kwargs={"max_epochs": 2})
    found, want = (x.values("chr21", ["mark_nascent"]) for x in (tracks, unknown))
    np.testing.assert_array_equal(found, want)


def test_bins_know_the_build_that_they_were_made_in(tmp_path):
    pytest.importorskip("pyfaidx")
    # chr22 of hg19, as a FASTA is: its lengths tell the build
    length = {"hg19": 51_304_566, "hg38": 50_818_468}
    with (tmp_path / "hg19.fa").open("w") as file:
        file.write(">chr22\n" + "ACGT" * (length["hg19"] // 4) + "ACGT"[: length["hg19"] % 4] + "\n")
    (tmp_path / "fragments.tsv").write_text(
        "".join(f"chr22\t{i * 7000}\t{i * 7000 + 90}\tc{i % 3}\t1\n" for i in range(30))
    )
    atac = ctl.pp.bin_genome(tmp_path / "fragments.tsv", chrom_sizes="hg38", min_fragments=1)
    with pytest.raises(ChromatellError, match="hg19"):
        ctl.pp.embed_sequence(atac, tmp_path / "hg19.fa")
    assert "X_dna" not in atac.varm
