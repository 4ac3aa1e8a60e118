import anndata
import mudata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

import chromatell as ctl
from chromatell import ChromatellError
from chromatell.genome.kmers import kmer_shares

LENGTH = 60_000


@pytest.fixture(scope="module")
def fasta(tmp_path_factory):
    """Thirds of 30, 50 and 70% GC, and a gap."""
    draw = np.random.default_rng(0)
    parts = [
        "".join(draw.choice(list("ACGT"), 20_000, p=[(1 - g) / 2, g / 2, g / 2, (1 - g) / 2])) for g in (0.3, 0.5, 0.7)
    ]
    text = "".join(parts)
    path = tmp_path_factory.mktemp("fasta") / "toy.fa"
    path.write_text(f">chr1\n{text[:30_000]}{'N' * 1000}{text[31_000:]}\n")
    return path


@pytest.fixture
def bins():
    start = np.arange(0, LENGTH, 500)
    var = pd.DataFrame({"chrom": "chr1", "start": start, "end": start + 500})
    var.index = [f"chr1:{s}-{s + 500}" for s in start]
    return AnnData(sp.csr_matrix((3, len(var)), dtype=np.float32), var=var)


def test_kmers_of_each_bin(bins, fasta, log):
    before = bins.var.copy()
    assert ctl.pp.embed_sequence(bins, fasta, n_components=4, k=3) is None
    table = bins.varm["X_dna"]
    assert (table.shape, table.dtype) == ((120, 4), np.float32)
    genome = ctl.genome.Genome(fasta)
    tokens = np.stack([genome.fetch("chr1", s, s + 500) for s in range(0, LENGTH, 500)])
    has = (tokens < 4).all(axis=1)
    assert np.flatnonzero(~has).tolist() == [60, 61]
    assert (table[~has] == 0).all()
    gc = np.isin(tokens, (1, 2)).mean(axis=1)
    assert abs(np.corrcoef(table[has, 0], gc[has])[0, 1]) > 0.99  # most of what differs
    shares = kmer_shares(tokens[has], 3)
    x = (shares - shares.mean(axis=0)) / shares.std(axis=0)
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    np.testing.assert_allclose(
        np.abs(table[has]), np.abs(u * s)[:, :4] * np.sqrt(has.sum() * 4 / (s[:4] ** 2).sum()), atol=1e-3
    )
    how = bins.uns["ctl"]["X_dna"]
    assert how == {
        "method": "kmer", "embedder": "3-mers", "fasta": "toy.fa", "build": "", "n_regions": 118,
        "explained": pytest.approx((s[:4] ** 2).sum() / (s**2).sum(), rel=1e-4),
    }  # fmt: skip
    assert any(line.startswith("2 of 120 regions (such as 'chr1:30000-30500'") for line in log)
    pd.testing.assert_frame_equal(bins.var, before)


def test_tokens_that_are_there_and_training_regions(bins, fasta):
    ctl.pp.embed_sequence(bins, fasta, n_components=3, k=2)
    ctl.pp.add_sequence(bins, fasta, width=500)
    there = ctl.pp.embed_sequence(bins, n_components=3, k=2, copy=True)
    np.testing.assert_array_equal(there.varm["X_dna"], bins.varm["X_dna"])
    assert there.uns["ctl"]["X_dna"]["fasta"] == ""
    bins.var["ctl_split"] = np.where(np.arange(120) < 40, "train", "test")
    ctl.pp.embed_sequence(bins, fasta, n_components=3, k=2, key_added="X_train")
    train = bins.varm["X_train"][:40]
    assert np.abs(train.mean(axis=0)).max() < 1e-5
    assert (train**2).mean() == pytest.approx(1, rel=1e-4)
    assert np.abs(bins.varm["X_train"][80:].mean(axis=0)).max() > 1  # GC is another there
    assert list(bins.varm) == ["X_dna", "dna_code", "X_train"]


def test_mudata_and_round_trip(mdata, bins, fasta, fields, tmp_path):
    atac = mdata.mod["atac"]
    atac.var = bins.var.iloc[:80]
    del mdata.var["flag"]  # mudata 0.3.3 cannot write what is True or missing
    mdata.update()
    before = fields(mdata)
    new = ctl.pp.embed_sequence(mdata, fasta, n_components=4, copy=True)
    assert fields(mdata) == before
    added = set(fields(new)) - set(before)
    assert {f for f in added if not f.startswith("uns/")} == {"atac:varm/X_dna"}
    assert {f.rsplit("/", 1)[0] for f in added if f.startswith("uns/")} == {"uns/ctl/X_dna"}
    new.write(tmp_path / "x.h5mu")
    back = mudata.read_h5mu(tmp_path / "x.h5mu")
    np.testing.assert_array_equal(back.mod["atac"].varm["X_dna"], new.mod["atac"].varm["X_dna"])
    assert back.uns["ctl"]["X_dna"]["embedder"] == "5-mers"


