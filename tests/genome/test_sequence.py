import numpy as np
import pytest
from Bio.Seq import Seq

import chromatell as ctl
from chromatell import ChromatellError
from chromatell.genome.sequence import check_tokens

LETTERS = np.array(list("ACGTNacgtnRYKMSWBDHVU"))


def test_encode_and_decode():
    assert ctl.genome.encode("ACGTN").tolist() == [0, 1, 2, 3, 4]
    assert ctl.genome.encode("acgtnRyUx-.*").tolist() == [0, 1, 2, 3] + [4] * 8
    assert ctl.genome.encode(["AC", "GT"]).tolist() == [[0, 1], [2, 3]]
    assert ctl.genome.encode("AC").dtype == np.int8
    assert ctl.genome.encode([]).shape == (0, 0)
    assert ctl.genome.encode("").shape == (0,)
    assert ctl.genome.decode(np.array([[0, 1], [4, 3]])) == ["AC", "NT"]
    text = "".join(np.random.default_rng(0).choice(list("ACGTN"), 500))
    assert ctl.genome.decode(ctl.genome.encode(text)) == text


@pytest.mark.parametrize(
    ("sequence", "match"),
    [
        ("AC1T", "holds '1'; letters are needed"),
        ("AC T", "holds ' '"),
        ("ACΩT", "holds 'Ω'"),
        (["AC", "ACG"], "lengths from 2 to 3; one length is needed"),
    ],
)
def test_what_is_no_sequence(sequence, match):
    with pytest.raises(ChromatellError, match=match):
        ctl.genome.encode(sequence)


def test_reverse_complement_as_biopython_has_it(rng):
    texts = ["".join(rng.choice(list("ACGTN"), 51)) for _ in range(20)]
    got = ctl.genome.reverse_complement(ctl.genome.encode(texts))
    assert ctl.genome.decode(got) == [str(Seq(t).reverse_complement()) for t in texts]
    assert (got.dtype, got.flags["C_CONTIGUOUS"]) == (np.int8, True)
    one = ctl.genome.encode(texts[0])
    np.testing.assert_array_equal(ctl.genome.reverse_complement(ctl.genome.reverse_complement(one)), one)


def test_one_hot_is_channels_first(rng):
    tokens = rng.integers(0, 5, (6, 30)).astype(np.int8)
    got = ctl.genome.one_hot(tokens)
    assert (got.shape, got.dtype) == ((6, 4, 30), np.float32)
    for i, j in np.ndindex(6, 30):
        want = [0.0] * 4
        if tokens[i, j] < 4:
            want[tokens[i, j]] = 1.0
        assert got[i, :, j].tolist() == want
    np.testing.assert_array_equal(ctl.genome.one_hot(tokens[2]), got[2])


@pytest.mark.parametrize(
    ("tokens", "match"),
    [
        (np.array([0.0, 1.0]), "tokens is float64 of shape"),
        (np.array(["A"]), "ctl.genome.encode"),
        (np.zeros((2, 3, 4), dtype=np.int8), r"of shape \(2, 3, 4\); int8 tokens"),
        (np.array([0, 5]), "values from 0 to 5; tokens are 0 to 4"),
        (np.array([-1, 2]), "values from -1 to 2"),
    ],
)
def test_what_are_no_tokens(tokens, match):
    for function in (ctl.genome.decode, ctl.genome.reverse_complement, ctl.genome.one_hot, check_tokens):
        with pytest.raises(ChromatellError, match=match):
            function(tokens)
