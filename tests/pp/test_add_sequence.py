import mudata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from tests.helpers import write_fasta

import chromatell as ctl
from chromatell import ChromatellError

TOKEN = {"A": 0, "C": 1, "G": 2, "T": 3}
LENGTH = 5000


@pytest.fixture(scope="module")
def chromosomes():
    draw = np.random.default_rng(0)
    texts = {name: "".join(draw.choice(list("ACGTacgt"), LENGTH)) for name in ("chr1", "2", "chrX")}
    texts["chr1"] = texts["chr1"][:2000] + "N" * 600 + texts["chr1"][2600:]
    return texts


@pytest.fixture(scope="module")
def fasta(chromosomes, tmp_path_factory):
    return write_fasta(tmp_path_factory.mktemp("fasta") / "toy.fa", chromosomes)


def regions(chrom, start, end):
    names = [f"{c}:{s}-{e}" for c, s, e in zip(chrom, start, end, strict=True)]
    var = pd.DataFrame({"chrom": chrom, "start": start, "end": end}, index=names)
    return AnnData(sp.csr_matrix((4, len(names)), dtype=np.float32), var=var)


@pytest.fixture
def toy():
    """Two regions apart, one near each end, one half in N, one in N, one on a scaffold, two more apart."""
    return regions(
        ["chr1", "chr2", "chrX", "X", "chr1", "1", "KI270728.1", "chr2", "chrX"],
        [1000, 700, 10, 4900, 1900, 2200, 50, 3000, 2500],
        [1101, 900, 40, 5000, 2100, 2300, 90, 3100, 2601],
    )


@pytest.fixture(scope="module")
def hg19(data_dir, tmp_path_factory):
    path = data_dir / "genome" / "hg19_chr20_chr22.fa.gz"
    return ctl.genome.Genome(path, cache_dir=tmp_path_factory.mktemp("cache"))


def window(texts, name, start, end, width):
    """The definition: [mid - width // 2, mid + width // 2), base by base."""
    key = {"chr1": "chr1", "1": "chr1", "chr2": "2", "chrX": "chrX", "X": "chrX"}.get(name)
    low = (start + end) // 2 - width // 2
    inside = [key is not None and 0 <= i < LENGTH for i in range(low, low + width)]
    return [
        TOKEN.get(texts[key][i].upper(), 4) if known else 4
        for known, i in zip(inside, range(low, low + width), strict=True)
    ]


@pytest.mark.parametrize("width", [16, 17, 120, 301])
def test_windows_by_the_definition(toy, fasta, chromosomes, width):
    before = toy.var.copy()
    assert ctl.pp.add_sequence(toy, fasta, width=width) is None
    tokens = toy.varm["dna_code"]
    assert (tokens.shape, tokens.dtype) == ((9, width), np.int8)
    for row, (chrom, start, end) in zip(tokens, before.itertuples(index=False), strict=True):
        assert row.tolist() == window(chromosomes, chrom, start, end, width)
    np.testing.assert_allclose(toy.var["ctl_unknown"], (tokens == 4).mean(axis=1), rtol=1e-6)
    assert toy.var["ctl_unknown"].dtype == np.float32
    assert toy.var["ctl_has_sequence"].tolist() == ((tokens == 4).mean(axis=1) <= 0.05).tolist()
    pd.testing.assert_frame_equal(toy.var[["chrom", "start", "end"]], before)


def test_what_is_said_and_kept(toy, fasta, log):
    ctl.pp.add_sequence(toy, fasta, width=200)
    # 1,900 to 2,100 is half N; 2,200 to 2,300 all N; 10 to 40 and 4,900 to 5,000 lie nearer to an end than 100
    assert toy.var["ctl_unknown"].round(3).tolist() == [0, 0, 0.375, 0.25, 0.5, 1, 1, 0, 0]
    assert toy.var["ctl_has_sequence"].tolist() == [True, True, False, False, False, False, False, True, True]
    assert toy.uns["ctl"]["sequence"] == {"fasta": "toy.fa", "build": "", "width": 200, "max_unknown": 0.05}
    text = " ".join(log)
    assert "1 of 9 regions have no sequence: toy.fa lacks their chromosomes ('KI270728.1')" in text
    assert (
        "4 of 9 regions have over 5% N in their window (such as 'chrX:10-40', 'X:4900-5000', 'chr1:1900-2100'" in text
    )


