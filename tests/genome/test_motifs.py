"""Motifs against Biopython, plain loops, and all sequences of a length written out."""

from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest
from Bio import motifs as bio
from Bio.motifs.matrix import PositionSpecificScoringMatrix

from chromatell import ChromatellError
from chromatell.genome import _motif_files
from chromatell.genome.motifs import (
    consensus,
    family_motifs,
    find_hits,
    log_odds,
    read_motifs,
    safe_name,
    sample_sites,
    scan,
    score_threshold,
    vertebrate_motifs,
)
from chromatell.genome.sequence import decode, encode, reverse_complement

MEME = """MEME version 4

ALPHABET= ACGT

strands: + -

Background letter frequencies
A 0.25 C 0.25 G 0.25 T 0.25

MOTIF MA9999.1 FOS::JUN
letter-probability matrix: alength= 4 w= 3 nsites= 20 E= 0
 0.90  0.05  0.03  0.02
 0.10  0.20  0.30  0.40

 0.25  0.25  0.25  0.25
URL http://example.org

MOTIF second
letter-probability matrix: alength= 4 w= 2 nsites= 10
0 0 1 0
0.5 0.5 0 0
"""


def random_pwm(rng: np.random.Generator, length: int) -> np.ndarray:
    return rng.dirichlet(np.full(4, 0.4), size=length).astype(np.float32)


def pssm(weights: np.ndarray) -> PositionSpecificScoringMatrix:
    return PositionSpecificScoringMatrix("ACGT", {b: weights[:, i].tolist() for i, b in enumerate("ACGT")})


# ---- reading


def test_one_motif_of_each_family_is_the_one_that_says_most():
    """Against pyjaspar's own list and Biopython's relative entropy."""
    from pyjaspar import jaspardb

    found = family_motifs(release="2022")
    every = jaspardb(release="JASPAR2022").fetch_motifs(collection="CORE", tax_group=["vertebrates"])
    families = {tuple(m.tf_family) for m in every}
    assert len(found) == len(families)
    stat = [m for m in every if m.tf_family == ["STAT factors"]]
    best = max(stat, key=lambda m: m.counts.normalize().log_odds().mean())
    assert safe_name(best.name) in found
    assert sum(safe_name(m.name) in found for m in stat) == 1


def test_jaspar_by_name_and_id_are_the_counts_of_the_database():
    from pyjaspar import jaspardb

    found = read_motifs(["CTCF", "MA0080", "FOS::JUN", "MA0139.1"])
    # an id gives JASPAR's own name
    assert [name.split("_")[0] for name in found] == ["CTCF", "Spi1", "FOS-JUN", "CTCF"]
    assert "CTCF_MA0139.1" in found  # two of one name bear their ids
    database = jaspardb()
    for key, identifier in (("Spi1", "MA0080"), ("FOS-JUN", "MA0099")):
        counts = np.array([database.fetch_motif_by_id(identifier).counts[b] for b in "ACGT"]).T
        np.testing.assert_allclose(found[key], counts / counts.sum(axis=1, keepdims=True), rtol=1e-6)
        assert found[key].dtype == np.float32
        np.testing.assert_allclose(found[key].sum(axis=1), 1, atol=1e-6)


def test_one_name_takes_vertebrates_and_the_lowest_id():
    ctcf = read_motifs("CTCF")["CTCF"]  # also insects' MA0531, and MA1929, MA1930 of vertebrates
    np.testing.assert_array_equal(ctcf, next(iter(read_motifs("MA0139").values())))
    np.testing.assert_array_equal(ctcf, read_motifs(("ctcf",))["ctcf"])
    assert "CCACCAGGGGGCGC" in decode(consensus(ctcf))


def test_vertebrate_motifs_are_those_of_the_genes():
    found = vertebrate_motifs(["Ctcf", "SPI1", "ACTB", "FOS", "gata1"])
    assert sorted(found) == ["CTCF", "FOS", "GATA1", "SPI1"]
    for name in ("CTCF", "SPI1"):
        np.testing.assert_array_equal(found[name], read_motifs(name)[name])
    assert "FOS-JUN" in vertebrate_motifs(["FOS", "JUN"])
    assert vertebrate_motifs(["ACTB"]) == {}


