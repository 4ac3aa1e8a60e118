import numpy as np
import pytest

from chromatell import ChromatellError
from chromatell.genome.kmers import kmer_shares, n_kmers
from chromatell.genome.sequence import reverse_complement


def by_hand(row, k):
    text = "".join("ACGTN"[t] for t in row)
    words = ["".join(w) for w in np.array(np.meshgrid(*[list("ACGT")] * k, indexing="ij")).reshape(k, -1).T]
    other = {w: w[::-1].translate(str.maketrans("ACGT", "TGCA")) for w in words}
    pairs = sorted({min(w, o) for w, o in other.items()})
    found = [text[i : i + k] for i in range(len(text) - k + 1)]
    known = [min(w, other[w]) for w in found if "N" not in w]
    return [known.count(p) / len(known) if known else np.nan for p in pairs]


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_shares_by_hand(rng, k):
    tokens = rng.integers(0, 5, (6, 40)).astype(np.int8)
    tokens[0] = 4
    found = kmer_shares(tokens, k)
    assert (found.dtype, found.shape) == (np.float32, (6, n_kmers(k)))
    np.testing.assert_allclose(found, [by_hand(row, k) for row in tokens], rtol=1e-6)


@pytest.mark.parametrize("k", [1, 2, 3, 5, 6, 8])
def test_both_strands_and_blocks_give_the_same(rng, k, monkeypatch):
    tokens = rng.integers(0, 5, (9, 60)).astype(np.int8)
    found = kmer_shares(tokens, k)
    np.testing.assert_array_equal(found, kmer_shares(reverse_complement(tokens), k))
    monkeypatch.setattr("chromatell.genome.kmers._BASES", 100)
    np.testing.assert_array_equal(found, kmer_shares(tokens, k))
    assert found.shape[1] == n_kmers(k)


def test_short_sequences_and_k_out_of_range():
    assert np.isnan(kmer_shares(np.zeros((2, 3), dtype=np.int8), 5)).all()
    for k in (0, 9, 2.5):
        with pytest.raises(ChromatellError, match=f"k={k} is out of range"):
            kmer_shares(np.zeros((2, 3), dtype=np.int8), k)
