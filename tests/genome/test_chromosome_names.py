"""A chromosome with and without 'chr' is one, in any species."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData

import chromatell as ctl
from chromatell import ChromatellError
from chromatell.genome.regions import normalise_chrom, same_names

SPECIES = {
    "fly": ["2L", "2R", "3L", "3R", "4", "X", "Y"],
    "worm": ["I", "II", "III", "IV", "V", "X"],
    "yeast": ["I", "IX", "XIV", "XVI"],
    "chimp": ["1", "2A", "2B", "22", "X"],
    "wheat": ["1A", "1B", "7D"],
    "scaffolds": ["2L_random", "Un_7", "scaffold_12"],
}


@pytest.mark.parametrize("species", SPECIES)
def test_names_meet_with_and_without_chr(species):
    bare = SPECIES[species]
    with_chr = [f"chr{c}" for c in bare]
    assert same_names(bare, with_chr, "genes.gtf") == dict(zip(bare, with_chr, strict=True))
    assert same_names(with_chr, bare, "genes.gtf") == dict(zip(with_chr, bare, strict=True))
    plain = normalise_chrom(pd.Series(bare)).tolist()
    assert plain == normalise_chrom(pd.Series(with_chr)).tolist() == normalise_chrom(pd.Series(plain)).tolist()
    assert len(set(plain)) == len(bare)


def test_the_mitochondrion_has_many_names():
    names = pd.Series(["M", "chrM", "MT", "Mito", "chrMT", "MtDNA", "mitochondrion_genome"])
    assert set(normalise_chrom(names)) == {"chrM"}
    assert normalise_chrom(pd.Series(["chr", "GL000205.2", "chrGL000205.2", ""])).tolist() == [
        "chr", "GL000205.2", "GL000205.2", "",
    ]  # fmt: skip


def test_a_plastid_has_many_names_and_numbers_lose_their_zeros():
    names = pd.Series(["C", "ChrC", "Pt", "chrPt", "Pltd", "chloroplast", "plastid"])
    assert set(normalise_chrom(names)) == {"chrC"}
    assert normalise_chrom(pd.Series(["Chr01", "01", "chr1", "1", "chr10", "01A"])).tolist() == [
        "chr1", "chr1", "chr1", "chr1", "chr10", "chr1A",
    ]  # fmt: skip
    stays = ["chr0", "chr00", "chr0_random", "chrC1", "chrUn_0012", "chrCHR_X"]  # a cat has C1; 0 is unplaced in maize
    assert normalise_chrom(pd.Series(stays)).tolist() == stays
    assert same_names(["1", "2", "Pt", "Mt"], ["Chr01", "Chr02", "ChrC", "ChrM"], "genes.gff") == {
        "1": "Chr01", "2": "Chr02", "Pt": "ChrC", "Mt": "ChrM",
    }  # fmt: skip


@pytest.fixture
def fly(tmp_path):
    """UCSC's regions, and Ensembl's annotation, FASTA and fragments."""
    ucsc = [f"chr{c}" for c in SPECIES["fly"][:6]]
    bare = SPECIES["fly"][:6]
    regions = [f"{c}:{1000 * i + 1000}-{1000 * i + 1500}" for c in ucsc for i in range(10)]
    obs = pd.DataFrame(index=[f"c{i}" for i in range(5)])
    rna = AnnData(np.ones((5, 6), "float32"), obs=obs, var=pd.DataFrame(index=[f"g{c}" for c in bare]))
    atac = AnnData(np.ones((5, 60), "float32"), obs=obs, var=pd.DataFrame(index=regions))
    gtf = "".join(f'{c}\tx\tgene\t1201\t3000\t.\t+\t.\tgene_id "F{c}"; gene_name "g{c}";\n' for c in bare)
    (tmp_path / "f.gtf").write_text(gtf)
    (tmp_path / "f.fa").write_text("".join(f">{c}\n{'ACGT' * 4000}\n" for c in bare))
    (tmp_path / "f.tsv").write_text("".join(f"{c}\t100\t200\tA\t1\n" for c in ucsc))
    return tmp_path, bare, MuData({"rna": rna, "atac": atac})


def test_every_verb_meets_the_fly(fly):
    folder, bare, mdata = fly
    ctl.pp.link_genes(mdata, folder / "f.gtf", max_distance=5000)
    assert np.diff(mdata.uns["ctl"]["links"]["distance"].indptr).tolist() == [6] * 6
    ctl.pp.add_sequence(mdata, folder / "f.fa", width=100)
    assert bool(mdata.mod["atac"].var["ctl_has_sequence"].all())
    binned = ctl.pp.bin_genome(folder / "f.tsv", chrom_sizes=dict.fromkeys(bare, 5000), min_fragments=1)
    assert binned.uns["ctl"]["bin_genome"]["n_used"] == 6
    ctl.pp.annotate_regions(mdata, folder / "f.gtf")
    assert set(mdata.mod["atac"].var["nearest_gene"]) == {f"g{c}" for c in bare}
    ctl.pp.split_regions(mdata, by="chromosome", holdout={"test": ["2L"]}, width=100)
    atac = mdata.mod["atac"]
    chrom = pd.Series(atac.var_names.str.split(":").str[0], index=atac.var_names)
    assert set(chrom[atac.var["ctl_split"] == "test"]) == {"chr2L"}


def test_a_blacklist_of_other_names_masks_and_one_that_meets_nothing_is_an_error(fly):
    _, bare, _ = fly
    tracks = ctl.data.BinnedTracks({c: np.ones((1, 10)) for c in bare}, ["s"], chrom_sizes=dict.fromkeys(bare, 500))
    ctl.pp.mask_bins(tracks, blacklist=["chr2L:0-100", "chrX:0-100"], all_zero=None)
    assert {c: int((m > 0).sum()) for c, m in tracks.masks.items()} == {
        "2L": 2,
        "2R": 0,
        "3L": 0,
        "3R": 0,
        "4": 0,
        "X": 2,
    }
    before = {c: m.copy() for c, m in tracks.masks.items()}
    for argument in ("blacklist", "gaps"):
        with pytest.raises(ChromatellError, match=f"{argument}: none of its 1 regions .'chr17'. is on a chromosome"):
            ctl.pp.mask_bins(tracks, **{argument: ["chr17:0-100"]})
    assert all(np.array_equal(before[c], m) for c, m in tracks.masks.items())