def test_an_xchrom_of_a_file(bins, fasta, tmp_path):
    """Standardised, what its own region_vectors say: tower, covariates of the sequence, distance to a start site."""
    mdata = ctl.datasets.simulate_sequence_multiome(n_cells=50, n_regions=30, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    genes = mdata["atac"].var.iloc[::3][["chrom", "start"]].rename(columns={"start": "tss"}).assign(strand="+")
    genes = genes.assign(name=[f"g{i}" for i in range(len(genes))])
    size = {"stem_filters": 4, "n_embed": 6, "sequence_length": 160, "covariate_length": 200, "n_pcs": 3}
    ctl.tl.xchrom(mdata, embedding=None, annotation=genes, train_kwargs={"max_epochs": 1}, **size)
    mdata.write(tmp_path / "shared.h5mu")
    ctl.pp.embed_sequence(bins, fasta, method="xchrom", model=tmp_path / "shared.h5mu", device="cpu")
    table = bins.varm["X_dna"]
    assert (table.shape, table.dtype) == ((120, 6), np.float32)
    model = ctl.models.load(tmp_path / "shared.h5mu")
    tokens = ctl.genome.Genome(fasta).windows(bins.var, 500)[0]
    has = (tokens < 4).all(axis=1)
    each = [model.region_vectors(tokens[has][:, s : s + 200], bins.var[has])[:, :6] for s in (0, 150, 300)]
    mean = np.mean(each, axis=0)
    np.testing.assert_allclose(table[has], (mean - mean.mean(axis=0)) / mean.std(axis=0), atol=2e-3)
    assert (table[~has] == 0).all()
    assert bins.uns["ctl"]["X_dna"]["embedder"] == "XChrom"


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"method": "bert"}, "method='bert' is not known; choose one of"),
        ({"method": "xchrom"}, "method='xchrom' needs model="),
        ({"method": "nucleotide_transformer", "model": "/nowhere/model"}, "'/nowhere/model' cannot be loaded"),
        ({"n_components": 0}, "n_components=0 is out of range"),
        ({"k": 9}, "k=9 is out of range"),
        ({"max_unknown": 2}, "max_unknown=2 is out of range"),
        ({"key_added": "a/b"}, "cannot be stored"),
    ],
)
def test_arguments_that_cannot_be_used(bins, fasta, fields, options, match, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    before = fields(bins)
    with pytest.raises(ChromatellError, match=match):
        ctl.pp.embed_sequence(bins, fasta, **options)
    assert fields(bins) == before


def test_regions_and_genomes_that_do_not_fit(bins, fasta, tmp_path):
    with pytest.raises(ChromatellError, match=r"Did not find varm\['dna_code'\].*embed_sequence\(data, 'genome.fa'\)"):
        ctl.pp.embed_sequence(bins)
    bins.varm["dna_code"] = np.zeros((120, 5))
    with pytest.raises(ChromatellError, match=r"varm\['dna_code'\] is float64"):
        ctl.pp.embed_sequence(bins)
    bins.var["chrom"] = "chr7"
    with pytest.raises(
        ChromatellError, match="toy.fa has none of the regions' chromosomes \\('chr7'\\); it has 'chr1'"
    ):
        ctl.pp.embed_sequence(bins, fasta)
    bins.var["chrom"] = "1"
    bins.var.loc[bins.var_names[-1], "end"] = LENGTH + 1
    bins.var.loc[bins.var_names[-4:], "end"] = LENGTH + 1
    with pytest.raises(
        ChromatellError, match="4 of 120 regions lie off the end.*toy.fa is of another build: give the FASTA"
    ):
        ctl.pp.embed_sequence(bins, fasta)
    bins.var["end"] = bins.var["start"] + 2_000_000
    with pytest.raises(ChromatellError, match="'chr1:0-500' has 2000000 bp; up to 1000000"):
        ctl.pp.embed_sequence(bins, fasta)


def test_cpg_rich_promoters_of_hg19(data_dir, tmp_path):
    atac = anndata.read_h5ad(data_dir / "scatac" / "hemato_scatac.h5ad")
    atac = atac[:, atac.var["chrom"] == "chr22"].copy()
    genome = ctl.genome.Genome(data_dir / "genome" / "hg19_chr20_chr22.fa.gz", cache_dir=tmp_path)
    ctl.pp.embed_sequence(atac, genome, n_components=16)
    ctl.pp.annotate_regions(atac, data_dir / "annotation" / "hg19_gencode_chr22.gtf.gz")
    has = np.abs(atac.varm["X_dna"]).sum(axis=1) > 0
    promoter = (atac.var["region_class"] == "promoter").to_numpy()[has]
    x = atac.varm["X_dna"][has]
    away = np.abs(x[promoter].mean(axis=0) - x[~promoter].mean(axis=0)) / x.std(axis=0)
    assert 50 < has.sum() < atac.n_vars
    assert away.max() > 0.4  # sd: composition tells promoters
    assert atac.uns["ctl"]["X_dna"]["n_regions"] == has.sum()


def test_chromosomes_may_be_spelled_either_way_in_all_that_read_sequence(bins, fasta, log):
    """`1` and `chr1` are the same, as in `pp.annotate_regions`; it is logged, and the result is the same."""
    plain = bins.copy()
    plain.var["chrom"] = "1"
    for data in (bins, plain):
        log.clear()
        ctl.pp.embed_sequence(data, fasta, n_components=4, seed=0)
        ctl.pp.add_sequence(data, fasta, width=100)
        said = [m for m in log if "1 chromosomes have another name in toy.fa than in the regions (chr1, 1)" in m]
        assert len(said) == (2 if data is plain else 0)
    np.testing.assert_array_equal(plain.varm["X_dna"], bins.varm["X_dna"])
    np.testing.assert_array_equal(plain.varm["dna_code"], bins.varm["dna_code"])
