"""Intervals past the end of their chromosome: few are odd, many are of another build."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import chromatell as ctl
from chromatell import ChromatellError, ChromatellWarning
from chromatell.genome.builds import BUILDS
from chromatell.genome.chromosome_ends import Ends, within
from chromatell.genome.same_build import check_same_build

CHR4 = 190_214_555  # of hg38; 191,154,276 in hg19


def table(*rows):
    return pd.DataFrame(rows, columns=["chrom", "start", "end"])


def looked(rows, sizes, chroms=None):
    regions = rows if isinstance(rows, pd.DataFrame) else table(*rows)
    ends = Ends("peaks", "chrom_sizes", sizes, "Give theirs.")
    inside = within(regions, regions["chrom"].map(sizes).to_numpy(dtype=float), ends)
    ends.finish("left out")
    return inside


def spread(chrom, length, n=1000):
    start = np.linspace(0, length - 300, n).astype(int)
    return pd.DataFrame({"chrom": chrom, "start": start, "end": start + 250})


def test_one_that_overhangs_is_left_out_though_another_build_would_hold_it():
    rows = pd.concat([spread("chr4", CHR4), table(("chr4", CHR4 - 100, CHR4 + 40))])
    with pytest.warns(ChromatellWarning, match="1 of 1,001 peaks run past the end .*one to 190,214,595 of chr4"):
        assert looked(rows, BUILDS["hg38"]).tolist() == [True] * 1000 + [False]


@pytest.mark.parametrize(("theirs", "ours"), [("hg19", "hg38"), ("mm9", "mm10"), ("mm10", "mm39")])
def test_a_file_of_another_build_is_refused_by_the_few_that_lie_past_an_end(theirs, ours):
    # of peaks spread over a whole genome under 1% lie past the ends of another build's chromosomes
    rows = pd.concat([spread(c, n, 4000) for c, n in BUILDS[theirs].items()])
    past = rows["end"].to_numpy() > rows["chrom"].map(BUILDS[ours]).to_numpy()
    assert 0 < past.mean() < 0.01
    with pytest.raises(ChromatellError, match=rf"\({ours}\). They are of another build: .*{theirs}.* holds them all"):
        looked(rows, BUILDS[ours])


def test_many_are_an_error_where_no_build_is_known():
    rows = [("a", i, i + 30) for i in range(100)]
    with pytest.warns(ChromatellWarning, match="3 of 100 peaks run past"):
        assert looked(rows, {"a": 126}).sum() == 97
    with pytest.raises(ChromatellError, match="4 of 100 peaks lie off the end .* Give theirs"):
        looked(rows, {"a": 125})
    with pytest.raises(ChromatellError, match="1 of 1 peaks lie off"):
        looked([("a", 0, 130)], {"a": 125})


def test_all_of_one_chromosome_are_an_error():
    rows = pd.concat([spread("a", 1_000_000, 5000), table(*[("b", 50 + i, 170) for i in range(5)])])
    with pytest.raises(ChromatellError, match="5 of 5,005 peaks lie off .* All of those on b do"):
        looked(rows, {"a": 1_000_000, "b": 160})


def test_one_far_behind_the_end_is_said_to_fit_another_build():
    rows = pd.concat([spread("chr4", CHR4), table(("chr4", CHR4 + 5000, CHR4 + 5200))])
    with pytest.warns(ChromatellWarning, match="hg19 or hs1 would hold them all: are they of that build"):
        looked(rows, BUILDS["hg38"])


def test_fragments_that_overhang(tmp_path):
    lines = [f"chr4\t{100_000 * i + 1000}\t{100_000 * i + 1200}\tAAAC-1\t1\n" for i in range(1900)]
    (tmp_path / "f.tsv").write_text("".join(lines) + "chr4\t190178101\t190243580\tAAAC-1\t1\n")
    with pytest.warns(ChromatellWarning, match="1 of 1,901 fragments run past the end"):
        binned = ctl.pp.bin_genome(tmp_path / "f.tsv", chrom_sizes="hg38", barcodes=["AAAC-1"])
    assert binned.obs["n_fragments"].tolist() == [1900]


def atac(names):
    obs = pd.DataFrame(index=[f"c{i}" for i in range(4)])
    return AnnData(np.ones((4, len(names)), "float32"), obs=obs, var=pd.DataFrame(index=names))


NAMES = [f"chr1:{i * 400}-{i * 400 + 300}" for i in range(24)] + ["chr2:9800-10040"]


def test_a_peak_that_overhangs_has_n_behind_the_end(tmp_path):
    (tmp_path / "g.fa").write_text(f">chr1\n{'ACGT' * 2500}\n>chr2\n{'GATC' * 2500}\n")
    data = atac(NAMES)
    with pytest.warns(ChromatellWarning, match="1 of 25 regions run past .* their windows hold N there"):
        ctl.pp.add_sequence(data, tmp_path / "g.fa", width=200)
    # the window of 9,800-10,040 is 9,820 to 10,020: its last 20 bases are off the chromosome
    assert data.var["ctl_unknown"].iloc[-1] == np.float32(0.1)
    assert (data.varm["dna_code"][-1] == 4).tolist() == [False] * 180 + [True] * 20


def test_peaks_and_blacklists_that_overhang_are_cut():
    sizes = {"chr1": 10_000, "chr2": 10_000}
    with pytest.warns(ChromatellWarning, match="1 of 25 peaks run past .* they are cut there"):
        binned = ctl.pp.bin_genome(atac(NAMES), chrom_sizes=sizes, size=5000)
    assert binned.to_df().iloc[0].to_dict() == {"chr1:0-5000": 13, "chr1:5000-10000": 11, "chr2:5000-10000": 1}
    tracks = ctl.data.BinnedTracks({c: np.ones((1, 200)) for c in sizes}, ["s"], chrom_sizes=sizes)
    with pytest.warns(ChromatellWarning, match="1 of 25 regions of blacklist run past"):
        ctl.pp.mask_bins(tracks, blacklist=NAMES, all_zero=None)
    assert np.flatnonzero(tracks.masks["chr2"]).tolist() == [196, 197, 198, 199]


def test_bins_of_another_data_set_that_overhang_stay():
    bins = table(*[("chr1", s, s + 500) for s in range(0, 10_000, 500)], ("chr2", 0, 500), ("chr2", 500, 1000))
    bins.index = [f"{c}:{s}-{e}" for c, s, e in bins.itertuples(index=False)]
    peaks = atac(["chr1:100-200", "chr2:100-200", "chr2:600-700"])
    with pytest.warns(ChromatellWarning, match="1 of 22 bins run past .*are taken as longer"):
        binned = ctl.pp.bin_genome(peaks, bins=bins, chrom_sizes={"chr1": 10_000, "chr2": 800})
    assert binned.var_names.tolist() == bins.index.tolist()
    assert np.flatnonzero(binned.X.toarray()[0]).tolist() == [0, 20, 21]


def test_one_gene_past_the_end_does_not_make_an_annotation_of_another_build():
    genes = pd.concat([spread(c, n, 50) for c, n in BUILDS["hg38"].items()])
    odd = pd.concat([genes, table(("chr1", BUILDS["hg38"]["chr1"] - 50, BUILDS["hg38"]["chr1"] + 50))])
    regions = spread("chr1", 248_000_000, 10)  # fits hg19, hg38 and hs1
    check_same_build([("a.gtf", odd)], regions)
    with pytest.warns(ChromatellWarning, match="1 of 1,201 intervals of a.gtf run past"):
        check_same_build([("a.gtf", odd)], regions, BUILDS["hg38"])
    mouse = pd.concat([spread(c, n, 50) for c, n in BUILDS["mm10"].items()])
    with pytest.raises(ChromatellError, match="a.gtf is of another build than the regions"):
        check_same_build([("a.gtf", mouse)], table(("chr1", 230_000_000, 230_000_500)))
