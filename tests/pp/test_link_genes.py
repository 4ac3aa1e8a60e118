import gzip
import logging

import mudata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

import chromatell as ctl
from chromatell import ChromatellError
from chromatell.genome.annotation import read_genes, strip_version
from chromatell.genome.regions import normalise_chrom, region_table


def make(genes, regions, **gene_var):
    rna = AnnData(np.ones((2, len(genes)), np.float32), var=pd.DataFrame(gene_var, index=genes))
    atac = AnnData(np.ones((2, len(regions)), np.float32), var=pd.DataFrame(index=regions))
    return MuData({"rna": rna, "atac": atac})


def table(rows):
    return pd.DataFrame(rows, columns=["name", "gene_id", "chrom", "tss", "strand"])


def brute_force(mdata, annotated, max_distance):
    """One pair at a time, from the definition."""
    rna, regions = mdata.mod["rna"], region_table(mdata.mod["atac"])
    ids = next((rna.var[c] for c in ("gene_ids", "gene_id") if c in rna.var), pd.Series(rna.var_names))
    ids = strip_version(ids).tolist()
    known = set(strip_version(annotated["gene_id"])) - {""}
    region_chrom = normalise_chrom(regions["chrom"]).to_numpy()
    by_id = annotated.groupby(strip_version(annotated["gene_id"]))
    by_name = annotated.groupby("gene")
    out = np.zeros((rna.n_vars, len(regions)), np.float32)
    for g, name in enumerate(rna.var_names):
        if ids[g] in known:
            sites = by_id.get_group(ids[g])
        elif name in by_name.groups:
            sites = by_name.get_group(name)
        else:
            continue
        for chrom, tss in zip(normalise_chrom(sites["chrom"]), sites["tss"], strict=True):
            for r in np.flatnonzero(region_chrom == chrom):
                start, end = regions["start"].iloc[r], regions["end"].iloc[r]
                distance = 0 if start <= tss < end else min(abs(tss - start), abs(tss - (end - 1)))
                if distance <= max_distance and (out[g, r] == 0 or distance + 1 < out[g, r]):
                    out[g, r] = distance + 1
    return out


def test_hand_worked(fields):
    mdata = make(["A", "B", "C"], ["chr1:1000-1500", "1:5000-5001", "chr2:1000-1500", "KI1.1:5-9"])
    annotation = table(
        [
            ("A", "", "1", 1000, "+"),  # inside the first, 4,000 from the second
            ("A", "", "1", 5003, "+"),  # a second start site, 3 from the second
            ("B", "", "chr2", 1500, "-"),  # one past the end: 1 from the last base
            ("C", "", "chr3", 1000, "+"),
        ]
    )
    before = fields(mdata)
    assert ctl.pp.link_genes(mdata, annotation, max_distance=4000) is None
    links = mdata.uns["ctl"]["links"]
    want = np.array([[1, 4, 0, 0], [0, 0, 2, 0], [0, 0, 0, 0]], np.float32)
    np.testing.assert_array_equal(links["distance"].toarray(), want)
    assert links["distance"].dtype == np.float32
    assert links["distance"].format == "csr"
    assert links["gene"].tolist() == ["A", "B", "C"]
    assert links["region"].tolist() == mdata.mod["atac"].var_names.tolist()
    assert links["max_distance"] == 4000
    after = fields(mdata)
    assert {k for k in after if k not in before} == {
        f"uns/ctl/links/{k}" for k in ("distance", "gene", "region", "max_distance")
    }
    assert {k: after[k] for k in before} == before


@pytest.mark.parametrize(("limit", "n"), [(0, 1), (498, 1), (499, 2), (500, 3)])
def test_the_limit_is_inclusive(limit, n):
    mdata = make(["A"], ["chr1:1000-1001", "chr1:1499-1600", "chr1:500-501"])
    ctl.pp.link_genes(mdata, table([("A", "", "chr1", 1000, "+")]), max_distance=limit)
    assert mdata.uns["ctl"]["links"]["distance"].nnz == n


