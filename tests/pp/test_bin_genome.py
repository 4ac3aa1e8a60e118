from __future__ import annotations

import gzip
import itertools

import anndata
import mudata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from tests.pp.made_fragments import CELLS, SIZES, as_counter, peaks, random_fragments, slow_counts, write

import chromatell as ctl
from chromatell import ChromatellError, ChromatellWarning
from chromatell.data.accessibility import true_depth
from chromatell.genome.builds import BUILDS
from chromatell.pp import _bin_fragments


@pytest.fixture
def table(rng):
    return random_fragments(rng)


@pytest.fixture
def path(tmp_path, table):
    return write(tmp_path / "fragments.tsv.gz", table)


WAYS = [("fragments", "midpoint"), ("fragments", "overlap"), ("cut_sites", "midpoint")]


@pytest.mark.parametrize(("count", "assign"), WAYS)
@pytest.mark.parametrize("size", [50, 777, 5000, 100_000])
def test_counts_are_those_of_a_loop(table, path, count, assign, size):
    kept = table[table["barcode"] != "other"]
    expected = slow_counts(kept.itertuples(index=False), SIZES, size, count, assign)
    options = {"size": size, "chrom_sizes": SIZES, "count": count, "assign": assign}
    with pytest.warns(ChromatellWarning, match="1 of 4 cells have no fragment"):
        found = ctl.pp.bin_genome(path, barcodes=CELLS, **options)
    assert as_counter(found) == expected
    assert list(found.obs_names) == CELLS
    inside = kept[kept["chrom"].isin(list(SIZES))]["barcode"].value_counts()
    assert found.obs["n_fragments"].to_dict() == {c: int(inside.get(c, 0)) for c in CELLS}
    assert set(found.var_names) == {name for _, name in expected}
    assert [f"{c}:{s}-{e}" for c, s, e in found.var.to_numpy()] == list(found.var_names)
    assert found.var["start"].dtype == found.var["end"].dtype == np.int64
    how = found.uns["ctl"]["bin_genome"]
    assert (how["n_read"], how["n_used"], how["size"]) == (len(table), int(inside.sum()), size)


@pytest.mark.parametrize("order", ["position", "barcode", "random"])
def test_the_order_of_the_lines_and_of_the_blocks_changes_nothing(tmp_path, table, order, rng, monkeypatch):
    whole = ctl.pp.bin_genome(write(tmp_path / "a.tsv", table), size=500, chrom_sizes=SIZES, min_fragments=10)
    by = {"position": ["chrom", "start"], "barcode": ["barcode"]}
    mixed = table.sort_values(by[order]) if order in by else table.sample(frac=1, random_state=1)
    monkeypatch.setattr(_bin_fragments, "_PENDING", 100)
    blocks = _bin_fragments.fragment_blocks
    monkeypatch.setattr(_bin_fragments, "fragment_blocks", lambda path: blocks(path, block_bytes=2000))
    parts = ctl.pp.bin_genome(write(tmp_path / "b.tsv", mixed), size=500, chrom_sizes=SIZES, min_fragments=10)
    assert (whole.X != parts.X).nnz == 0
    pd.testing.assert_frame_equal(whole.obs, parts.obs)
    pd.testing.assert_frame_equal(whole.var, parts.var)
    assert as_counter(parts) == slow_counts(table.itertuples(index=False), SIZES, 500)


def test_all_barcodes_with_enough_fragments(table, path):
    n = table[table["chrom"].isin(list(SIZES))]["barcode"].value_counts()
    middle = int(n.sort_values().iloc[1])
    found = ctl.pp.bin_genome(path, chrom_sizes=SIZES, min_fragments=middle)
    assert list(found.obs_names) == sorted(n.index[n >= middle])
    assert len(found.obs_names) == 3
    with pytest.raises(ChromatellError, match=r"None of 4 barcodes has 1,000 fragments; the most is \d+"):
        ctl.pp.bin_genome(path, chrom_sizes=SIZES)


