"""What is fitted before and after the towers are trained together: cells alone, k-mers, terms of regions."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.optimize
import scipy.sparse as sp
import torch
from tests.helpers import rows_of, weights

import chromatell as ctl
from chromatell.models.xchrom import _seed_motifs, _stages
from chromatell.models.xchrom._effects import PENALTIES, Effects, choose_penalty
from chromatell.models.xchrom._module import XChromConfig, XChromModule
from chromatell.models.xchrom._seed_motifs import kmer_counts, seed_motifs, telling_words
from chromatell.models.xchrom._stages import SHARES, cell_vectors, choose_share
from chromatell.models.xchrom._vectors import VectorData, metric_of, read_composition, start_at_vectors
from chromatell.models.xchrom._warm_start import warm_start
from chromatell.nn.sequence_tower import MotifTower, TowerConfig

MOTIFS = ("TGACTCACGT", "GGAATTCCAA", "CAGGTGTTAC")  # planted in the regions of each type
TOWER = {"sequence_length": 140, "stem_filters": 4, "filters": (4,), "last_filters": 0, "gelu_after": False}
TOWER["n_bottleneck"] = 8  # the embedding, bias and slope

XChrom = ctl.models.XChrom
WIDTH, LENGTH = 150, 140  # of the windows, and of what the tower reads


def test_terms_of_seen_regions_leave_all_others_alone(trained, with_effect, mdata):
    """The towers are the same to the last bit; seen regions fit better, in new cells too; unseen ones are as before."""
    for name, value in weights(trained).items():
        if name.startswith(("weights.", "scaling.")):
            np.testing.assert_array_equal(value, weights(with_effect)[name], err_msg=name)
    seen = (mdata["atac"].var["ctl_split"] == "train").to_numpy()
    np.testing.assert_array_equal(with_effect.fitted.seen, seen)
    plain, own = trained.stored_vectors(), with_effect.stored_vectors()
    np.testing.assert_array_equal(own[~seen], plain[~seen])
    assert np.abs(own[seen] - plain[seen]).max(axis=1).min() > 1e-4
    np.testing.assert_array_equal(with_effect.region_vectors(mdata["atac"].varm["dna_code"]), plain)
    y = mdata["atac"].X.toarray()
    for part in ("train", "test"):
        cells = rows_of(mdata.obs, part)
        loss = []
        for model in (trained, with_effect):
            p = model.predict(mdata)[np.ix_(cells, seen)]
            loss.append(-np.mean(np.log(np.where(y[np.ix_(cells, seen)] > 0, p, 1 - p))))
        assert loss[1] < loss[0]
    assert with_effect.config["region_penalty"] in PENALTIES


def test_terms_are_the_most_probable_ones():
    """Against scipy's minimiser of the penalised cross entropy, region by region."""
    rng = np.random.default_rng(0)
    k, n_cells, n_regions, penalty = 5, 150, 7, 10.0
    cells = np.column_stack([rng.normal(0.5, 1.3, (n_cells, k - 2)), np.ones(n_cells), rng.normal(size=n_cells)])
    vectors = rng.normal(0, 0.5, (n_regions, k))
    vectors[:, -2] = -1
    p = 1 / (1 + np.exp(-(vectors + rng.normal(0, 0.7, vectors.shape)) @ cells.T))
    y = (rng.random(p.shape) < p).astype(np.float64)
    y[0], y[1] = 0, 1  # open nowhere, open everywhere
    effects = Effects.prepare(cells.astype(np.float32), k - 2)
    got = effects.fit(vectors.astype(np.float32), sp.csr_matrix(y.astype(np.float32)), penalty)
    assert np.isfinite(got).all()
    centred = cells.copy()
    centred[:, : k - 2] -= cells[:, : k - 2].mean(0)
    scale = np.square(centred[:, : k - 2]).mean()
    prior = np.array([penalty * scale] * (k - 2) + [1.0, penalty])
    for r in range(2, n_regions):
        base = cells @ vectors[r]

        def cost(e, r=r, base=base):
            z = base + centred @ e
            return np.sum(np.logaddexp(0, z) - y[r] * z) + 0.5 * np.sum(prior * e**2)

        e = scipy.optimize.minimize(cost, np.zeros(k), method="BFGS", options={"gtol": 1e-8}).x
        np.testing.assert_allclose(cells @ got[r], centred @ e, atol=0.02)
    assert (cells @ (vectors[0] + got[0])).max() < (cells @ vectors[0]).max()
    assert (cells @ (vectors[1] + got[1])).mean() > 1