def test_ids_before_names_and_versions_aside():
    annotation = table(
        [("A", "ENSG01.7", "chr1", 100, "+"), ("B", "ENSG02", "chr1", 5100, "+"), ("A", "ENSG03", "chr1", 9100, "+")]
    )
    regions = ["chr1:100-200", "chr1:5100-5200", "chr1:9100-9200"]

    def linked(mdata):
        ctl.pp.link_genes(mdata, annotation, max_distance=10)
        return [tuple(np.flatnonzero(row)) for row in mdata.uns["ctl"]["links"]["distance"].toarray()]

    assert linked(make(["A", "B"], regions)) == [(0, 2), (1,)]  # by name: both genes called A
    assert linked(make(["A", "B"], regions, gene_ids=["ENSG03", "ENSG99"])) == [(2,), (1,)]
    assert linked(make(["x", "y"], regions, gene_id=["ENSG01.2", "ENSG02"])) == [(0,), (1,)]
    assert linked(make(["ENSG02.1", "A"], regions)) == [(1,), (0, 2)]


def test_simulated_against_brute_force(mdata):
    annotation = mdata.mod["rna"].var
    for limit in (0, 5_000, 500_000):
        ctl.pp.link_genes(mdata, annotation, max_distance=limit)
        got = mdata.uns["ctl"]["links"]["distance"].toarray()
        np.testing.assert_array_equal(got, brute_force(mdata, read_genes(annotation), limit))
    assert mdata.uns["ctl"]["other"] == {"x": 1}  # what stood there stays


def test_overlapping_regions_of_any_width(rng):
    start = rng.integers(0, 100_000, 200)
    end = start + rng.integers(1, 30_000, 200)
    mdata = make([f"g{i}" for i in range(40)], [f"chr1:{s}-{e}" for s, e in zip(start, end, strict=True)])
    annotation = table([(f"g{i}", "", "chr1", t, "+") for i, t in enumerate(rng.integers(0, 130_000, 40))])
    ctl.pp.link_genes(mdata, annotation, max_distance=3000)
    want = brute_force(mdata, read_genes(annotation), 3000)
    np.testing.assert_array_equal(mdata.uns["ctl"]["links"]["distance"].toarray(), want)


def test_copy(mdata, fields):
    before = fields(mdata)
    new = ctl.pp.link_genes(mdata, mdata.mod["rna"].var, copy=True)
    assert fields(mdata) == before
    assert new.uns["ctl"]["links"]["distance"].nnz > 0


def test_round_trip(mdata, tmp_path):
    ctl.pp.link_genes(mdata, mdata.mod["rna"].var)
    links = mdata.uns["ctl"]["links"]
    mdata.write(tmp_path / "x.h5mu")
    mdata.write_zarr(tmp_path / "x.zarr")
    for back in (mudata.read_h5mu(tmp_path / "x.h5mu"), mudata.read_zarr(tmp_path / "x.zarr")):
        got = back.uns["ctl"]["links"]
        assert sp.issparse(got["distance"])
        np.testing.assert_array_equal(got["distance"].toarray(), links["distance"].toarray())
        assert got["distance"].dtype == np.float32
        assert list(got["gene"]) == list(links["gene"])
        assert list(got["region"]) == list(links["region"])
        assert int(got["max_distance"]) == 100_000


def test_bad_input_changes_nothing(mdata, fields):
    before = fields(mdata)
    var = mdata.mod["rna"].var

    def refused(match, annotation=var, **arguments):
        with pytest.raises(ChromatellError, match=match):
            ctl.pp.link_genes(mdata, annotation, **arguments)
        assert fields(mdata) == before

    refused(
        "None of the 30 genes .*look like 'gene_1', .*like 'TP53' and 'ENSG09'",
        table([("TP53", "ENSG09", "chr1", 5, "+")]),
    )
    refused(
        "No region lies within 100000 bp .*'chr1', .*the annotation has 'scaffold_7'",
        table([("gene_1", "", "scaffold_7", 5, "+")]),
    )
    refused("max_distance=-1 must be", max_distance=-1)
    refused("max_distance=100000000 must be", max_distance=100_000_000)
    refused("No annotation file", "absent.gtf")
    mdata.mod["atac"].var_names = [f"peak_{i}" for i in range(80)]
    mdata.mod["atac"].var = mdata.mod["atac"].var.drop(columns=["chrom", "start", "end"])
    before = fields(mdata)
    refused("80 of 80 regions have no coordinates")


