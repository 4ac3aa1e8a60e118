"""``chromatell bin``: the same bins as the Python call, what comes along of the cells, and clear errors."""

from __future__ import annotations

import errno
import gzip

import anndata as ad
import h5py
import mudata as md
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests.helpers import file_names

import chromatell as ctl
from chromatell.cli import main
from chromatell.io import _h5_sink
from chromatell.io._h5_sink import H5Sink

SIZES = ["--chrom-sizes", "SIZES"]
LENGTHS = {"chr1": 60_000, "chr2": 42_000}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Fragments of twelve cells, two of them not among those with expression, and what may be said of the cells."""
    folder = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(0)
    barcodes = [f"{''.join(rng.choice(list('ACGT'), 8))}-1" for _ in range(12)]
    lines = []
    for i, barcode in enumerate(barcodes):
        for chrom, start in zip(rng.choice(list(LENGTHS), 20 + i), rng.integers(0, 41_000, 20 + i), strict=True):
            lines.append(f"{chrom}\t{start}\t{start + 200}\t{barcode}\t1")
    with gzip.open(folder / "fragments.tsv.gz", "wt") as file:
        file.write("\n".join(lines) + "\n")
    (folder / "sizes.txt").write_text("".join(f"{c}\t{n}\n" for c, n in LENGTHS.items()))
    (folder / "black.bed").write_text("chr1\t5100\t5200\n")
    obs = pd.DataFrame({"cell_type": pd.Categorical(["a", "b"] * 5), "donor": "d"}, index=barcodes[9::-1])
    rna = ad.AnnData(sp.csr_matrix(rng.poisson(1.0, (10, 6)).astype(np.float32)), obs=obs)
    rna.var_names = [f"gene{i}" for i in range(6)]
    rna.write_h5ad(folder / "rna.h5ad")
    return folder


@pytest.fixture
def run(made, tmp_path):
    """Run a command on the made files, by their names, and return its exit code."""
    swap = {"SIZES": made / "sizes.txt", "FRAGMENTS": made / "fragments.tsv.gz", "RNA": made / "rna.h5ad"}
    swap |= {"BLACK": made / "black.bed", "OUT": tmp_path / "out.h5ad"}
    return lambda *words: main([str(swap.get(word, word)) for word in words])


def api(made, **options):
    return ctl.pp.bin_genome(made / "fragments.tsv.gz", **{"chrom_sizes": LENGTHS, **options})


def assert_same(found, want):
    assert list(found.obs_names) == list(want.obs_names)
    # files give text as pandas' own dtype on new releases; names and values are what counts
    both = (x.var.astype({"chrom": object}).set_axis(x.var_names.astype(object)) for x in (found, want))
    pd.testing.assert_frame_equal(*both)
    np.testing.assert_array_equal(found.X.toarray(), want.X.toarray())
    assert list(found.obs["n_fragments"]) == list(want.obs["n_fragments"])


def test_fragments_and_a_list_of_cells_equal_the_api(made, run, tmp_path, capsys):
    cells = list(ad.read_h5ad(made / "rna.h5ad").obs_names)
    with gzip.open(tmp_path / "barcodes.tsv.gz", "wt") as file:
        file.write("\n".join(cells) + "\n")
    options = ["--bin-size", "2000", "--blacklist", "BLACK", "--count", "cut_sites"]
    assert run("bin", "FRAGMENTS", "-o", "OUT", *SIZES, "--barcodes", tmp_path / "barcodes.tsv.gz", *options) == 0
    found = ad.read_h5ad(tmp_path / "out.h5ad")
    assert_same(found, api(made, barcodes=cells, size=2000, blacklist=made / "black.bed", count="cut_sites"))
    assert not ((found.var["chrom"] == "chr1") & (found.var["start"] == 4000)).any()  # on the blacklist
    assert found.X.sum() < 2 * found.obs["n_fragments"].sum()
    said = capsys.readouterr().out
    assert f"Wrote 10 cells x {found.n_vars} bins to" in said
    assert "--family atacformer [--labels COLUMN]" in said
    assert file_names(tmp_path) == {"barcodes.tsv.gz", "out.h5ad"}


def test_the_columns_of_the_cells_come_along(made, run, tmp_path):
    assert run("bin", "FRAGMENTS", "-o", "OUT", *SIZES, "--barcodes", "RNA", "--keep-empty", "--assign", "overlap") == 0
    found, rna = ad.read_h5ad(tmp_path / "out.h5ad"), ad.read_h5ad(made / "rna.h5ad")
    assert_same(found, api(made, barcodes=rna.obs_names, drop_empty=False, assign="overlap"))
    assert found.n_vars == 12 + 9
    assert list(found.obs["cell_type"]) == list(rna.obs["cell_type"])
    assert set(found.obs) == {"n_fragments", "cell_type", "donor"}


def test_an_h5mu_holds_the_expression_beside_the_bins(made, run, tmp_path, capsys):
    out = tmp_path / "paired.h5mu"
    assert run("bin", "FRAGMENTS", "-o", out, *SIZES, "--barcodes", "RNA") == 0
    assert "[--context X_pca]" in capsys.readouterr().out
    found, rna = ctl.io.read(out), ad.read_h5ad(made / "rna.h5ad")
    assert_same(found.mod["atac"], api(made, barcodes=rna.obs_names))
    np.testing.assert_array_equal(found.mod["rna"].X.toarray(), rna.X.toarray())
    assert list(found.obs["cell_type"]) == list(rna.obs["cell_type"])
    ctl.pp.split_cells(found, by=None, seed=0)  # they are the same cells in the same order
    # the columns of a modality come along too
    del found.obs["donor"], found.obs["cell_type"], found.mod["atac"].obs["donor"], found.mod["atac"].obs["cell_type"]
    found.write_h5mu(tmp_path / "shared.h5mu")
    labelled = tmp_path / "labelled.h5ad"
    assert run("bin", "FRAGMENTS", "-o", labelled, *SIZES, "--barcodes", tmp_path / "shared.h5mu") == 0
    assert list(ad.read_h5ad(labelled).obs["cell_type"]) == list(rna.obs["cell_type"])
    # of such a file, and a list: these cells, with what is known of them
    few = tmp_path / "few.csv"
    few.write_text("barcode,n\n" + "".join(f"{name},1\n" for name in rna.obs_names[[4, 1]]))
    assert run("bin", out, "-o", tmp_path / "few.h5mu", *SIZES, "--barcodes", few, "--bin-size", "10000") == 0
    pair = ctl.io.read(tmp_path / "few.h5mu")
    assert list(pair.obs["cell_type"]) == list(rna.obs["cell_type"].iloc[[4, 1]])
    np.testing.assert_array_equal(pair.mod["rna"].X.toarray(), rna.X[[4, 1]].toarray())
    assert pair.mod["atac"].X.sum() == found.mod["atac"].X[[4, 1]].sum()


def test_cells_as_cell_ranger_arc_writes_them(made, run, tmp_path):
    cells, path = list(ad.read_h5ad(made / "rna.h5ad").obs_names), tmp_path / "filtered_feature_bc_matrix.h5"
    x = sp.csc_matrix(np.arange(30).reshape(3, 10))
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        group["barcodes"] = np.array(cells, dtype="S")
        group["shape"], group["data"], group["indices"], group["indptr"] = [3, 10], x.data, x.indices, x.indptr
        table = {"id": ["E1", "E2", "chr1:5000-5500"], "name": ["A", "B", "chr1:5000-5500"]}
        table |= {"feature_type": ["Gene Expression", "Gene Expression", "Peaks"]}
        for key, values in table.items():
            group[f"features/{key}"] = np.array(values, dtype="S")
    assert run("bin", "FRAGMENTS", "-o", tmp_path / "paired.h5mu", *SIZES, "--barcodes", path) == 0
    found = ctl.io.read(tmp_path / "paired.h5mu")
    assert_same(found.mod["atac"], api(made, barcodes=cells))
    np.testing.assert_array_equal(found.mod["rna"].X.toarray(), np.arange(20).reshape(2, 10).T)
    assert run("bin", path, "-o", tmp_path / "peaks.zarr", *SIZES) == 0
    assert list(ad.read_zarr(tmp_path / "peaks.zarr").var_names) == ["chr1:5000-10000"]


def test_without_a_list_the_cells_are_those_of_enough_fragments(made, run, tmp_path):
    assert run("bin", "FRAGMENTS", "-o", "OUT", *SIZES, "--min-fragments", "25") == 0
    found = ad.read_h5ad(tmp_path / "out.h5ad")
    assert_same(found, api(made, min_fragments=25))
    assert found.n_obs == 7


def test_the_bins_of_another_file(made, run, tmp_path, capsys):
    first = tmp_path / "first.h5ad"
    assert run("bin", "FRAGMENTS", "-o", first, *SIZES, "--barcodes", "RNA", "--bin-size", "3000") == 0
    assert run("bin", "FRAGMENTS", "-o", "OUT", "--bins", first, "--min-fragments", "1") == 0
    found = ad.read_h5ad(tmp_path / "out.h5ad")
    assert list(found.var_names) == list(ad.read_h5ad(first).var_names)
    assert found.n_obs == 12
    assert f"chromatell predict {tmp_path / 'out.h5ad'} --model MODEL" in capsys.readouterr().out


def test_an_input_is_replaced_only_when_told_to(made, run, tmp_path, refused):
    peaks = tmp_path / "peaks.h5ad"
    api(made, min_fragments=1, size=1000).write_h5ad(peaks)
    call = ["bin", peaks, "-o", peaks, "--chrom-sizes", made / "sizes.txt"]
    before = peaks.read_bytes()
    assert "is an input too" in refused(call, 2)
    assert peaks.read_bytes() == before
    assert run(*call, "--overwrite", "-q") == 0
    assert set(ad.read_h5ad(peaks).var["end"] - ad.read_h5ad(peaks).var["start"]) == {5000, 2000}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["FRAGMENTS", "-o", "OUT"], 2, "--chrom-sizes hg38"),
        (["FRAGMENTS", "-o", "out.txt", *SIZES], 2, "must end in .h5ad or .h5mu or .zarr"),
        (["FRAGMENTS", "-o", "nowhere/out.h5ad", *SIZES], 2, "does not exist"),
        (["FRAGMENTS", "-o", "out.h5mu", *SIZES], 2, "--barcodes RNA.h5ad"),
        (["FRAGMENTS", "-o", "OUT", "--bins", "RNA", "--bin-size", "100"], 2, "--bin-size does not go with --bins"),
        (["FRAGMENTS", "-o", "OUT", "--bins", "RNA", "--keep-empty"], 2, "--keep-empty does not go with --bins"),
        (["FRAGMENTS", "-o", "OUT", *SIZES, "--barcodes", "RNA", "--min-fragments", "5"], 2, "without --barcodes"),
        (["absent.tsv", "-o", "OUT", *SIZES], 1, "fragments file 'absent.tsv' is not there"),
        (["absent.h5ad", "-o", "OUT", *SIZES], 1, "absent.h5ad"),
        (["FRAGMENTS", "-o", "OUT", *SIZES, "--barcodes", "absent.txt"], 1, "'absent.txt' is not there"),
        (["FRAGMENTS", "-o", "OUT", *SIZES, "--blacklist", "absent.bed"], 1, "blacklist 'absent.bed' is not there"),
        (["FRAGMENTS", "-o", "OUT", *SIZES], 1, "has 1,000 fragments; the most is 31"),
        (
            ["FRAGMENTS", "-o", "OUT", "--chrom-sizes", "hg99"],
            2,
            "--chrom-sizes 'hg99' is not a file that is there, or one of hg19",
        ),
        (["FRAGMENTS", "-o", "OUT", *SIZES, "--barcodes", "OTHERS"], 1, "holds no fragment of the 2 cells"),
        (["FRAGMENTS", "-o", "OUT", *SIZES, "--barcodes", "TWICE"], 1, "more than once"),
        (["FRAGMENTS", "-o", "OUT", *SIZES, "--barcodes", "NONE"], 1, "one barcode a line is needed"),
        (["FRAGMENTS", "-o", "OUT", *SIZES, "--barcodes", "BINARY"], 1, "no list of barcodes"),
        (["RNA", "-o", "OUT", *SIZES], 1, "coordinates"),
    ],
)
def test_a_call_that_cannot_end_well_is_one_line(words, code, message, made, tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    lists = {
        "OTHERS": b"AAAA-1\nCCCC-1\n",
        "TWICE": b"AAAA-1\nAAAA-1\n",
        "NONE": b"barcode\n",
        "BINARY": b"\xff\x00\xfe",
    }
    folder = tmp_path.parent / f"{tmp_path.name}_lists"
    folder.mkdir()
    for name, text in lists.items():
        (folder / name).write_bytes(text)
    swap = {"SIZES": made / "sizes.txt", "FRAGMENTS": made / "fragments.tsv.gz", "RNA": made / "rna.h5ad"}
    swap |= {"OUT": "out.h5ad", **{name: folder / name for name in lists}}
    assert message in refused(["bin", *[swap.get(word, word) for word in words]], code)
    assert file_names(tmp_path) == set()


def test_a_write_that_fails_leaves_the_old_file(made, tmp_path, monkeypatch, refused):
    out = tmp_path / "out.h5ad"
    ad.AnnData(np.ones((1, 1), "float32")).write_h5ad(out)
    old = out.read_bytes()

    class Full(H5Sink):
        def __init__(self, path):
            super().__init__(path)
            self.error = OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_h5_sink, "H5Sink", Full)
    call = ["bin", made / "fragments.tsv.gz", "-o", out, "--chrom-sizes", made / "sizes.txt", "--min-fragments", "1"]
    assert "is there already" in refused(call, 2)
    assert "there is no room left on the disk" in refused([*call, "--overwrite"], 1)
    assert out.read_bytes() == old
    assert file_names(tmp_path) == {"out.h5ad"}


@pytest.mark.parametrize("made_by_user", ["file", "folder"])
def test_what_is_no_output_of_ours_stays(made, tmp_path, refused, made_by_user):
    """Not even --overwrite replaces a folder or file of another kind."""
    out = tmp_path / "out.zarr"
    mine = out if made_by_user == "file" else out / "thesis.txt"
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("years of work")
    call = ["bin", made / "fragments.tsv.gz", "-o", out, "--chrom-sizes", made / "sizes.txt", "--min-fragments", "1"]
    assert "is there already" in refused(call, 2)
    assert "so it is not replaced" in refused([*call, "--overwrite"], 2)
    assert mine.read_text() == "years of work"


def test_cells_without_expression_are_named(made, tmp_path, refused):
    pair = md.MuData({"atac": api(made, min_fragments=1)})
    pair.write_h5mu(tmp_path / "atac.h5mu")
    call = ["bin", made / "fragments.tsv.gz", "-o", tmp_path / "out.h5mu", "--chrom-sizes", made / "sizes.txt"]
    assert "has none" in refused([*call, "--barcodes", tmp_path / "atac.h5mu"], 2)
    assert file_names(tmp_path) == {"atac.h5mu"}