def test_meme_file_as_biopython_reads_it(tmp_path):
    path = tmp_path / "two.meme"
    path.write_text(MEME)
    found = read_motifs(path)
    assert list(found) == ["FOS-JUN", "second"]
    path.with_suffix(".txt").write_text(MEME.replace("0.40\n\n", "0.40\n").replace("nsites= 20", "nsites= 100"))
    with path.with_suffix(".txt").open() as handle:  # Biopython knows no empty line there, and keeps counts of nsites
        oracle = bio.parse(handle, "minimal")
    for pwm, motif in zip(found.values(), oracle, strict=True):
        expected = np.array([motif.pwm[b] for b in "ACGT"]).T
        np.testing.assert_allclose(pwm, expected, atol=1e-6)
    assert list(read_motifs(str(path))) == ["FOS-JUN", "second"]


def test_a_name_that_repeats_is_followed_by_the_id(tmp_path):
    path = tmp_path / "x.meme"
    path.write_text(MEME.replace("MOTIF second", "MOTIF MA1.2 FOS::JUN"))
    assert list(read_motifs(path)) == ["FOS-JUN_MA9999.1", "FOS-JUN_MA1.2"]


def test_arrays_are_probabilities_or_counts():
    found = read_motifs({"p": [[0.5, 0.25, 0.25, 0]], "n": np.array([[2, 2, 0, 0], [1, 1, 1, 1]])})
    np.testing.assert_array_equal(found["p"], [[0.5, 0.25, 0.25, 0]])
    np.testing.assert_array_equal(found["n"], [[0.5, 0.5, 0, 0], [0.25] * 4])


@pytest.mark.parametrize(
    ("name", "key"), [("FOS::JUN", "FOS-JUN"), ("a/b c", "a-b-c"), ("x.1_y", "x.1_y"), ("..", "motif"), ("é", "motif")]
)
def test_safe_name(name, key):
    assert safe_name(name) == key


@pytest.mark.parametrize(
    ("source", "match"),
    [
        ("no_such_factor", "has no motif 'no_such_factor'. Needed: names or ids of JASPAR"),
        (["MA9999.9"], "has no motif 'MA9999.9'"),
        (["x' OR '1'='1"], "has no motif"),
        ([], "No motif was given"),
        ([3], "must be named by text; found '3'"),
        ("nowhere/motifs.meme", "No motif file at 'nowhere/motifs.meme'. Needed: .*MEME"),
        ({"x": [[1, 2, 3]]}, r"'x' has shape \(1, 3\); \(length, 4\) is needed"),
        ({"x": np.zeros((0, 4))}, "shape"),
        ({"x": np.ones((300, 4))}, "up to 256 bases"),
        ({"x": [[0.5, -0.5, 0.5, 0.5]]}, "neither probabilities nor counts .* Give the counts"),
        ({"x": [[np.nan, 1, 1, 1]]}, "neither probabilities nor counts"),
        ({"x": [[0, 0, 0, 0]]}, "neither probabilities nor counts"),
        ({"x": [[0.2, 0.2, 0.2, 0.1], [0.5, 0.5, 0.5, 0.5]]}, "add up to 0.7 to 2; probabilities add up to 1"),
        ({"x": "abc"}, "not an array of numbers"),
        ({"a b": [[1, 0, 0, 0]], "a-b": [[1, 0, 0, 0]]}, "Two motifs are named 'a-b'. Give each its own name"),
    ],
)
def test_bad_motifs(source, match):
    with pytest.raises(ChromatellError, match=match):
        read_motifs(source)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "has no line 'MEME version'; it begins ''"),
        ("<html>", "it begins '<html>'. Needed"),
        (MEME.replace("ACGT\n\nstr", "ACDEFGHIKLMNPQRSTVWY\n\nstr"), "line 3: .*only motifs of DNA"),
        (MEME.replace("MOTIF MA9999.1 FOS::JUN\n", ""), "a matrix before any 'MOTIF' line"),
        (MEME.replace("w= 3", "w= 99999"), "header must give"),
        (MEME.replace("w= 3", "w= 4"), "is not a row of numbers; 4 rows are needed, 3 found. Mend"),
        (MEME.replace("0.90  0.05", "0.95"), "has 3 numbers where 4 are needed"),
        (MEME.replace("0.90", "nan"), "neither probabilities nor counts"),
        (MEME[: MEME.index("0.5 0.5")], "1 rows where 2 are needed; the file is cut short. Get it again"),
        (MEME[: MEME.index("MOTIF")], "holds no 'letter-probability matrix'"),
        (MEME.replace("MOTIF second", "MOTIF"), "a motif without a name"),
        (MEME.replace("second", "s" * 300), "too long"),
        (MEME + "x" * 70_000, "over 65536 characters"),
        (MEME + "\x00", "binary data"),
        (MEME.replace("second", "\ud800"), "is not a text file"),
    ],
)
def test_bad_meme_file(tmp_path, text, match):
    path = tmp_path / "bad.meme"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ChromatellError, match=match):
        read_motifs(path)