def test_names_of_chromosomes_are_those_asked_for(tmp_path, table):
    bare = table.assign(chrom=table["chrom"].str.removeprefix("chr"))
    path = write(tmp_path / "bare.tsv", bare)
    found = ctl.pp.bin_genome(path, size=500, chrom_sizes=SIZES, min_fragments=1)
    assert as_counter(found) == slow_counts(table.itertuples(index=False), SIZES, 500)
    bare_sizes = {c.removeprefix("chr"): n for c, n in SIZES.items()}
    found = ctl.pp.bin_genome(write(tmp_path / "f.tsv", table), size=500, chrom_sizes=bare_sizes, min_fragments=1)
    assert as_counter(found) == slow_counts(bare.itertuples(index=False), bare_sizes, 500)


def test_all_bins_can_be_kept(path):
    found = ctl.pp.bin_genome(path, size=400, chrom_sizes=SIZES, min_fragments=1, drop_empty=False)
    names = [f"{c}:{s}-{min(s + 400, n)}" for c, n in SIZES.items() for s in range(0, n, 400)]
    assert list(found.var_names) == names
    sparse = ctl.pp.bin_genome(path, size=400, chrom_sizes=SIZES, barcodes=["C1"])
    assert 0 < sparse.n_vars < len(names)
    assert (sparse.X.sum(axis=0) > 0).all()


def test_real_fragments_as_pandas_and_a_loop_count_them(data_dir, tmp_path):
    source = data_dir / "multiome" / "pbmc10k_fragments.tsv.gz"
    cells = anndata.io.read_elem(__import__("h5py").File(data_dir / "multiome" / "pbmc10k_51genes.h5mu")["obs"]).index
    found = ctl.pp.bin_genome(source, chrom_sizes="hg38", barcodes=cells)
    assert found.n_obs == 8748
    table = pd.read_csv(source, sep="\t", header=None, names=["c", "s", "e", "b", "n"])
    table = table[table["b"].isin(cells)]
    first = (table["s"] + table["e"]) // 2 // 5000 * 5000
    name = table["c"] + ":" + first.astype(str)
    expected = table.groupby([table["b"], name]).size()
    x = sp.coo_matrix(found.X)
    got = pd.Series(x.data.astype(int), index=pd.MultiIndex.from_arrays([
        found.obs_names[x.row], found.var_names.str.replace(r"-\d+$", "", regex=True)[x.col]
    ]))  # fmt: skip
    assert got.sort_index().to_numpy().tolist() == expected.sort_index().to_numpy().tolist()
    assert got.sort_index().index.tolist() == expected.sort_index().index.tolist()
    assert found.obs["n_fragments"].sum() == len(table) == found.X.sum()

    with gzip.open(source, "rt") as f:
        lines = list(itertools.islice(f, 20_000))
    few = tmp_path / "few.tsv"
    few.write_text("".join(lines))
    rows = [(c, int(s), int(e), b) for c, s, e, b, _ in (line.split("\t") for line in lines)]
    all_cells = ctl.pp.bin_genome(few, chrom_sizes="hg38", min_fragments=1, count="cut_sites")
    assert as_counter(all_cells) == slow_counts(rows, BUILDS["hg38"], 5000, "cut_sites")


@pytest.mark.parametrize("shuffled", [False, True])
def test_the_bins_of_another_data_set(tmp_path, table, path, rng, shuffled):
    first = ctl.pp.bin_genome(path, size=500, chrom_sizes=SIZES, barcodes=["C1"])
    if shuffled:
        first = first[:, rng.permutation(first.n_vars)].copy()
    new = write(tmp_path / "new.tsv", random_fragments(rng))
    for bins in (first, first.var):
        second = ctl.pp.bin_genome(new, bins=bins, barcodes=["C2", "C3"])
        assert list(second.var_names) == list(first.var_names)
        pd.testing.assert_frame_equal(second.var, first.var)
        plain = ctl.pp.bin_genome(new, size=500, chrom_sizes=SIZES, barcodes=["C2", "C3"], drop_empty=False)
        np.testing.assert_array_equal(second.X.toarray(), plain[:, first.var_names].X.toarray())
        pd.testing.assert_frame_equal(second.obs, plain.obs)
    assert second.uns["ctl"]["bin_genome"]["size"] == 0
    long = write(tmp_path / "long.tsv", pd.DataFrame([["chr2", 9400, 9600, "C2", 1]]))
    with pytest.raises(ChromatellError, match="off the end"):  # the sizes come with the AnnData
        ctl.pp.bin_genome(long, bins=first, barcodes=["C2"])
    assert ctl.pp.bin_genome(long, bins=first.var, barcodes=["C2"]).X.sum() == int("chr2:9500-9500" in first.var_names)