def test_the_share_of_unknown_bases_that_is_let_through(toy, fasta):
    for limit, has in [(0.25, 5), (0.375, 6), (0.5, 7), (1, 7)]:  # without any base it never has sequence
        ctl.pp.add_sequence(toy, fasta, width=200, max_unknown=limit)
        assert toy.var["ctl_has_sequence"].sum() == has


def test_default_width_and_mudata(mdata, fields, chromosomes, tmp_path):
    path = tmp_path / "long.fa"
    atac = mdata.mod["atac"]
    end = int(atac.var["end"].max()) + 10_000
    piece = chromosomes["2"]
    path.write_text("".join(f">{c}\n{(piece * (end // LENGTH + 1))[:end]}\n" for c in atac.var["chrom"].unique()))
    before = fields(mdata)
    new = ctl.pp.add_sequence(mdata, ctl.genome.Genome(path), copy=True)
    assert fields(mdata) == before
    assert new.mod["atac"].varm["dna_code"].shape == (80, 1344)
    assert ctl.pp.add_sequence(mdata, path) is None
    after = fields(mdata)
    added = {"atac:varm/dna_code", "atac:var/ctl_unknown", "atac:var/ctl_has_sequence"}
    added |= {f"uns/ctl/sequence/{key}" for key in ("fasta", "build", "width", "max_unknown")}
    assert set(after) - set(before) == added
    assert {k: after[k] for k in before} == before
    for i in (0, 40, 79):
        low = int(atac.var["start"].iloc[i] + atac.var["end"].iloc[i]) // 2 - 672
        want = [TOKEN[piece[j % LENGTH].upper()] for j in range(low, low + 1344)]
        assert atac.varm["dna_code"][i].tolist() == want


def test_round_trip(toy, fasta, tmp_path):
    data = mudata.MuData({"atac": toy})
    ctl.pp.add_sequence(data, fasta, width=64)
    data.write(tmp_path / "x.h5mu")
    data.write_zarr(tmp_path / "x.zarr")
    for back in (mudata.read_h5mu(tmp_path / "x.h5mu"), mudata.read_zarr(tmp_path / "x.zarr")):
        atac = back.mod["atac"]
        assert atac.varm["dna_code"].dtype == np.int8
        np.testing.assert_array_equal(atac.varm["dna_code"], toy.varm["dna_code"])
        assert atac.var["ctl_has_sequence"].tolist() == toy.var["ctl_has_sequence"].tolist()
        assert back.uns["ctl"]["sequence"]["fasta"] == "toy.fa"
        assert int(back.uns["ctl"]["sequence"]["width"]) == 64
        ctl.pp.add_sequence(back)  # the tokens are there
        assert back.uns["ctl"]["sequence"]["width"] == 64


def test_key_added(toy, fasta):
    ctl.pp.add_sequence(toy, fasta, width=20, key_added="short")
    ctl.pp.add_sequence(toy, fasta, width=40)
    assert (toy.varm["short"].shape[1], toy.varm["dna_code"].shape[1]) == (20, 40)
    np.testing.assert_array_equal(toy.varm["dna_code"][:, 10:30], toy.varm["short"])
    assert (toy.uns["ctl"]["short"]["width"], toy.uns["ctl"]["sequence"]["width"]) == (20, 40)


# tokens that are there


