"""Sentences: what stands in them, what is asked, how often, and how they come in batches."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from chromatell import ChromatellError
from chromatell.models.atacformer._sentences import CLOSED, REMOVED, SEEN, Masking, Sentences, TokenBatches
from chromatell.models.atacformer._vocabulary import Vocabulary

N_BINS = 30


@pytest.fixture
def vocabulary():
    regions = pd.DataFrame(
        {"chrom": np.repeat(["chr10", "chr2", "chrX"], 10)}, index=[f"bin_{i}" for i in range(N_BINS)]
    )
    return Vocabulary.of_regions(regions)


def make(rng, vocabulary, masking, n_cells=40, room=1000, density=0.3, **options):
    binarized = sp.csr_matrix((rng.random((n_cells, N_BINS)) < density).astype(np.float32))
    frequency = np.asarray(binarized.mean(axis=0)).ravel()
    return Sentences(
        binarized, vocabulary, room=room, frequency=frequency, masking=masking, **options
    ), binarized.toarray() > 0


def test_vocabulary_orders_chromosomes_as_people_do(vocabulary):
    assert vocabulary.chroms == ("chr2", "chr10", "chrX")
    assert vocabulary.chrom.tolist() == [1] * 10 + [0] * 10 + [2] * 10
    assert len(vocabulary) == N_BINS + 3 + 3
    assert (vocabulary.pad, vocabulary.cls_token, vocabulary.context) == (30, 31, 32)
    assert vocabulary.eos.tolist() == [33, 34, 35]
    assert vocabulary.room(10, context=True) == 5
    with pytest.raises(ChromatellError, match="max_length=4 leaves no room for bins: 4 tokens .*max_length=5 or more"):
        vocabulary.room(4, context=False)


def test_whole_sentences(rng, vocabulary):
    sentences, binarized = make(rng, vocabulary, None)
    rows = np.array([5, 0, 7])
    batch = sentences[rows, [0]]
    order = rows[np.argsort(binarized[rows].sum(1), kind="stable")]
    for cell, row in zip(batch.tokens.split(batch.lengths.tolist()), order, strict=True):
        cell = cell.numpy()
        assert cell[0] == vocabulary.cls_token
        assert cell[-3:].tolist() == [33, 34, 35]
        assert sorted(cell[1:-3]) == np.flatnonzero(binarized[row]).tolist()
    assert batch.asked is None


def test_removed_and_seen_bins_are_the_open_ones_and_negatives_are_closed(rng, vocabulary):
    sentences, binarized = make(rng, vocabulary, Masking(low=0.4, high=0.4, n_seen=1000, n_negatives=50))
    binarized = binarized[:1]
    batch = sentences[np.array([0]), [1]]
    asked, state = batch.asked.bin.numpy(), batch.asked.state.numpy()
    seen, removed = set(asked[state == SEEN]), set(asked[state == REMOVED])
    assert seen == set(batch.tokens[1:-3].tolist())
    assert seen | removed == set(np.flatnonzero(binarized[0]))
    assert not seen & removed
    assert len(removed) == round(0.4 * binarized.sum())
    assert (int(batch.n_seen), int(batch.n_removed)) == (len(seen), len(removed))
    assert not binarized[0][asked[state == CLOSED]].any()
    assert (state == CLOSED).sum() <= 50


def test_how_often_a_pair_is_asked_is_what_log_rate_says(rng, vocabulary):
    masking = Masking(low=0.5, high=0.5, n_seen=2, n_negatives=9, per_removed=0, by_frequency=0.7)
    sentences, binarized = make(rng, vocabulary, masking, n_cells=4)
    counts, rates = np.zeros((4, N_BINS)), np.full((4, N_BINS), np.nan)
    draws = 600
    n_seen_asked = []
    for i in range(draws):
        for row in range(4):
            asked = sentences[np.array([row]), [i]].asked
            closed = (asked.state == CLOSED).numpy()
            bins = asked.bin.numpy()[closed]
            np.add.at(counts[row], bins, 1)
            rates[row, bins] = asked.log_rate.numpy()[closed, CLOSED]
            n_seen_asked.append(int((asked.state == SEEN).sum()))
    seen = ~np.isnan(rates) & ~binarized
    expected = np.exp(rates[seen])
    assert np.abs(counts[seen] / draws - expected).max() < 5 * np.sqrt(expected.max() / draws)
    assert abs(np.mean(n_seen_asked) - 2) < 0.1


def test_corrected_for_how_often_states_are_asked_the_truth_is_calibrated(rng, vocabulary):
    """Bins that open independently have known odds; with `log_rate` they foretell how many of each state are asked."""
    p = rng.uniform(0.05, 0.6, N_BINS)
    binarized = sp.csr_matrix((rng.random((4000, N_BINS)) < p).astype(np.float32))
    share = 0.4
    masking = Masking(low=share, high=share, n_seen=3, n_negatives=12, by_frequency=0.8)
    sentences = Sentences(binarized, vocabulary, room=1000, frequency=p, masking=masking)
    asked = sentences[np.arange(4000), [0]].asked
    bins, state = asked.bin.numpy(), asked.state.numpy()
    prior = np.log(np.column_stack([1 - p, p * (1 - share), p * share]))
    logits = prior[bins] + asked.log_rate.numpy()
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for s in (CLOSED, SEEN, REMOVED):
        found, want = (state == s).mean(), probability[:, s].mean()
        assert abs(found / want - 1) < 0.05  # a sentence of ten bins has one more where the bin itself is open
    common = np.argsort(p)[-5:]
    mine = np.isin(bins, common)
    assert abs((state[mine] == REMOVED).mean() / probability[mine, REMOVED].mean() - 1) < 0.05


def test_long_cells_give_a_new_random_subset_each_time(rng, vocabulary):
    sentences, binarized = make(rng, vocabulary, None, room=5, density=0.8)
    first, second = (set(sentences[np.array([3]), [e]].tokens[1:-3].tolist()) for e in (0, 1))
    assert len(first) == len(second) == 5
    assert first != second
    assert first | second <= set(np.flatnonzero(binarized[3]))
    assert sentences.n_open.max() == 5


def test_empty_cells_and_emptied_sentences(rng, vocabulary):
    context = rng.normal(size=(60, 4)).astype(np.float32)
    masking = Masking(empty=0.5)
    sentences, binarized = make(rng, vocabulary, masking, n_cells=60, context=context)
    batch = sentences[np.arange(60), [0]]
    emptied = (batch.n_seen == 0).numpy()
    assert 15 < emptied.sum() < 45
    assert batch.lengths.min() == 5  # <cls>, <context>, three <eos>
    shares = (batch.n_removed / (batch.n_removed + batch.n_seen)).numpy()[~emptied]
    assert shares.min() > 0.05
    assert shares.max() < 0.7
    none = Sentences(sp.csr_matrix((2, N_BINS)), vocabulary, room=9, frequency=np.full(N_BINS, 0.1), masking=masking)
    batch = none[np.array([0, 1]), [0]]
    assert batch.lengths.tolist() == [4, 4]
    assert (batch.asked.state == CLOSED).all()
    assert binarized.any()


def test_rows_stay_with_their_context_and_labels(rng, vocabulary):
    context = np.arange(40, dtype=np.float32)[:, None]
    labels = np.arange(40)[:, None]
    sentences, binarized = make(rng, vocabulary, Masking(), context=context, labels=labels)
    batch = sentences[rng.permutation(40), [0]]
    rows = batch.labels[:, 0].numpy()
    np.testing.assert_array_equal(batch.context[:, 0], rows)
    np.testing.assert_array_equal((batch.n_seen + batch.n_removed).numpy(), binarized[rows].sum(1))
    cell, bins, state = (a.numpy() for a in (batch.asked.cell, batch.asked.bin, batch.asked.state))
    np.testing.assert_array_equal(binarized[rows[cell], bins], state != CLOSED)


def test_batches_hold_every_row_once_and_keep_to_the_budget(rng):
    lengths = rng.integers(4, 300, 500)
    batches = TokenBatches(lengths, 2000, shuffle=True, seed=3)
    epochs = []
    for epoch in (0, 1):
        batches.set_epoch(epoch)
        parts = [rows for rows, _ in batches]
        assert len(parts) == len(batches)
        assert sorted(np.concatenate(parts)) == list(range(500))
        assert max(lengths[rows].sum() for rows in parts) < 2000 + 300
        spread = np.mean([lengths[rows].std() for rows in parts])
        assert spread < 0.5 * lengths.std()  # of similar length
        epochs.append([rows.tolist() for rows in parts])
    assert epochs[0] != epochs[1]
    batches.set_epoch(0)
    assert [rows.tolist() for rows, _ in batches] == epochs[0]


@pytest.mark.parametrize("lengths", [[5], [5000, 3, 3], [3, 3, 9000, 3], [0, 0, 1]])
def test_odd_lengths_still_fill_every_batch(lengths):
    batches = TokenBatches(np.array(lengths), 100, shuffle=True, seed=0)
    parts = [rows for rows, _ in batches]
    assert all(len(rows) for rows in parts)
    assert sorted(np.concatenate(parts)) == list(range(len(lengths)))