@pytest.mark.parametrize(("count", "assign"), WAYS)
def test_bins_of_any_size_with_gaps(tmp_path, table, path, count, assign):
    bins = pd.DataFrame(
        {"chrom": ["chr2", "1", "chr1", "chrX"], "start": [100, 700, 0, 3990], "end": [4000, 702, 650, 4000]},
        index=["d", "a", "b", "c"],
    )
    found = ctl.pp.bin_genome(path, bins=bins, barcodes=["C1"], count=count, assign=assign)
    rows = table[table["barcode"] == "C1"]
    expected = []
    for chrom, start, end in zip(["chr2", "chr1", "chr1", "chrX"], bins["start"], bins["end"], strict=True):
        f = rows[rows["chrom"] == chrom]
        if count == "cut_sites":
            n = f["start"].between(start, end - 1).sum() + (f["end"] - 1).between(start, end - 1).sum()
        elif assign == "midpoint":
            n = ((f["start"] + f["end"]) // 2).between(start, end - 1).sum()
        else:
            n = ((f["start"] < end) & (f["end"] > start)).sum()
        expected.append(n)
    assert found.X.toarray()[0].tolist() == expected
    assert list(found.var_names) == ["d", "a", "b", "c"]


def test_bins_on_a_blacklist_are_dropped(tmp_path, path):
    bed = tmp_path / "b.bed"
    bed.write_text("chr1\t999\t1001\tx\n2\t4000\t4001\nchrM\t0\t100\n")
    options = {"size": 500, "chrom_sizes": SIZES, "min_fragments": 1}
    whole = ctl.pp.bin_genome(path, **options)
    fewer = ctl.pp.bin_genome(path, blacklist=bed, **options)
    assert [n for n in whole.var_names if n not in fewer.var_names] == [
        "chr1:500-1000",
        "chr1:1000-1500",
        "chr2:4000-4500",
    ]
    np.testing.assert_array_equal(whole[:, fewer.var_names].X.toarray(), fewer.X.toarray())
    pd.testing.assert_frame_equal(whole.obs, fewer.obs)  # the depth is what was sequenced
    named = ctl.pp.bin_genome(path, blacklist=["chr1:999-1001", "chr2:4000-4001"], **options)
    assert list(named.var_names) == list(fewer.var_names)
    with pytest.raises(ChromatellError, match="regions of blacklist lie off the end"):
        ctl.pp.bin_genome(path, blacklist=["chr1:0-50000"], **options)
    with pytest.raises(ChromatellError, match="No bin is left"):
        ctl.pp.bin_genome(path, blacklist=[f"{c}:0-{n}" for c, n in SIZES.items()], **options)
    with pytest.raises(ChromatellError, match="none of its regions.*leave blacklist= out"):
        ctl.pp.bin_genome(path, blacklist=["chr9:0-500"], **options)


@pytest.mark.parametrize("assign", ["midpoint", "overlap"])
@pytest.mark.parametrize("dense", [False, True])
def test_peaks_as_a_dense_product_gives_them(rng, fields, assign, dense):
    adata = peaks(rng)
    if dense:
        adata.X = adata.X.toarray()
    before = fields(adata)
    names, link = [], []
    for chrom, length in SIZES.items():
        for start in range(0, length, 700):
            names.append(f"{chrom}:{start}-{min(start + 700, length)}")
            s, e = adata.var["start"], adata.var["end"]
            middle = (s + e) // 2
            hit = (
                (middle >= start) & (middle < start + 700) if assign == "midpoint" else (s < start + 700) & (e > start)
            )
            link.append((hit & (adata.var["chrom"] == chrom)).to_numpy(dtype=float))
    x = adata.X if dense else adata.X.toarray()
    expected = x @ np.array(link).T
    found = ctl.pp.bin_genome(adata, size=700, chrom_sizes=SIZES, assign=assign, drop_empty=False)
    assert list(found.var_names) == names
    np.testing.assert_array_equal(found.X.toarray(), expected)
    assert found.X.dtype == np.float32
    assert fields(adata) == before
    pd.testing.assert_frame_equal(found.obs, adata.obs)
    np.testing.assert_array_equal(found.obsm["X_pca"], adata.obsm["X_pca"])
    on = int((adata.var["chrom"] != "chrM").sum())
    assert (found.uns["ctl"]["bin_genome"]["n_read"], found.uns["ctl"]["bin_genome"]["n_used"]) == (60, on)

    mdata = mudata.MuData({"atac": adata})
    few = ctl.pp.bin_genome(mdata, size=700, chrom_sizes=SIZES, assign=assign, barcodes=["C7", "C3"])
    assert list(few.obs_names) == ["C7", "C3"]
    np.testing.assert_array_equal(few.obsm["X_pca"], adata.obsm["X_pca"][[7, 3]])
    np.testing.assert_array_equal(few.X.toarray(), expected[[7, 3]][:, expected[[7, 3]].any(axis=0)])
    again = ctl.pp.bin_genome(adata, bins=few, assign=assign)
    np.testing.assert_array_equal(again.X.toarray(), expected[:, [names.index(n) for n in few.var_names]])


def test_a_middle_on_an_edge_goes_to_the_right(tmp_path):
    path = write(tmp_path / "f.tsv", pd.DataFrame([["chr1", 90, 110, "C", 1], ["chr1", 99, 100, "C", 1]]))
    found = ctl.pp.bin_genome(path, size=100, chrom_sizes={"chr1": 300}, min_fragments=1)
    assert as_counter(found) == {("C", "chr1:0-100"): 1, ("C", "chr1:100-200"): 1}
    over = ctl.pp.bin_genome(path, size=100, chrom_sizes={"chr1": 300}, min_fragments=1, assign="overlap")
    assert as_counter(over) == {("C", "chr1:0-100"): 2, ("C", "chr1:100-200"): 1}


def test_another_build_is_noticed(tmp_path, path):
    late = write(tmp_path / "late.tsv", pd.DataFrame([["chr1", 249_000_000, 249_000_100, "C", 1]]))
    with pytest.raises(
        ChromatellError, match=r"ends at 249,000,100 of chr1, which has 248,956,422 .*hg19 holds them all"
    ):
        ctl.pp.bin_genome(late, chrom_sizes="hg38", min_fragments=1)
    assert ctl.pp.bin_genome(late, chrom_sizes="hg19", min_fragments=1).n_vars == 1
    said = write(
        tmp_path / "said.tsv.gz",
        pd.DataFrame([["chr1", 1, 100, "C", 1]]),
        ["id=x", "reference_path=/opt/refdata-cellranger-arc-GRCh38-2020-A-2.0.0"],
    )
    with pytest.raises(ChromatellError, match="says that it is of hg38; chrom_sizes is that of mm10"):
        ctl.pp.bin_genome(said, chrom_sizes="mm10", min_fragments=1)
    assert ctl.pp.bin_genome(said, chrom_sizes="hg38", min_fragments=1).n_vars == 1
    with pytest.raises(ChromatellError, match="none of its chromosomes .*'chr1'.* is among those to bin .'chr9'"):
        ctl.pp.bin_genome(late, chrom_sizes={"chr9": 10_000}, min_fragments=1)
    adata = AnnData(np.ones((2, 1), "float32"), var=pd.DataFrame(index=["chr1:248999000-248999500"]))
    with pytest.raises(ChromatellError, match="1 of 1 peaks lie off the end"):
        ctl.pp.bin_genome(adata, chrom_sizes="hg38")
    with pytest.raises(ChromatellError, match="None of the 1 peaks"):
        ctl.pp.bin_genome(adata, chrom_sizes={"chr7": 1000})


def test_barcodes_that_are_not_there(path):
    def refused(match, barcodes, **options):
        with pytest.raises(ChromatellError, match=match):
            ctl.pp.bin_genome(path, chrom_sizes=SIZES, barcodes=barcodes, **options)

    refused(
        "no fragment of the 2 cells: they look like 'AA', 'AC', its barcodes like .*'other'.* same sample", ["AA", "AC"]
    )
    refused(r"differ in what stands before or after the barcode alone .*barcodes=\[\.\.\.\]", ["C1-1", "C2-1"])
    refused("differ in what stands before or after", ["donor#C1"])
    refused("names 1 cells more than once .such as 'C1'", ["C1", "C2", "C1"])
    refused("must be a list of one or more names", "C1")
    refused("must be a list of one or more names", [])
    refused("must be a list of one or more names", [1, 2])
    refused("min_fragments=5 is for a fragments file without barcodes", ["C1"], min_fragments=5)
    with pytest.raises(
        ChromatellError, match="1 of 2 barcodes are not among the cells .such as 'zz'; cells look like 'C0'"
    ):
        ctl.pp.bin_genome(peaks(np.random.default_rng(0)), chrom_sizes=SIZES, barcodes=["C1", "zz"])


def test_arguments_that_do_not_fit(path, rng):
    def refused(match, source=path, **options):
        options = {"chrom_sizes": SIZES} | options
        with pytest.raises(ChromatellError, match=match):
            ctl.pp.bin_genome(source, **options)

    for size in (0, -5, 2.5):
        refused("size=.* is out of range", size=size)
    refused("size=1 makes .* bins", size=1, chrom_sizes="hg38")
    refused("count='reads' is not known", count="reads")
    refused("assign='left' is not known", assign="left")
    refused("count='cut_sites' is for a fragments file, without", count="cut_sites", assign="overlap")
    refused("count='cut_sites' is for a fragments file", source=peaks(rng), count="cut_sites")
    refused("min_fragments=9 is for a fragments file", source=peaks(rng), min_fragments=9)
    refused("min_fragments=0 is out of range", min_fragments=0)
    refused("source is a int", source=3)
    refused("chrom_sizes= is needed", chrom_sizes=None)
    refused("neither a file nor one of the builds", chrom_sizes="hg99")
    refused("must name chromosomes, each once", chrom_sizes={"1": 500, "chr1": 500})
    refused("0 is not the length of 'chr1'", chrom_sizes={"chr1": 0})
    refused("no modality 'atac'", source=mudata.MuData({"rna": peaks(rng)}))
    negative = peaks(rng)
    negative.X.data[0] = -1
    refused("1 negative values", source=negative)


def test_bins_that_do_not_fit(path):
    good = pd.DataFrame({"chrom": ["chr1", "chr1"], "start": [0, 500], "end": [500, 900]}, index=["a", "b"])

    def refused(match, bins, **options):
        with pytest.raises(ChromatellError, match=match):
            ctl.pp.bin_genome(path, bins=bins, barcodes=["C1"], **options)

    refused("1 of the 2 overlap the one before .such as 'a', 'b'", good.assign(start=[0, 499]))
    refused("lacks the columns 'end'", good.drop(columns="end"))
    refused("regions have no coordinates .such as 'gene1'", ["chr1:0-500", "gene1"])
    refused("blacklist does not go with bins", good, blacklist=["chr1:0-5"])
    refused(
        "1 of the 2 bins lie on chromosomes that chrom_sizes lacks",
        good.assign(chrom=["chr1", "chr7"]),
        chrom_sizes=SIZES,
    )
    refused("bins lie off the end", good.assign(end=[500, 50_000]), chrom_sizes=SIZES)
    refused("1 of 2 regions end where they start, or before it .such as .b.", good.assign(start=[0, 900]))
    refused("none of its chromosomes", good.assign(chrom="chr19"))
    refused("'a' more than once", AnnData(np.ones((1, 2), "float32"), var=good.set_axis(["a", "a"])))


def test_it_survives_a_file_and_gives_the_depth(tmp_path, path):
    found = ctl.pp.bin_genome(path, size=500, chrom_sizes=SIZES, min_fragments=1, blacklist=["chr1:0-9000"])
    found.write_h5ad(tmp_path / "a.h5ad")
    back = anndata.read_h5ad(tmp_path / "a.h5ad")
    assert (back.X != found.X).nnz == 0
    assert back.uns["ctl"]["bin_genome"] == found.uns["ctl"]["bin_genome"]
    assert list(back.var["chrom"].astype(str)) == list(found.var["chrom"])
    np.testing.assert_array_equal(true_depth(found), found.obs["n_fragments"])
    assert (found.X.sum() < found.obs["n_fragments"].sum()).all()
    again = ctl.pp.bin_genome(path, bins=back, min_fragments=1)
    assert (again.X != found.X).nnz == 0


def test_bins_beside_expression_go_through_the_pipeline(data_dir):
    source = data_dir / "multiome"
    rna = mudata.read_h5mu(source / "pbmc10k_51genes.h5mu").mod["rna"][:600].copy()
    atac = ctl.pp.bin_genome(source / "pbmc10k_fragments.tsv.gz", chrom_sizes="hg38", barcodes=rna.obs_names)
    mdata = mudata.MuData({"rna": rna, "atac": atac})
    ctl.pp.split_cells(mdata, seed=0)
    ctl.pp.select_features(mdata, n_regions=100)
    ctl.tl.dense(mdata, train_kwargs={"max_epochs": 2}, seed=0)
    predicted = mdata.mod["atac_pred"]
    chosen = atac.var_names[mdata.mod["atac"].var["ctl_selected"]]
    assert list(predicted.var["region"]) == list(chosen)
    assert predicted.shape == (600, 100)
    train = (mdata.obs["ctl_split"] == "train").to_numpy()
    often = np.asarray((atac[train, chosen].X > 0).mean(axis=0)).ravel()
    assert np.corrcoef(often, np.asarray(predicted.X).mean(axis=0))[0, 1] > 0.8
    ctl.tl.evaluate(mdata, baselines=None, views=["overall"], labels=None, n_bootstrap=5, seed=0)
    table = mdata.uns["ctl"]["evaluation"].set_index("metric")["value"]
    assert table["auroc"] > 0.7


def test_bins_by_the_names_that_a_model_knows():
    data = AnnData(
        sp.csr_matrix(np.array([[1, 0, 2], [0, 3, 0]], dtype=np.float32)),
        var=pd.DataFrame(index=["chr1:100-200", "chr1:450-550", "chr2:0-80"]),
    )
    for names in (["chr1:400-600", "chr2:0-100", "chr1:0-400"], pd.Index(["chr1:400-600", "chr2:0-100", "chr1:0-400"])):
        binned = ctl.pp.bin_genome(data, bins=names)
        assert binned.var_names.tolist() == list(names)
        np.testing.assert_array_equal(binned.X.toarray(), [[0, 2, 1], [3, 0, 0]])
    with pytest.raises(ChromatellError, match="bins is a int; .*bins=model.regions"):
        ctl.pp.bin_genome(data, bins=3)


def test_bins_of_a_table_without_names_are_named_by_their_places():
    data = AnnData(sp.csr_matrix(np.float32([[1, 2]])), var=pd.DataFrame(index=["chr1:100-200", "chr1:450-550"]))
    table = pd.DataFrame({"chrom": ["chr1", "chr1"], "start": [400, 0], "end": [600, 400]})
    binned = ctl.pp.bin_genome(data, bins=table)
    assert binned.var_names.tolist() == ["chr1:400-600", "chr1:0-400"]
    assert binned.X.toarray().tolist() == [[2, 1]]
    with pytest.raises(ChromatellError, match="bins is empty; at least one bin is needed"):
        ctl.pp.bin_genome(data, bins=table.iloc[:0])
    with pytest.raises(ChromatellError, match="^size=1000 would be read by nothing: it is for bins that are made here"):
        ctl.pp.bin_genome(data, bins=table, size=1000)