def test_the_mouse_brain_tokens_are_used_as_they_are(data_dir):
    data = mudata.read_h5mu(data_dir / "xchrom" / "mouse_brain_100cells.h5mu")
    before = data.mod["atac"].varm["dna_code"].copy()
    assert ctl.pp.add_sequence(data) is None
    atac = data.mod["atac"]
    np.testing.assert_array_equal(atac.varm["dna_code"], before)
    assert (atac.varm["dna_code"].dtype, before.shape) == (np.int8, (901, 1344))
    assert atac.var["ctl_has_sequence"].all()
    assert (atac.var["ctl_unknown"] == 0).all()
    assert data.uns["ctl"]["sequence"] == {"fasta": "", "build": "", "width": 1344, "max_unknown": 0.05}
    gc = np.isin(before, (1, 2)).mean(axis=1)
    accessible = np.asarray((atac.X > 0).mean(axis=0)).ravel()
    assert pd.Series(gc).corr(pd.Series(accessible), method="spearman") == pytest.approx(0.52, abs=0.02)


def test_tokens_of_another_integer_type_become_int8(toy):
    toy.varm["dna_code"] = np.tile(np.array([0, 1, 2, 3, 4], dtype=np.int64), (9, 8))
    new = ctl.pp.add_sequence(toy, copy=True)
    assert toy.varm["dna_code"].dtype == np.int64
    assert new.varm["dna_code"].dtype == np.int8
    np.testing.assert_array_equal(new.varm["dna_code"], toy.varm["dna_code"])
    np.testing.assert_allclose(new.var["ctl_unknown"], 0.2)
    assert not new.var["ctl_has_sequence"].any()


@pytest.mark.parametrize(
    ("tokens", "width", "match"),
    [
        (None, None, r"no tokens in varm\['dna_code'\].*there: nothing.*add_sequence\(mdata, 'genome.fa'\)"),
        (np.zeros((9, 40)), None, r"varm\['dna_code'\] is float64 of shape"),
        (np.full((9, 40), 5), None, "values from 5 to 5; tokens are 0 to 4"),
        (np.zeros((9, 40), dtype=np.int8), 41, r"shape \(9, 40\); width=41 was wanted. Leave width out"),
        (np.zeros((9, 15), dtype=np.int8), None, "at least 16 bp a region was wanted"),
        (np.zeros((9, 4, 20), dtype=np.int8), None, "argmax over its channels"),
    ],
)
def test_tokens_that_cannot_be_used(toy, fields, tokens, width, match):
    if tokens is not None:
        toy.varm["dna_code"] = tokens
    before = fields(toy)
    with pytest.raises(ChromatellError, match=match):
        ctl.pp.add_sequence(toy, width=width)
    assert fields(toy) == before


# wrong genomes


def test_regions_beyond_the_end_name_the_build(hg19):
    of_hg38 = regions(
        ["chr20", "chr22", "chr1"], [64_000_000, 30_000_000, 248_956_000], [64_000_500, 30_000_500, 248_956_400]
    )
    with pytest.raises(
        ChromatellError,
        match=r"1 of 3 regions lie off the end of their chromosome: one ends at 64,000,500 of chr20, which has "
        r"63,025,520 bp by hg19_chr20_chr22.fa.gz \(hg19\). They are of another build: hg38 holds them all. Give the",
    ):
        ctl.pp.add_sequence(of_hg38, hg19)
    assert "dna_code" not in of_hg38.varm


@pytest.mark.parametrize("where", ["chrom_sizes", "uns", "var", "mdata"])
def test_another_build_by_name(data_dir, hg19, where):
    data = atac = regions(["chr20"], [30_000_000], [30_000_500])
    asked = {}
    if where == "chrom_sizes":
        asked = {"chrom_sizes": data_dir / "genome" / "hg38.chrom.sizes"}
    elif where == "uns":
        atac.uns["genome"] = "GRCh38"
    elif where == "var":
        atac.var["genome"] = "GRCh38"
    else:
        data = mudata.MuData({"atac": atac})
        data.uns["genome"] = "hg38"
    with pytest.raises(
        ChromatellError,
        match=r"\(hg19\) is of another build than the regions \(hg38\): chr20 has 63025520 bp, by .* 64444167. "
        r"Give the FASTA of hg38; if .* chrom_sizes='hg19'",
    ):
        ctl.pp.add_sequence(data, hg19, **asked)
    ctl.pp.add_sequence(data, hg19, chrom_sizes="hg19")  # as the error says
    assert atac.var["ctl_has_sequence"].all()
    assert data.uns["ctl"]["sequence"]["build"] == "hg19"