def test_gtf_and_bed_say_the_same(data_dir, tmp_path):
    """hg19: the regions are the chr22 cCREs; a BED made of the GTF's genes gives the same links."""
    gtf = data_dir / "annotation" / "hg19_gencode_chr22.gtf.gz"
    ccre = pd.read_csv(data_dir / "annotation" / "hg19_chr22_ccre.bed.gz", sep="\t").iloc[::10]
    genes = read_genes(gtf)
    names = genes["gene"].drop_duplicates().tolist()
    mdata = make(names, [f"{c}:{s}-{e}" for c, s, e in zip(ccre["#chrom"], ccre["start"], ccre["end"], strict=True)])
    with gzip.open(tmp_path / "g.bed.gz", "wt") as f:
        for g in genes.itertuples():
            f.write(f"{g.chrom[3:]}\t{g.tss}\t{g.tss + 1}\t{g.gene}\t0\t{g.strand}\n")
    ctl.pp.link_genes(mdata, gtf)
    first = mdata.uns["ctl"]["links"]["distance"]
    ctl.pp.link_genes(mdata, tmp_path / "g.bed.gz")
    assert first.nnz > 10_000
    assert (first != mdata.uns["ctl"]["links"]["distance"]).nnz == 0


def test_real_marrow(data_dir):
    mdata = mudata.read_h5mu(data_dir / "multiome" / "bmmc_500cells.h5mu")  # one region lies on GL000205.2
    path = data_dir / "annotation" / "hg38_genes.tsv.gz"
    ctl.pp.link_genes(mdata, path)
    got = mdata.uns["ctl"]["links"]["distance"].toarray()
    np.testing.assert_array_equal(got, brute_force(mdata, read_genes(path), 100_000))
    assert (got > 0).sum() > 100


@pytest.mark.parametrize("annotation", ["mm10_genes.tsv.gz", "mm10_transcripts.bed12.gz"])
def test_real_cortex(data_dir, annotation):
    mdata = mudata.read_h5mu(data_dir / "multiome" / "snare_mouse_cortex.h5mu")
    path = data_dir / "annotation" / annotation
    ctl.pp.link_genes(mdata, path)
    links = mdata.uns["ctl"]["links"]["distance"]
    assert ((links > 0).sum(axis=1) > 0).sum() > 1600
    part = mdata.mod["rna"].var_names[::100]
    small = MuData({"rna": mdata.mod["rna"][:, part].copy(), "atac": mdata.mod["atac"]})
    got = links[::100].toarray()
    np.testing.assert_array_equal(got, brute_force(small, read_genes(path), 100_000))
    # the set's own column names the gene whose neighbourhood a region comes from: mostly that is the nearest gene
    nearest = links.copy()
    nearest.data = 1 / nearest.data
    linked = np.flatnonzero(links.getnnz(axis=0))
    name = mdata.mod["rna"].var_names[np.asarray(nearest.tocsc()[:, linked].argmax(axis=0)).ravel()]
    assert (name == mdata.mod["atac"].var["linked_gene"].to_numpy()[linked]).mean() > 0.9


def test_chromosomes_may_be_spelled_either_way(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("chromatell"), "propagate", True)
    annotation = table([("A", "", "1", 1000, "+")])
    links = []
    for regions in (["chr1:1000-1500", "chr1:5000-5001"], ["1:1000-1500", "1:5000-5001"]):
        caplog.clear()
        mdata = make(["A"], regions)
        with caplog.at_level("INFO", logger="chromatell"):
            ctl.pp.link_genes(mdata, annotation)
        links.append(mdata.uns["ctl"]["links"]["distance"].toarray().tolist())
        said = "1 chromosomes have another name in the annotation than in the regions (1, chr1)" in caplog.text
        assert said == regions[0].startswith("chr")
    assert links == [[[1.0, 4001.0]]] * 2