def test_files_are_bounded(tmp_path, monkeypatch):
    path = tmp_path / "x.meme"
    path.write_text(MEME)
    monkeypatch.setattr(_motif_files, "_MAX_MOTIFS", 1)
    with pytest.raises(ChromatellError, match="over 1 motifs; give those that you need"):
        read_motifs(path)
    monkeypatch.setattr(_motif_files, "_MAX_FILE", 100)
    with pytest.raises(ChromatellError, match="give the motifs that you need"):
        read_motifs(path)


def test_without_pyjaspar_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyjaspar", None)
    for call in (lambda: read_motifs("CTCF"), lambda: vertebrate_motifs(["CTCF"])):
        with pytest.raises(ChromatellError, match=r"pip install 'chromatell\[sequence\]'"):
            call()


# ---- scores


def test_log_odds_by_hand():
    b = np.array([0.3, 0.2, 0.2, 0.3])
    got = log_odds([[0.7, 0.1, 0.1, 0.1], [0, 0, 1, 0]], background=b)
    assert got[0, 0] == pytest.approx(np.log2((0.7 + 0.0003) / (1.001 * 0.3)), abs=0.0051)
    assert got[1, 2] == pytest.approx(np.log2(1.0002 / (1.001 * 0.2)), abs=0.0051)
    assert got[1, 0] == pytest.approx(np.log2(0.001 / 1.001), abs=0.0051)
    np.testing.assert_allclose(got * 100, np.round(got * 100), atol=1e-9)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 15, 21])
def test_scan_is_biopythons_score_on_both_strands(rng, length):
    pwm = random_pwm(rng, length)
    tokens = rng.integers(0, 4, (3, 40)).astype(np.int8)
    got = scan(tokens, pwm)
    assert got.shape == (2, 3, 40 - length + 1)
    assert got.dtype == np.float32
    oracle = pssm(log_odds(pwm))
    for strand, matrix in enumerate((oracle, oracle.reverse_complement())):
        for row in range(3):
            expected = np.atleast_1d(matrix.calculate(decode(tokens[row])))
            np.testing.assert_allclose(got[strand, row], expected, atol=1e-4)


def test_scan_is_a_plain_loop_and_scores_no_n(rng):
    pwm, background = random_pwm(rng, 7), (0.3, 0.2, 0.2, 0.3)
    weights = log_odds(pwm, background=background)
    tokens = rng.integers(0, 5, (4, 25)).astype(np.int8)
    got = scan(tokens, pwm, background=background)
    for row, start in itertools.product(range(4), range(19)):
        word = tokens[row, start : start + 7]
        for strand, read in enumerate((word, reverse_complement(word))):
            if (word == 4).any():
                assert got[strand, row, start] == -np.inf
            else:
                assert got[strand, row, start] == pytest.approx(
                    sum(weights[i, b] for i, b in enumerate(read)), abs=1e-4
                )


def test_scan_of_the_other_strand_is_the_mirror_image(rng):
    pwm, tokens = random_pwm(rng, 12), rng.integers(0, 5, (2, 60)).astype(np.int8)
    np.testing.assert_allclose(scan(reverse_complement(tokens), pwm)[::-1, :, ::-1], scan(tokens, pwm), atol=1e-5)


@pytest.mark.parametrize("length", [1, 2, 3, 5])
@pytest.mark.parametrize("background", [(0.25, 0.25, 0.25, 0.25), (0.35, 0.15, 0.2, 0.3)])
def test_threshold_is_exact_among_all_sequences(rng, length, background):
    words = np.array(list(itertools.product(range(4), repeat=length)), dtype=np.int8)
    chance = np.prod(np.array(background)[words], axis=1)
    for _ in range(5):
        pwm = random_pwm(rng, length)
        scores = log_odds(pwm, background=background)[np.arange(length), words].sum(axis=1)
        for pvalue in (0.5, 0.1, 0.03, 0.004, 0.0004):
            least = score_threshold(pwm, pvalue, background=background)
            rare = [s for s in np.unique(scores.round(2)) if chance[scores > s - 0.005].sum() <= pvalue * (1 + 1e-9)]
            if rare:
                assert least == pytest.approx(min(rare) - 0.005, abs=1e-6)
                assert chance[scan(words, pwm, background=background)[0, :, 0] >= least].sum() <= pvalue * (1 + 1e-9)
            else:
                assert least == np.inf


