"""Motif files as the MEME suite writes them, and releases of JASPAR."""

from __future__ import annotations

import io
import logging

import numpy as np
import pytest

from chromatell import ChromatellError, ChromatellWarning
from chromatell.genome.motifs import read_motifs, vertebrate_motifs

MATRIX = "0.25 0.25 0.25 0.25\n0.9 0.05 0.03 0.02\n0.1 0.2 0.3 0.4\n"
ROWS = [[0.25] * 4, [0.9, 0.05, 0.03, 0.02], [0.1, 0.2, 0.3, 0.4]]
ALPHABET = 'ALPHABET "DNA" DNA-LIKE\nEND ALPHABET\n\n'
HEADER = "letter-probability matrix: alength= 4 w= 3 nsites= 7 E= 1e-3\n"
STARS = "*" * 80 + "\n"
BANNERS = {
    "minimal": "MEME version 4\n\n",
    "streme": f"{STARS}STREME - Sensitive motifs\n{STARS}MEME version 5.4.1 (Release date: Sat Aug 21 2021)\n\n",
    "meme": f"{STARS}MEME - Motif discovery tool\n{STARS}MEME version 5.5.0\n\n{STARS}REFERENCE\n{STARS}\n",
    "dreme": "# DREME 4.11.2\n# command: dreme -p x.fa\n# host: h\n\nMEME version 4.11.2\n\n",
}


@pytest.fixture
def write(tmp_path):
    def save(text):
        (tmp_path / "motifs.txt").write_text(text)
        return tmp_path / "motifs.txt"

    return save


@pytest.mark.parametrize("program", BANNERS)
def test_text_above_the_format_is_passed_over(write, program):
    found = read_motifs(write(BANNERS[program] + ALPHABET + "MOTIF 1-ACG STREME-1\n" + HEADER + MATRIX))
    assert list(found) == ["STREME-1"]
    np.testing.assert_allclose(found["STREME-1"], ROWS, atol=1e-6)


def test_minimal_files_against_biopython(write):
    from Bio import motifs

    text = "MEME version 4\n\nALPHABET= ACGT\n\nstrands: + -\n\nBackground letter frequencies\n"
    text += "A 0.25 C 0.25 G 0.25 T 0.25\n\n"
    header = HEADER.replace("nsites= 7", "nsites= 100000")  # biopython rounds to counts of these
    text += f"MOTIF A alt-A\n{header}{MATRIX}URL x\n\nMOTIF B\n{header}{MATRIX[::-1].strip()[::-1]}\n"
    found = read_motifs(write(text))
    for motif, ours in zip(motifs.parse(io.StringIO(text), "minimal"), found.values(), strict=True):
        pwm = np.array([motif.counts.normalize()[base] for base in "ACGT"]).T
        np.testing.assert_allclose(ours, pwm, atol=1e-4)


def test_the_name_of_a_motif_ends_where_its_width_begins(write):
    text = BANNERS["meme"] + "ALPHABET= ACGT\n\nMOTIF GGCA MEME-1\twidth =  3  sites =  9  llr = 5  E-value = 1.0e-2\n"
    text += f"\tMotif GGCA MEME-1 position-specific probability matrix\n{HEADER}{MATRIX}"
    text += "MOTIF  2\twidth =   3   sites =   2\n" + HEADER + MATRIX
    assert list(read_motifs(write(text))) == ["MEME-1", "2"]


@pytest.mark.parametrize(
    "header", ["letter-probability matrix:\n", "letter-probability matrix: alength= 4 nsites= 9\n"]
)
@pytest.mark.parametrize("end", ["", "\n", "URL http://x\n", "MOTIF B\n" + HEADER + MATRIX])
def test_fields_of_the_header_are_optional(write, header, end):
    found = read_motifs(write(BANNERS["minimal"] + "MOTIF A\n" + header + MATRIX + end))
    np.testing.assert_allclose(found["A"], ROWS, atol=1e-6)
    assert len(found) == 1 + ("MOTIF B" in end)


def test_a_motif_named_twice_is_one():
    assert list(read_motifs(["CTCF", "MA0139"], release="2026")) == ["CTCF"]
    assert list(read_motifs(["SPI1", "CTCF", "SPI1"])) == ["SPI1", "CTCF"]
    assert len(read_motifs(["MA0139.1", "MA0139.2"])) == 2  # two versions are two


def test_the_release_of_jaspar_is_said_and_chosen(caplog):
    logging.getLogger("chromatell").propagate = True
    with caplog.at_level("INFO", logger="chromatell"):
        old, new = (read_motifs("CTCF", release=r)["CTCF"] for r in ("JASPAR2018", "2026"))
        assert "Motifs are of JASPAR2018" in caplog.text
        assert "Motifs are of JASPAR2026" in caplog.text
    logging.getLogger("chromatell").propagate = False
    assert (len(old), len(new)) == (19, 15)  # MA0139.1, and trimmed since as MA0139.2
    assert len(vertebrate_motifs(["SPI1"], release="2020")["SPI1"]) == 20  # MA0080.5
    with pytest.raises(ChromatellError, match="release='2019' of JASPAR is not there; pyjaspar has"):
        read_motifs("CTCF", release="2019")


def test_a_row_that_adds_up_to_something_else_is_no_rounding(write):
    rows = ["0.25 0.25 0.25 0.25"] * 19
    text = "MEME version 4\n\nMOTIF m one\nletter-probability matrix: w= 20\n" + "\n".join([*rows, "0.9 0.9 0.9 0.9\n"])
    with pytest.raises(ChromatellError, match="its rows add up to 1 to 3.6; probabilities add up to 1"):
        read_motifs(write(text))


@pytest.mark.parametrize("last", ["MOTIF b second\n", "MOTIF b second\nMOTIF c third\n" + HEADER + MATRIX])
def test_a_motif_without_a_matrix_is_left_out_and_said(write, last):
    text = "MEME version 4\n\nMOTIF a first\n" + HEADER + MATRIX + last
    with pytest.warns(ChromatellWarning, match=r"1 motifs \(such as 'b'\) have no matrix and are left out"):
        found = read_motifs(write(text))
    assert list(found) == (["first", "third"] if "third" in last else ["first"])
