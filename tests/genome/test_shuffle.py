"""Shuffles against all sequences with the same pairs."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from chromatell import ChromatellError
from chromatell.genome.sequence import encode
from chromatell.genome.shuffle import dinucleotide_shuffle


def pairs(tokens: np.ndarray) -> Counter:
    return Counter(zip(tokens[:-1].tolist(), tokens[1:].tolist(), strict=True))


@pytest.mark.parametrize("width", [3, 4, 17, 200, 1344])
def test_pairs_and_ends_stay(rng, width):
    tokens = rng.integers(0, 5, width).astype(np.int8)
    got = dinucleotide_shuffle(tokens, rng)
    assert got.dtype == np.int8
    assert pairs(got) == pairs(tokens)
    assert got[[0, -1]].tolist() == tokens[[0, -1]].tolist()


def test_longer_words_do_not_stay(rng):
    tokens = np.tile(encode("GATTACCA"), 100)
    same = (dinucleotide_shuffle(tokens, rng) == tokens).mean()
    assert same < 0.5


@pytest.mark.parametrize("text", ["ACGACGA", "AACCAGACA", "ACACGTTAG", "AAAA"])
def test_every_sequence_with_the_same_pairs_is_as_likely(text):
    tokens = encode(text)
    rng = np.random.default_rng(0)
    middles = set(itertools.permutations(tokens[1:-1].tolist()))
    possible = [m for m in middles if pairs(np.array([tokens[0], *m, tokens[-1]])) == pairs(tokens)]
    n = 400 * len(possible)
    seen = Counter(tuple(dinucleotide_shuffle(tokens, rng)[1:-1].tolist()) for _ in range(n))
    assert set(seen) == set(possible)
    counts = np.array(list(seen.values()))
    assert ((counts - 400) ** 2 / 400).sum() < len(possible) + 4 * np.sqrt(2 * len(possible))  # chi-squared


def test_short_ones_and_seeds():
    for text in ("", "A", "AC"):
        assert dinucleotide_shuffle(encode(text), np.random.default_rng(0)).tolist() == encode(text).tolist()
    tokens = np.random.default_rng(1).integers(0, 4, 300).astype(np.int8)
    one, same, other = (dinucleotide_shuffle(tokens, np.random.default_rng(s)) for s in (1, 1, 2))
    assert (one == same).all()
    assert (one != other).any()


def test_bad_tokens(rng):
    with pytest.raises(ChromatellError, match="values from 0 to 7"):
        dinucleotide_shuffle(np.array([0, 7, 1]), rng)
    with pytest.raises(ChromatellError, match="one sequence at a time"):
        dinucleotide_shuffle(np.zeros((2, 5), dtype=np.int8), rng)