def test_the_penalty_is_the_one_that_new_cells_prefer():
    rng = np.random.default_rng(1)
    k, n_regions = 6, 60
    cells = np.column_stack([rng.normal(size=(400, k - 2)), np.ones(400), rng.normal(size=400)]).astype(np.float32)
    vectors = rng.normal(0, 0.3, (n_regions, k)).astype(np.float32)
    chosen = {}
    for name, sd in (("none", 0.0), ("strong", 2.0)):
        true = vectors + rng.normal(0, 1, vectors.shape) * sd
        y = (rng.random((n_regions, 400)) < 1 / (1 + np.exp(-true @ cells.T))).astype(np.float32)
        effects = Effects.prepare(cells[:200], k - 2)
        fitted = choose_penalty(effects, vectors, sp.csr_matrix(y[:, :200]), cells[200:], sp.csr_matrix(y[:, 200:]))

        def entropy(penalty, effects=effects, y=y):
            e = effects.fit(vectors, sp.csr_matrix(y[:, :200]), penalty)
            z = (vectors + e) @ cells[200:].T
            return np.mean(np.logaddexp(0, z) - y[:, 200:] * z)

        assert fitted == PENALTIES[int(np.argmin([entropy(p) for p in PENALTIES]))]
        chosen[name] = fitted
    assert chosen["strong"] < chosen["none"]


# ---- cells alone


def bce(logits, y):
    return float(np.mean(np.logaddexp(0, logits) - y * logits))


def test_the_first_fit_of_cells(mdata, monkeypatch):
    """Free vectors of regions explain the training pairs; the sequence side starts at their mean, in unit variance."""
    rng = np.random.default_rng(0)
    kind = pd.get_dummies(mdata.obs["cell_type"]).to_numpy(np.float32)
    cells = np.hstack([kind, rng.normal(size=(240, 1)).astype(np.float32)])
    y = mdata["atac"].X.tocsr()
    depth = np.log(np.asarray(y.sum(1)).ravel()).astype(np.float32)
    depth = (depth - depth.mean()) / depth.std()
    config = XChromConfig(tower=TowerConfig(**TOWER), n_inputs=4, n_hidden=16, n_embed=6, depth_mix=0.0)

    def run():
        torch.manual_seed(0)
        module = XChromModule(config, (-1.0, 0.4))
        options = {"depth_slope": 0.4, "n_epochs": 10, "seed": 3, "device": torch.device("cpu")}
        return module, warm_start(module, cells, depth, np.zeros_like(depth), y, **options)

    (module, free), (_, again) = run(), run()
    np.testing.assert_array_equal(free, again)
    with monkeypatch.context() as patch:  # as fitted, before the two sides are scaled against each other
        patch.setattr("chromatell.models.xchrom._warm_start._aim_sequence_side", lambda _module, free: free)
        raw, raw_free = run()
    np.testing.assert_allclose(
        cell_vectors(module, cells, depth) @ free.T, cell_vectors(raw, cells, depth) @ raw_free.T, atol=1e-4
    )
    assert free.shape == (360, 8)
    np.testing.assert_allclose(free[:, :6].std(0, ddof=1), 1, atol=1e-3)
    assert module.head is None
    np.testing.assert_allclose(module.origin, free.mean(0), atol=1e-5)
    assert module.tower.last.bias.abs().max() == 0
    dense = y.toarray()
    v = cell_vectors(module, cells, depth)
    mean = dense.mean(0)
    truth = np.log(mdata["atac"].layers["truth"] / (1 - mdata["atac"].layers["truth"]))
    start = np.tile(np.log(mean / (1 - mean)), (240, 1))
    assert bce(v @ free.T, dense) < 0.3 * bce(start, dense) + 0.7 * bce(truth, dense)
    same = module.origin.numpy() @ v.T
    np.testing.assert_allclose(same, (v @ free.T).mean(1), atol=1e-3)  # what the sequence side says before it learns