def test_no_chromosome_in_common(toy, fasta):
    with pytest.raises(
        ChromatellError, match=r"toy.fa has none of the regions' chromosomes \('chr7'\); it has 'chr1', '2'"
    ):
        ctl.pp.add_sequence(regions(["chr7"], [10], [90]), fasta)


def test_mostly_unknown_bases(fasta):
    masked = regions(["chr1"] * 3, [2100, 2200, 1000], [2200, 2300, 1100])
    with pytest.raises(ChromatellError, match=r"2 of 3 windows hold over 5% N .*Is toy.fa hard-masked"):
        ctl.pp.add_sequence(masked, fasta, width=100)
    assert "dna_code" not in masked.varm
    ctl.pp.add_sequence(masked[:, 1:].copy(), fasta, width=100)


def test_bone_marrow_peaks(data_dir, hg19):
    import anndata

    atac = anndata.read_h5ad(data_dir / "scatac" / "hemato_scatac.h5ad")
    ctl.pp.add_sequence(atac, hg19)
    assert atac.var["ctl_has_sequence"].tolist() == atac.var["has_seq"].tolist()
    assert atac.var["ctl_has_sequence"].sum() == 396
    assert (atac.varm["dna_code"][~atac.var["chrom"].isin(["chr20", "chr22"])] == 4).all()
    with_it = atac[:, atac.var["ctl_has_sequence"]]
    gc = np.isin(with_it.varm["dna_code"], (1, 2)).mean(axis=1)
    accessible = np.log(np.asarray((with_it.X > 0).mean(axis=0)).ravel() + 1e-4)
    assert np.corrcoef(gc, accessible)[0, 1] > 0.3


# other wrong input


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"width": 15}, "width=15 must be a whole number of bp, at least 16"),
        ({"width": 100.5}, "width=100.5 must be a whole"),
        ({"width": True}, "width=True is of type bool"),
        ({"max_unknown": 1.5}, "max_unknown=1.5 must be a share"),
        ({"max_unknown": float("nan")}, "max_unknown=nan must be a share"),
        ({"key_added": "a/b"}, "cannot be stored"),
        ({"chrom_sizes": "rn99"}, "neither a file nor one of the builds"),
        ({"chrom_sizes": {"chr1": 4999}}, "chr1 has 5000 bp, by chrom_sizes 4999. Give the FASTA of their build"),
    ],
)
def test_wrong_arguments_change_nothing(toy, fasta, fields, arguments, match):
    before = fields(toy)
    with pytest.raises(ChromatellError, match=match):
        ctl.pp.add_sequence(toy, fasta, **arguments)
    assert fields(toy) == before


def test_wrong_objects(toy, fasta, mdata):
    with pytest.raises(ChromatellError, match="Expected a MuData .* got DataFrame"):
        ctl.pp.add_sequence(toy.var, fasta)
    with pytest.raises(ChromatellError, match="30 of 30 regions have no coordinates"):
        ctl.pp.add_sequence(AnnData(mdata.mod["rna"].X, var=pd.DataFrame(index=mdata.mod["rna"].var_names)), fasta)
    with pytest.raises(ChromatellError, match="holds no region"):
        ctl.pp.add_sequence(toy[:, :0].copy(), fasta)
    with pytest.raises(ChromatellError, match="is not there. Give the path of one"):
        ctl.pp.add_sequence(toy, "none.fa")
    toy.uns["ctl"] = "text"
    with pytest.raises(ChromatellError, match="is not a dict"):
        ctl.pp.add_sequence(toy, fasta)
