"""Contrastive learning: losses and neighbours against oracles, changed cells right by construction, training only."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.neighbors import NearestNeighbors

import chromatell as ctl
from chromatell import ChromatellError
from chromatell.models.atacformer import _contrastive
from chromatell.models.atacformer._contrastive import (
    ABSENT,
    ADDED,
    DROPPED,
    KEPT,
    Contrastive,
    ContrastiveHead,
    Positives,
    info_nce,
    nearest_cells,
    resolve_contrastive,
)

FULL = {"n_neighbors": 3, "dropped": 0.3, "added": 0.25}


def sentences_of(model, split="train"):
    return model._loader(model._adata, split, 0).dataset


@pytest.fixture(scope="module")
def contrasted(cells, fit):
    return fit(cells, setup={"labels": "kind"}, contrastive={"weight": 1.0})


@pytest.fixture(scope="module")
def changed(trained):
    """A batch of changed cells: (sentences, rows, Positives, Positive)."""
    sentences = sentences_of(trained)
    positives = Positives(sentences, Contrastive(**FULL), seed=0)
    rows = np.random.default_rng(3).permutation(len(sentences))[:50]
    return sentences, rows, positives, positives(rows, np.random.default_rng(0))


def bins_of(positive, vocabulary):
    """The bins of each changed sentence, as sets, in the order of the sentences."""
    parts = positive.sentences.tokens.split(positive.sentences.lengths.tolist())
    return [set(part[part < vocabulary.n_bins].tolist()) for part in parts]


# ---- values


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_info_nce_equals_numpy(rng, temperature):
    a, b = rng.normal(size=(6, 5)), rng.normal(size=(6, 5))
    unit_a, unit_b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    cosine = unit_a @ unit_b.T / temperature
    there = -np.mean([cosine[i, i] - np.log(np.exp(cosine[i]).sum()) for i in range(6)])
    back = -np.mean([cosine[i, i] - np.log(np.exp(cosine[:, i]).sum()) for i in range(6)])
    found = info_nce(torch.from_numpy(a), torch.from_numpy(b), temperature)
    np.testing.assert_allclose(float(found), (there + back) / 2, rtol=1e-5)


def test_info_nce_of_one_cell_is_nothing():
    assert float(info_nce(torch.randn(1, 4), torch.randn(1, 4), 0.1)) == 0


def test_nearest_cells_equal_those_of_scikit_learn(rng, monkeypatch):
    monkeypatch.setattr(_contrastive, "_ROWS", 7)  # blocks do not matter
    z = rng.normal(size=(50, 4)).astype(np.float32)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    want = NearestNeighbors(n_neighbors=6, metric="cosine", algorithm="brute").fit(z).kneighbors(z)[1][:, 1:]
    np.testing.assert_array_equal(nearest_cells(z, 5), want)
    assert nearest_cells(z[:3], 10).shape == (3, 2)  # no more than there are


def test_the_loss_is_the_sum_of_its_parts(contrasted, cells):
    model = contrasted
    sentences = sentences_of(model)
    config = Contrastive(weight=0.7, decoder_weight=0.2, temperature=0.5)
    sentences.positives = Positives(sentences, config, seed=0)
    batch = sentences[np.arange(8), [0]]
    tables = {"chrom": torch.from_numpy(model.fitted.vocabulary.chrom)}
    torch.manual_seed(0)
    head = ContrastiveHead(model.network, tables, config)
    torch.nn.init.normal_(head.decoder.meeting.out.weight)
    positive, module = batch.positive, model.module
    with torch.no_grad():
        plain = module.loss(batch)
        module.contrastive = head
        whole = module.loss(batch)
        module.contrastive = None
        encoded, other = module.encode(batch), module.encode(positive.sentences)
        nce = info_nce(head.project(encoded.cls), head.project(other.cls[positive.place]), 0.5)
        log_p = head.decoder(other, positive.cell, positive.bin).log_softmax(1).numpy()
    told = -log_p[np.arange(len(log_p)), positive.state.numpy()].mean()
    np.testing.assert_allclose(float(whole - plain), 0.7 * float(nce) + 0.2 * told, rtol=1e-4)
    # pairs are asked of the sentence that holds them: the grid says the same of them
    with torch.no_grad():
        grid = head.decoder.grid(other, torch.arange(cells.n_vars)).log_softmax(-1)
    np.testing.assert_allclose(log_p, grid[positive.cell, positive.bin].numpy(), atol=1e-4)


# ---- changed cells, right by construction


def test_states_of_bins_are_what_became_of_them(changed):
    sentences, rows, _, positive = changed
    own = [set(sentences.binarized[row].indices.tolist()) for row in rows]
    now = bins_of(positive, sentences.vocabulary)
    row_of = np.argsort(positive.place.numpy())  # of each sentence
    asked = {state: [set() for _ in rows] for state in range(4)}
    for cell, bin, state in zip(*(x.tolist() for x in (positive.cell, positive.bin, positive.state)), strict=True):
        before, after = bin in own[row_of[cell]], bin in now[cell]
        assert (
            state
            == {(False, False): ABSENT, (True, True): KEPT, (True, False): DROPPED, (False, True): ADDED}[before, after]
        )
        asked[state][cell].add(bin)
    for cell, row in enumerate(row_of):
        n = len(own[row])
        assert asked[DROPPED][cell] == own[row] - now[cell]  # all that were, are asked
        assert asked[ADDED][cell] == now[cell] - own[row]
        assert len(asked[DROPPED][cell]) == round(0.3 * n)
        assert len(asked[ADDED][cell]) <= round(0.25 * n)
        assert len(asked[KEPT][cell]) == min(len(asked[ADDED][cell]), n - len(asked[DROPPED][cell]))
    assert sum(map(len, asked[ADDED])) > 50
    assert sum(map(len, asked[ABSENT])) > 50


def test_added_bins_are_those_of_one_near_neighbour(changed):
    sentences, rows, positives, positive = changed
    now = bins_of(positive, sentences.vocabulary)
    for i, row in enumerate(rows):
        new = now[int(positive.place[i])] - set(sentences.binarized[row].indices.tolist())
        near = [set(sentences.binarized[j].indices.tolist()) for j in positives.neighbors[row]]
        assert row not in positives.neighbors[row]
        assert any(new <= theirs for theirs in near)


def test_changed_sentences_are_packed_as_others_are(changed):
    sentences, _, _, positive = changed
    batch, v = positive.sentences, sentences.vocabulary
    for part in batch.tokens.split(batch.lengths.tolist()):
        assert part[0] == v.cls_token
        assert part[-v.n_eos :].tolist() == v.eos.tolist()
        assert (part[1 : -v.n_eos] < v.n_bins).all()
        assert len(set(part.tolist())) == len(part)
    assert batch.n_seen.tolist() == [len(b) for b in bins_of(positive, v)]
    assert (batch.lengths.diff() >= 0).all()


def test_changes_follow_the_generator_and_leave_the_sentences_alone(trained):
    sentences = sentences_of(trained)
    rows = np.arange(20)
    plain = sentences[rows, [1, 0, 0]]
    sentences.positives = Positives(sentences, Contrastive(**FULL), seed=0)
    first, again, later = (sentences[rows, entropy] for entropy in ([1, 0, 0], [1, 0, 0], [1, 1, 0]))
    torch.testing.assert_close(first.tokens, plain.tokens)
    torch.testing.assert_close(first.asked.bin, plain.asked.bin)
    torch.testing.assert_close(first.positive.sentences.tokens, again.positive.sentences.tokens)
    torch.testing.assert_close(first.positive.state, again.positive.state)
    assert set(map(frozenset, bins_of(first.positive, sentences.vocabulary))) != set(
        map(frozenset, bins_of(later.positive, sentences.vocabulary))
    )
    # the cells of both stand in the same places
    n_open = np.diff(sentences.binarized.indptr)
    total = (first.n_seen + first.n_removed).numpy()
    changed = first.positive.sentences.n_seen[first.positive.place].numpy()
    assert sorted(total) == sorted(n_open[rows])
    assert (np.abs(changed / np.maximum(total, 1) - 1) <= 0.35).all()


def test_cells_with_few_bins_and_a_full_sentence(trained):
    sentences = sentences_of(trained)
    binarized = sentences.binarized.tolil()
    binarized[0], binarized[1] = 0, 0
    binarized[1, 4] = 1
    binarized[2] = 1
    sentences.binarized, sentences.room = sp.csr_matrix(binarized), 20
    positives = Positives(sentences, Contrastive(dropped=0.0, added=1.0, n_neighbors=10**4), seed=0)
    positive = positives(np.arange(30), np.random.default_rng(0))
    n_seen = positive.sentences.n_seen[positive.place]
    assert n_seen[0] == 0  # an open share of nothing is nothing
    assert 1 <= n_seen[1] <= 2
    assert n_seen[2] == 20
    assert n_seen.max() == 20
    assert not (positive.state == DROPPED).any()


# ---- training


def test_it_is_in_training_only(contrasted, trained, cells):
    record, plain = contrasted.to_record(), trained.to_record()
    shapes = [{k: v.shape for k, v in r.arrays.items() if not k.startswith("history.")} for r in (record, plain)]
    assert shapes[0] == shapes[1]
    assert contrasted.module.contrastive is None
    assert record.config["contrastive"]["temperature"] == 0.1
    assert plain.config["contrastive"] is None
    again = ctl.models.load(record)
    np.testing.assert_allclose(again.predict(cells), contrasted.predict(cells), atol=1e-6)
    assert np.abs(contrasted.embed(cells) - trained.embed(cells)).max() > 0.01


def test_the_validation_loss_is_that_of_masked_modelling_alone(contrasted):
    loader = contrasted._loader(contrasted._adata, "val", 0)
    batches = list(loader)
    assert all(batch.positive is None for batch in batches)
    with torch.no_grad():
        losses = [float(contrasted.module.loss(batch)) for batch in batches]
    want = np.average(losses, weights=[len(b) for b in batches])
    np.testing.assert_allclose(min(contrasted.history["validation_loss"]), want, rtol=2e-3)  # trained in bfloat16


def test_neighbours_are_sought_among_training_cells(contrasted, cells):
    positives = sentences_of(contrasted).positives
    train = (cells.obs["ctl_split"] == "train").to_numpy()
    assert positives.neighbors.shape == (train.sum(), 10)
    kind = cells.obs["kind"].to_numpy()[train]
    assert (kind[positives.neighbors] == kind[:, None]).mean() > 0.9
    assert sentences_of(contrasted, "val").positives is None


def test_the_same_seed_gives_the_same_weights(cells, fit):
    short = {"max_epochs": 1}
    a, b, c = (fit(cells, contrastive={"weight": 1.0}, train={**short, "seed": seed}) for seed in (0, 0, 1))
    np.testing.assert_array_equal(a.embed(), b.embed())
    assert np.abs(a.embed() - c.embed()).max() > 0.01


def test_contrast_tells_cells_apart(contrasted, trained):
    """A changed cell is found again among the others far better than by a model that was not taught to."""

    def loss_of(model):
        sentences = sentences_of(model)
        sentences.positives = Positives(sentences, Contrastive(), seed=0)
        batch = sentences[np.arange(60), [9]]
        with torch.no_grad():
            changed = model.module.encode(batch.positive.sentences).cls[batch.positive.place]
            return float(info_nce(model.module.encode(batch).cls, changed, 0.1))

    assert loss_of(contrasted) < loss_of(trained) - 0.1


@pytest.mark.parametrize("options", [{"decoder": "cross_attention"}, {"eos": "outside"}, {"eos": "both"}])
def test_it_goes_with_every_decoder_and_eos(cells, fit, options):
    model = fit(cells, contrastive=FULL, train={"max_epochs": 3}, **options)
    again = ctl.models.load(model.to_record())
    np.testing.assert_allclose(again.predict(cells), model.predict(), atol=1e-6)
    assert np.isfinite(model.history["train_loss"]).all()


def test_with_a_context_changed_cells_are_read_without_it(paired_cells, fit):
    model = fit(paired_cells, setup={"context": "X_own"}, contrastive=True, train={"max_epochs": 3})
    sentences = sentences_of(model)
    batch = sentences[np.arange(10), [0]]
    assert batch.context is not None
    assert batch.positive.sentences.context is None
    v = sentences.vocabulary
    changed = batch.positive.sentences
    first = [part[:2].tolist() for part in changed.tokens.split(changed.lengths.tolist())]
    assert first == [[v.cls_token, v.context]] * 10


# ---- bad input


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"temprature": 1}, r"knows no option \['temprature'\].*temperature"),
        ({"temperature": 0}, r"contrastive\['temperature'\]"),
        ({"dropped": 1.5}, r"contrastive\['dropped'\]"),
        ({"n_neighbors": 0}, r"contrastive\['n_neighbors'\]"),
        ({"weight": -1}, r"contrastive\['weight'\]"),
        ("yes", "True, False, or a dict"),
    ],
)
def test_options_out_of_range_are_named(cells, chosen, message):
    data = cells.copy()
    ctl.models.AtacFormer.setup_anndata(data)
    with pytest.raises(ChromatellError, match=message):
        ctl.models.AtacFormer(data, contrastive=chosen)


def test_one_training_cell_has_no_neighbour(cells, fit):
    data = cells.copy()
    data.obs["ctl_split"] = ["train"] + ["val"] * (data.n_obs - 1)
    with pytest.raises(ChromatellError, match="needs neighbours, and there is 1 training cell"):
        fit(data, contrastive=True, start="random")


def test_choices():
    assert resolve_contrastive(False) is None
    assert resolve_contrastive(True) == Contrastive()
    assert resolve_contrastive({"added": 0.5}) == Contrastive(added=0.5)
    assert resolve_contrastive(Contrastive(weight=2)).weight == 2