# ---- filters from k-mers


def test_the_number_of_threads_changes_no_choice(fit, mdata, monkeypatch):
    """The start, words among it, is the same to the bit; training after it, to float rounding."""
    starts, predicted, first_fit = [], [], _stages.start_from_cells

    def spied(module, *args, **kwargs):
        first_fit(module, *args, **kwargs)
        starts.append({name: value.clone() for name, value in module.state_dict().items()})

    monkeypatch.setattr(_stages, "start_from_cells", spied)
    before = torch.get_num_threads()
    try:
        for n in (1, 2):
            torch.set_num_threads(n)
            model = fit(mdata, epochs=2, seed=1, kind="motifs", region_effect=True, warm_epochs=20)
            assert torch.get_num_threads() == n
            predicted.append(model.predict(mdata))
    finally:
        torch.set_num_threads(before)
    for name, value in starts[0].items():
        torch.testing.assert_close(starts[1][name], value, rtol=0, atol=0, msg=name)
    np.testing.assert_allclose(predicted[1], predicted[0], atol=1e-5)


def test_kmers_are_counted_on_both_strands():
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 5, (6, 40)).astype(np.int8)
    got = kmer_counts(tokens, 3).toarray()
    want = np.zeros((6, 64))
    for row, sequence in enumerate(tokens):
        text = ctl.genome.decode(sequence)
        for i in range(38):
            word = text[i : i + 3]
            if "N" not in word:
                other = word[::-1].translate(str.maketrans("ACGT", "TGCA"))
                want[
                    row,
                    min("ACGT".index(w[0]) * 16 + "ACGT".index(w[1]) * 4 + "ACGT".index(w[2]) for w in (word, other)),
                ] += 1
    np.testing.assert_array_equal(got, want)
    turned = np.where(tokens < 4, 3 - tokens, 4)[:, ::-1]
    np.testing.assert_array_equal(kmer_counts(turned, 3).toarray(), want)


