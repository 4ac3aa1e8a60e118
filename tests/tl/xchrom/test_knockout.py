"""Genes and motifs taken out of an XChrom: equal to predictions of what was changed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from tests.tl.xchrom.made import QUICK, simulated

import chromatell as ctl
from chromatell.genome.motifs import find_hits, read_motifs
from chromatell.tl._knockout import MotifsOut


def logit(p):
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return np.log(p / (1 - p))


@pytest.fixture(scope="module")
def mdata(base):
    mdata = base.copy()
    mdata.obs["lane"] = np.where(np.arange(mdata.n_obs) % 2, "one", "two")
    ctl.tl.xchrom(mdata, batch_key="lane", embedding=None, **QUICK)
    return mdata


def test_a_gene_taken_out_is_the_prediction_without_its_counts(mdata):
    """The model reads a batch from ``mdata.obs``, which the cells drawn keep."""
    model = ctl.models.load(mdata)
    total = np.asarray(mdata["rna"].X.sum(axis=0)).ravel()
    gene = model.read_expression.genes[int(np.argmax(total[: len(model.read_expression.genes)]))]
    ctl.tl.perturb(mdata, [gene], key="xchrom", n_cells=1000, seed=0)
    found = mdata.uns["ctl"]["perturbation"]
    changed = mdata.copy()
    changed["rna"].X = np.where(changed["rna"].var_names == gene, 0, changed["rna"].X.toarray())
    moved = logit(model.predict(changed)) - logit(model.predict(mdata))
    home, away = model.cell_vectors(mdata), model.cell_vectors(changed)
    for g, group in enumerate(found["groups"]):
        here = (mdata.obs["cell_type"] == group).to_numpy()
        np.testing.assert_allclose(found["effect"][0, g], moved[here].mean(axis=0), atol=2e-3)
        spread = np.sqrt(((home[here] - home[here].mean(axis=0)) ** 2).sum(axis=1).mean())
        shift = np.linalg.norm(away[here].mean(axis=0) - home[here].mean(axis=0)) / spread
        assert found["table"].set_index("group").loc[group, "embedding"] == pytest.approx(shift, rel=1e-3)
    assert np.abs(found["effect"]).max() > 1e-4


def test_links_of_a_gene_are_predictions_without_its_counts_of_the_cells_that_express_it(mdata):
    ctl.pp.link_genes(mdata, mdata["rna"].var, max_distance=200_000)
    model, links = ctl.models.load(mdata), mdata.uns["ctl"]["links"]
    linked = np.asarray(links["gene"])[np.diff(links["distance"].indptr) > 0]
    total = dict(zip(mdata["rna"].var_names, np.asarray(mdata["rna"].X.sum(axis=0)).ravel(), strict=True))
    gene = max((g for g in linked if g in set(model.read_expression.genes)), key=total.get)
    ctl.tl.link_regions(mdata, key="xchrom", genes=[gene], n_cells=1000)
    table = mdata.uns["ctl"]["region_links"]["table"]
    had = np.asarray((mdata["rna"][:, gene].X > 0).todense()).ravel()
    changed = mdata.copy()
    changed["rna"].X = np.where(changed["rna"].var_names == gene, 0, changed["rna"].X.toarray())
    moved = logit(model.predict(mdata, depth="fixed")) - logit(model.predict(changed, depth="fixed"))
    at = model.region_names(None).get_indexer(table["region"])
    np.testing.assert_allclose(table["effect"], moved[had].mean(axis=0)[at], atol=2e-3)
    assert (table["n_cells"] == had.sum()).all()
    assert np.abs(table["effect"]).max() > 1e-4


def test_a_motif_taken_out_is_the_prediction_of_the_shuffled_sequence(mdata):
    model = ctl.models.load(mdata)
    out = MotifsOut(mdata, "xchrom", model, None, "JASPAR", ["SPI1"], 1e-4, 1, seed=3)
    pwm = read_motifs(["SPI1"])
    held, change = out(["SPI1"])
    hits = find_hits(out.tokens, pwm, pvalue=1e-4)
    np.testing.assert_array_equal(held, np.unique(hits["sequence"]))
    (seed,) = np.random.SeedSequence([3, *b"SPI1"]).spawn(1)
    shuffled = out._shuffled(out.tokens[held], pwm, np.random.default_rng(seed))
    assert find_hits(shuffled, pwm, pvalue=1e-4).empty
    touched = np.zeros(out.tokens.shape, dtype=bool)
    for row, start, end in hits[["sequence", "start", "end"]].itertuples(index=False):
        touched[row, start:end] = True
    differs = shuffled != out.tokens[held]
    assert differs.any(axis=1).all()
    assert (differs & ~touched[held]).sum() < differs.sum() / 10  # shuffling made a match beside the first

    ctl.tl.perturb(mdata, "SPI1", key="xchrom", motifs="JASPAR", n_shuffles=1, n_cells=1000, seed=3)
    found = mdata.uns["ctl"]["perturbation"]
    moved = logit(model.predict(mdata, regions=shuffled)) - logit(model.predict(mdata, regions=out.tokens[held]))
    here = (mdata.obs["cell_type"] == found["groups"][1]).to_numpy()
    np.testing.assert_allclose(found["effect"][0, 1, held], moved[here].mean(axis=0), atol=2e-3)
    assert (np.delete(found["effect"], held, axis=2) == 0).all()
    assert (found["table"]["n_regions"] == held.size).all()
    assert (found["table"]["embedding"] == 0).all()


def test_a_run_of_one_base_becomes_unknown(mdata):
    run = {"A5": np.tile([1.0, 0, 0, 0], (5, 1))}
    out = MotifsOut(mdata, "xchrom", None, None, run, ["A5"], 1e-3, 1, seed=0)
    tokens = np.array([[1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]], dtype=np.int8)
    shuffled = out._shuffled(tokens, out.motifs, np.random.default_rng(0))
    assert shuffled.tolist() == [[1, 1, *[4] * 9, 1, 2]]


def test_the_motif_of_a_type_matters_most_in_its_cells(tmp_path_factory):
    """The simulator opens regions of a type by its factor's motif; taken out, they close there, and others do not."""
    mdata = simulated(tmp_path_factory.mktemp("made") / "a.fa", 300, 500, seed=1)
    ctl.tl.xchrom(mdata, embedding=None, **{**QUICK, "train_kwargs": {"max_epochs": 20}, "warm_epochs": 10})
    truth = mdata.uns["ctl"]["simulation"]["activity"]  # types x factors
    ctl.tl.perturb(mdata, list(truth.columns), key="xchrom", motifs="JASPAR", n_shuffles=2, seed=0)
    found = mdata.uns["ctl"]["perturbation"]
    assert (found["table"]["n_regions"] > 10).all()
    sums = np.where(found["effect"] != 0, found["effect"], 0).sum(axis=2) / (found["effect"] != 0).sum(axis=2)
    known = truth.loc[found["groups"], found["targets"]].to_numpy().T
    assert np.corrcoef(sums.ravel(), known.ravel())[0, 1] < -0.5  # -.57 on the lower bounds of the libraries


def test_bad_input(mdata):
    ask = {"key": "xchrom", "motifs": "JASPAR"}
    for targets, options, message in (
        (["SPI1"], {"motifs": {"EBF1": np.full((6, 4), 0.25)}}, "There is no motif 'SPI1' in motifs=; there: 'EBF1'"),
        (["SPI1"], {"pvalue": 1e-12}, "matches no region at pvalue=1e-12"),
        (["SPI1"], {"n_shuffles": 0}, "n_shuffles=0 is out of range"),
        (["long"], {"motifs": {"long": np.full((210, 4), 0.25)}}, "longer than the 200 bases"),
        (["nosuchfactor"], {}, "nosuchfactor"),
    ):
        with pytest.raises(ctl.ChromatellError, match=message):
            ctl.tl.perturb(mdata, targets, **{**ask, **options})
    dense = mdata.copy()
    ctl.tl.dense(dense, train_kwargs={"max_epochs": 1})
    with pytest.raises(ctl.ChromatellError, match="reads no DNA sequence"):
        ctl.tl.perturb(dense, "SPI1", key="dense", motifs="JASPAR")
