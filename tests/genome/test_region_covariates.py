"""What any region has, against counting in text, all pairs and Biopython's matrices."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from Bio.motifs.matrix import PositionSpecificScoringMatrix

from chromatell import ChromatellError
from chromatell.genome.motifs import log_odds, score_threshold
from chromatell.genome.region_covariates import (
    StartSites,
    check_sites,
    gc_and_cpg,
    log_tss_distance,
    motif_counts,
    region_covariates,
)
from chromatell.genome.sequence import decode


@pytest.fixture
def genes(rng):
    chrom = np.repeat(["chr2", "chr10", "chrX"], [40, 25, 1])
    tss = rng.integers(0, 1_000_000, chrom.size)
    return pd.DataFrame({"chrom": chrom, "name": [f"G{i}" for i in range(chrom.size)], "tss": tss, "strand": "+"})


@pytest.fixture
def places(rng):
    start = rng.integers(0, 1_000_000, 200)
    table = pd.DataFrame({"chrom": rng.choice(["chr2", "chr10", "chrX"], 200), "start": start, "end": start + 501})
    return table.set_index(table["chrom"] + ":" + table["start"].astype(str) + "-" + table["end"].astype(str))


def test_distance_equals_all_pairs(genes, places):
    expected = [
        np.abs(genes.loc[genes["chrom"] == row.chrom, "tss"] - (row.start + row.end) // 2).min()
        for row in places.itertuples()
    ]
    np.testing.assert_array_equal(StartSites.read(genes).distance(places), expected)


def test_distance_of_unknown_places_and_other_spellings(genes):
    sites = StartSites.read(genes.assign(chrom=genes["chrom"].str.removeprefix("chr")))
    assert sites.chromosomes == ("chr10", "chr2", "chrX")
    tss = int(genes["tss"].iloc[-1])
    places = pd.DataFrame({"chrom": ["X", "chrX", "chr3", ""], "start": [tss - 1, tss + 990, 5, -1]})
    found = sites.distance(places.assign(end=[tss + 1, tss + 1010, 9, -1]))
    np.testing.assert_array_equal(found, [0, 1000, np.nan, np.nan])
    np.testing.assert_allclose(
        log_tss_distance(places.assign(end=[tss + 1, tss + 1010, 9, -1]), sites)[1], np.log10(1001)
    )


def test_each_site_is_kept_once(genes):
    one, twice = StartSites.read(genes), StartSites.read(pd.concat([genes, genes]))
    np.testing.assert_array_equal(one.positions, twice.positions)
    np.testing.assert_array_equal(one.first, twice.first)


def test_gc_and_cpg_of_known_bases_only():
    tokens = np.array([[1, 2, 4, 4, 0, 3], [4, 4, 4, 4, 4, 4]], dtype=np.int8)
    np.testing.assert_array_equal(gc_and_cpg(tokens), [[0.5, 4.0], [np.nan, np.nan]])


def test_motif_counts_equal_biopython(rng):
    pwm = rng.dirichlet(np.full(4, 0.4), size=6)
    tokens = rng.integers(0, 4, size=(30, 200)).astype(np.int8)
    weights = log_odds(pwm)
    matrix = PositionSpecificScoringMatrix("ACGT", {b: weights[:, i].tolist() for i, b in enumerate("ACGT")})
    least = score_threshold(pwm, 0.01)
    expected = []
    for row in tokens:
        plus, minus = (np.array(m.calculate(decode(row))) for m in (matrix, matrix.reverse_complement()))
        expected.append(((plus >= least) | (minus >= least)).sum())
    assert sum(expected) > 50
    np.testing.assert_array_equal(motif_counts(tokens, {"M": pwm}, pvalue=0.01)[:, 0], expected)


def test_motif_too_long_or_never_so_rare_counts_nothing(rng):
    tokens = rng.integers(0, 4, size=(3, 10)).astype(np.int8)
    motifs = {"long": np.full((12, 4), 0.25), "vague": np.full((4, 4), 0.25)}
    assert not motif_counts(tokens, motifs).any()


def test_table_has_what_was_asked_for(rng, genes, places):
    tokens = rng.integers(0, 4, size=(len(places), 100)).astype(np.int8)
    motifs = {"CG": np.array([[0, 1, 0, 0], [0, 0, 1, 0]])}
    table = region_covariates(tokens, places, sites=StartSites.read(genes), motifs=motifs, pvalue=0.1)
    assert list(table) == ["gc", "cpg", "log_tss_distance", "motif:CG"]
    assert table.index.equals(places.index)
    np.testing.assert_array_equal(table["motif:CG"], [decode(row).count("CG") for row in tokens])
    assert list(region_covariates(tokens)) == ["gc", "cpg"]


def test_what_does_not_fit_is_named(rng, genes, places):
    tokens, sites = rng.integers(0, 4, size=(3, 10)).astype(np.int8), StartSites.read(genes)
    with pytest.raises(ChromatellError, match="needs the places"):
        region_covariates(tokens, sites=sites)
    with pytest.raises(ChromatellError, match="3 sequences and 200 places"):
        region_covariates(tokens, places, sites=sites)
    with pytest.raises(ChromatellError, match="no start site on any chromosome of the regions .'chr7'.*Give another"):
        check_sites(sites, places.assign(chrom="chr7"), "Give another.")
    check_sites(sites, places, "Give another.")