def test_telling_words_lie_in_the_planted_motifs(mdata):
    """Given which regions open together, the first k-mers found are pieces of the motifs, on either strand."""
    truth = mdata["atac"].layers["truth"]
    types = [np.flatnonzero(mdata.obs["cell_type"] == t)[0] for t in "012"]
    vectors = np.log(truth / (1 - truth)).T[:, types].astype(np.float32)
    found = telling_words(mdata["atac"].varm["dna_code"], vectors, np.eye(3, dtype=np.float32), 12)
    assert 3 <= len(found) <= 12
    assert len(set(found)) == len(found)
    both = [
        m for word in MOTIFS for m in (word, ctl.genome.decode(ctl.genome.reverse_complement(ctl.genome.encode(word))))
    ]
    long = [word for word in found if len(word) == 7]
    assert all(any(word in m for m in both) for word in long[:3])
    assert {i // 2 for word in long[:4] for i, m in enumerate(both) if word in m} == {0, 1, 2}


@pytest.mark.parametrize("width", [15, 7, 5])
def test_filters_start_at_words(mdata, width):
    """A filter matches its word best, amid weights that are smaller."""
    truth = mdata["atac"].layers["truth"]
    types = [np.flatnonzero(mdata.obs["cell_type"] == t)[0] for t in "012"]
    vectors = np.log(truth / (1 - truth)).T[:, types].astype(np.float32)
    torch.manual_seed(0)
    tower = MotifTower(
        TowerConfig(kind="motifs", sequence_length=140, stem_filters=5, stem_kernel=width, n_bottleneck=3)
    )
    tokens = mdata["atac"].varm["dna_code"][:, 5:145]
    n = seed_motifs(tower, tokens, vectors, np.eye(3, dtype=np.float32), 0)
    words = telling_words(tokens, vectors, np.eye(3, dtype=np.float32), 5, min(7, width))
    assert n == len(words) >= 3
    for i, word in enumerate(words):
        k, kmer = len(word), ctl.genome.encode(word).astype(int)
        start = (width - k) // 2
        weight = tower.scan.weight.detach().numpy()[i, :, start : start + k]
        assert (weight.argmax(0) == kmer).all()
        others = np.delete(weight, kmer[0], axis=0)[:, 0] if k == 1 else weight[weight < weight.max()]
        np.testing.assert_allclose(weight[kmer, np.arange(k)], 0.5)
        np.testing.assert_allclose(others, -0.5 / 3)


def test_long_sequences_take_no_more_memory_for_their_words(monkeypatch):
    """Words are counted in as many bases, however they are cut: fewer regions where they are longer."""
    counted = []
    monkeypatch.setattr(_seed_motifs, "_MAX_BASES", 20 * 60)
    monkeypatch.setattr(_seed_motifs, "kmer_counts", lambda t, k: counted.append(t.shape) or kmer_counts(t, k))
    rng = np.random.default_rng(0)
    for length, n_read in ((60, 20), (120, 10), (20, 30)):
        tokens = rng.integers(0, 4, (30, length)).astype(np.int8)
        tower = MotifTower(TowerConfig(kind="motifs", sequence_length=length, stem_filters=4, n_bottleneck=2))
        counted.clear()
        seed_motifs(tower, tokens, rng.normal(size=(30, 2)).astype(np.float32), np.eye(2, dtype=np.float32), 0)
        assert set(counted) == {(n_read, length)}


def test_words_of_noise_are_not_taken():
    """Where sequence says nothing, the pursuit ends early; where it is composition that counts, CG comes first."""
    rng = np.random.default_rng(1)
    tokens = rng.integers(0, 4, (300, 200)).astype(np.int8)
    cells = np.ones((4, 1), dtype=np.float32)
    assert len(telling_words(tokens, rng.normal(size=(300, 1)).astype(np.float32), cells, 40)) <= 3
    cg = ((tokens[:, :-1] == 1) & (tokens[:, 1:] == 2)).sum(1, keepdims=True)
    vectors = (cg + rng.normal(size=(300, 1))).astype(np.float32)
    assert telling_words(tokens, vectors, cells, 40)[0] == "CG"


# ---- what the sequence side starts from, and what of it stays

MOTIF_TOWER = TowerConfig(
    kind="motifs", sequence_length=140, stem_filters=6, stem_kernel=7, stem_pool=10, hidden_filters=8, n_bottleneck=6
)


def motif_module(n_embed=4):
    torch.manual_seed(0)
    return XChromModule(XChromConfig(tower=MOTIF_TOWER, n_inputs=3, n_embed=n_embed)).eval()


def vectors_and_cells(mdata, k=6):
    rng = np.random.default_rng(0)
    tokens = mdata["atac"].varm["dna_code"][:, 5:145]
    gc = np.isin(tokens, (1, 2)).mean(1, keepdims=True)
    vectors = (20 * gc * rng.normal(size=k) + rng.normal(size=(len(tokens), k))).astype(np.float32)
    cells = np.hstack([rng.normal(size=(50, k - 1)) * 3.0 ** -np.arange(k - 1), np.ones((50, 1))]).astype(np.float32)
    return tokens, vectors, cells


def test_the_metric_is_the_variance_of_the_logit():
    rng = np.random.default_rng(0)
    cells, error = rng.normal(0.3, 1, (80, 5)).astype(np.float32), rng.normal(size=(7, 5)).astype(np.float32)
    root, inverse = metric_of(cells)
    np.testing.assert_allclose(np.square(error @ root).sum(1), np.square(error @ cells.T).mean(1), rtol=1e-4)
    np.testing.assert_allclose(root @ inverse, np.eye(5), atol=1e-5)
    root, inverse = metric_of(np.hstack([cells, np.zeros((80, 1), np.float32)]))  # cells do not differ in the last
    assert np.isfinite(inverse).all()


def test_the_sequence_side_starts_at_ridge_on_composition(mdata):
    """Against scikit-learn's leave-one-out ridge in the logits over cells; what is left has unit variance."""
    from sklearn.linear_model import RidgeCV

    tokens, vectors, cells = vectors_and_cells(mdata)
    module = motif_module()
    root, start = start_at_vectors(module, tokens, vectors, cells)
    features = read_composition(module.tower, tokens)
    x = (features - features.mean(0)) / features.std(0)
    wanted = (vectors - vectors.mean(0)) @ root
    ridge = RidgeCV(len(x) * np.logspace(-3, 3, 13)).fit(x, wanted)
    want = vectors.mean(0) + ridge.predict(x) @ np.linalg.inv(root)
    np.testing.assert_allclose(start, want, atol=2e-3)
    with torch.no_grad():
        module.tower.last.weight.zero_()
        got = module.regions(torch.from_numpy(tokens)).numpy()
    np.testing.assert_allclose(got, want, atol=2e-3)
    left = np.linalg.solve(module.basis.numpy().T, (vectors - got).T).T
    np.testing.assert_allclose(left.std(0), 1, atol=1e-2)
    assert not module.tower.straight.weight.requires_grad
    assert np.square((vectors - got) @ root).sum() < 0.97 * np.square(wanted).sum()


def test_batches_of_vectors_and_their_loss(mdata):
    tokens, vectors, cells = vectors_and_cells(mdata)
    module = motif_module()
    rows = np.arange(0, 360, 2)
    metric, _ = start_at_vectors(module, tokens[rows], vectors[rows], cells)
    batch = VectorData(tokens, rows, vectors[rows], metric)[np.array([4, 0, 10]), np.arange(3)]
    np.testing.assert_array_equal(batch.tokens, tokens[[4, 0, 10]])
    np.testing.assert_array_equal(batch.vectors, vectors[[4, 0, 10]])
    with torch.no_grad():
        error = (module.regions(batch.tokens) - batch.vectors).numpy() @ cells.T
        assert float(module.loss(batch)) == pytest.approx(np.square(error).mean(), rel=1e-3)
    assert len(batch.to("cpu")) == 3


@pytest.mark.parametrize("telling", [True, False])
def test_filters_stay_where_validation_regions_agree(mdata, telling):
    """What they say is kept where it is so, and left out where it is noise."""
    tokens, _, cells = vectors_and_cells(mdata)
    module = motif_module()
    rng = np.random.default_rng(1)
    with torch.no_grad():
        module.tower.last.weight.normal_(0, 30)
        said = module.tower.last.weight.clone()
        module.tower.last.weight.mul_(float(telling))  # composition alone tells, or all
        logit = module.regions(torch.from_numpy(tokens)).numpy() @ cells.T
        module.tower.last.weight.copy_(said)
    y = sp.csr_matrix((rng.random(logit.shape) < 1 / (1 + np.exp(-logit))).astype(np.float32))
    dataset = SimpleNamespace(open_by_region=y, cells=np.zeros((50, 3), np.float32), predicted_depth=np.zeros(50))
    parts = np.array(["val"] * 120 + ["train"] * 240), np.array(["train"] * 50)
    data = SimpleNamespace(region_split=parts[0], cell_split=parts[1], tokens=tokens, dataset=dataset)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("chromatell.models.xchrom._stages.cell_vectors", lambda *_: cells)
        before = module.tower.last.weight.detach().clone()
        share = choose_share(module, data)
        assert share == (1.0 if telling else 0.0)
        torch.testing.assert_close(module.tower.last.weight.detach(), share * before)
        data.region_split = np.array(["train"] * 360)
        assert choose_share(module, data) == 1.0  # nothing to judge by


def test_the_share_is_kept_with_the_model(fit, small):
    model = fit(small, kind="motifs", stem_pool=10)
    assert set(model.config["share_of_filters"].values()) <= set(SHARES)
    alone = fit(small, kind="motifs", stem_pool=10, covariate_length=0)  # there is one, of all that filters say
    assert alone.config["share_of_filters"] in SHARES
    assert "covariates" not in alone.card
    again = ctl.models.load(alone.to_record())
    np.testing.assert_allclose(again.predict(small["rna"]), alone.predict(small), atol=1e-6)


def test_a_motif_tower_of_short_sequences_round_trips(fit, mdata):
    """Shorter than the poolings of the other kind would need; and with filters seeded."""
    model = fit(mdata, epochs=8, kind="motifs", sequence_length=100, stem_filters=8)
    again = ctl.models.load(model.to_record())
    np.testing.assert_allclose(again.predict(mdata["rna"]), model.predict(mdata), atol=1e-6)