def test_threshold_by_hand():
    pwm = [[1, 0, 0, 0], [0, 1, 0, 0]]  # AC scores 4.00, the six with one base right 2 - 9.97
    assert score_threshold(pwm, 1 / 16) == pytest.approx(3.995)
    assert score_threshold(pwm, 7 / 16) == pytest.approx(-7.975)
    assert score_threshold(pwm, 6.9 / 16) == pytest.approx(3.995)
    assert score_threshold(pwm, 0.06) == np.inf


def test_threshold_holds_for_a_real_motif():
    pwm = read_motifs("CTCF")["CTCF"]
    tokens = np.random.default_rng(0).integers(0, 4, (2000, 514)).astype(np.int8)
    n = (scan(tokens, pwm) >= score_threshold(pwm, 1e-4)).sum()
    assert abs(n - 200) < 4 * np.sqrt(200)  # of 2,000,000 places and strands


@pytest.mark.parametrize("pvalue", [0, 1, -1, np.nan])
def test_bad_pvalue(pvalue):
    with pytest.raises(ChromatellError, match="must lie between 0 and 1"):
        score_threshold([[1, 0, 0, 0]], pvalue)


def test_bad_scan():
    pwm = read_motifs({"x": [[1, 0, 0, 0]] * 3})["x"]
    with pytest.raises(ChromatellError, match=r"Sequences of 2 bases are shorter than the motif \(3 bases\)"):
        scan(np.zeros((1, 2), dtype=np.int8), pwm)
    with pytest.raises(ChromatellError, match="values from 0 to 5"):
        scan(np.full((1, 4), [0, 1, 2, 5], dtype=np.int8), pwm)
    with pytest.raises(ChromatellError, match=r"\(n, width\) is needed"):
        scan(np.zeros(5, dtype=np.int8), pwm)
    with pytest.raises(ChromatellError, match="must be four positive frequencies"):
        scan(np.zeros((1, 5), dtype=np.int8), pwm, background=(1, 1, 1, 0))


# ---- hits and sites


def test_hits_by_hand():
    motifs = read_motifs({"GATA": np.eye(4)[[2, 0, 3, 0]], "TT": np.eye(4)[[3, 3]]})
    tokens = encode(["AGATACCTTTCC", "NGATAAATATCN"])  # TATC is GATA on the other strand; AA is TT
    table = find_hits(tokens, motifs, thresholds={"GATA": 7.9, "TT": 3.9})
    got = list(zip(*(table[c] for c in ("sequence", "motif", "start", "end", "strand")), strict=True))
    assert got == [
        (0, "GATA", 1, 5, "+"),
        (1, "GATA", 1, 5, "+"),
        (1, "GATA", 7, 11, "-"),
        (0, "TT", 7, 9, "+"),
        (0, "TT", 8, 10, "+"),
        (1, "TT", 4, 6, "-"),
        (1, "TT", 5, 7, "-"),
    ]
    np.testing.assert_allclose(table["score"], [8] * 3 + [4] * 4, atol=1e-5)
    by_pvalue = find_hits(tokens, motifs, pvalue=1 / 16)
    assert (by_pvalue["motif"] == "TT").sum() == 4


def test_sites_have_the_motifs_frequencies(rng):
    pwm = random_pwm(rng, 6)
    sites = sample_sites(pwm, 20_000, rng)
    assert sites.shape == (20_000, 6)
    assert sites.dtype == np.int8
    share = (sites[:, :, None] == np.arange(4)).mean(axis=0)
    assert np.abs(share - pwm).max() < 4 * np.sqrt(0.25 / 20_000)
    assert sample_sites(np.eye(4)[[2, 0, 3, 1]], 3, rng).tolist() == [[2, 0, 3, 1]] * 3


def test_consensus_is_the_best_site(rng):
    pwm = random_pwm(rng, 5)
    words = np.array(list(itertools.product(range(4), repeat=5)), dtype=np.int8)
    best = words[np.prod(pwm[np.arange(5), words], axis=1).argmax()]
    assert consensus(pwm).tolist() == best.tolist()
