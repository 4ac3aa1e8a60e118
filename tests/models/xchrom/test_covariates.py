"""What stands beside the tower: ridges against scikit-learn, records, new regions, variants, words of the card."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import Ridge

import chromatell as ctl
from chromatell import ChromatellError
from chromatell.genome.motifs import log_odds, scan, score_threshold
from chromatell.genome.region_covariates import StartSites, gc_and_cpg
from chromatell.models.xchrom import _stages
from chromatell.models.xchrom._seed_motifs import _filter_of, telling_motifs
from chromatell.nn.region_covariates import _PENALTIES, _RATIOS, N_PLAIN, RegionCovariates, ridge_by_group
from chromatell.nn.sequence_tower import one_hot

OPTIONS = {"kind": "motifs", "stem_pool": 10, "stem_filters": 8, "sequence_length": 100, "covariate_length": 140}
WORD = np.array([[0.02, 0.02, 0.02, 0.94], [0.02, 0.02, 0.94, 0.02], [0.94, 0.02, 0.02, 0.02]])  # TGA
MOTIFS = {"TGACTCA": np.eye(4)[ctl.genome.encode("TGACTCA")], "CAGGTG": np.eye(4)[ctl.genome.encode("CAGGTG")]}


@pytest.fixture(scope="module")
def genes(world):
    """A start site every 4 kb of chr1 and chr2."""
    tss = np.arange(500, 40_000, 4_000)
    table = pd.DataFrame({"chrom": np.repeat(["chr1", "chr2"], tss.size), "tss": np.tile(tss, 2), "strand": "+"})
    return table.assign(name=[f"g{i}" for i in range(len(table))])


@pytest.fixture(scope="module")
def model(fit, near, genes):
    return fit(near, epochs=2, region_effect=True, annotation=genes, motifs=MOTIFS, **OPTIONS)


@pytest.fixture(scope="module")
def near(mdata, genes):
    """Regions near a start site are open more often."""
    mdata = mdata.copy()
    close = StartSites.read(genes).distance(mdata["atac"].var) < 500
    rng = np.random.default_rng(0)
    x = mdata["atac"].X.toarray()
    x[:, close] = np.maximum(x[:, close], rng.random((mdata.n_obs, close.sum())) < 0.4)
    mdata["atac"].X = type(mdata["atac"].X)(x.astype(np.float32))
    return mdata


def test_features_equal_counting_and_the_scanner(rng):
    tokens = rng.integers(0, 4, (20, 80)).astype(np.int8)
    tokens[0, :40] = 4
    module = RegionCovariates(2, 7, 5)
    motifs = {"long": MOTIFS["TGACTCA"], "word": WORD}
    module.set_motifs(motifs)
    got = module.features(one_hot(torch.from_numpy(tokens))).numpy()
    known = (tokens < 4).sum(axis=1)
    np.testing.assert_allclose(got[:, 0], gc_and_cpg(tokens)[:, 0], rtol=1e-5)
    cpg = ((tokens[:, :-1] == 1) & (tokens[:, 1:] == 2)).sum(axis=1)
    np.testing.assert_allclose(got[:, 1], 2 * cpg / known / 2, rtol=1e-5)
    for i, pwm in enumerate(motifs.values(), start=2):
        hits = np.maximum(scan(tokens[1:], pwm) - score_threshold(pwm, 1e-4) + 1, 0).sum(axis=(0, 2))
        # a filter is as long as the longest motif: what reaches over an end of the window is read too, as N
        assert (got[1:, i] - hits).min() > -1e-3
        inner = np.abs(got[1:, i] - hits) < 1e-3
        assert inner.mean() > 0.8
    other = np.where(tokens < 4, 3 - tokens, 4)[:, ::-1].astype(np.int8)
    np.testing.assert_allclose(module.features(one_hot(torch.from_numpy(other.copy()))).numpy(), got, rtol=1e-4)


def test_ridge_equals_scikit_learn_with_each_region_left_out(rng):
    """Weights, penalty and ratio of each column, by fits without each row in turn."""
    x, weight = rng.normal(size=(30, 5)), rng.uniform(0.2, 1, 30)
    weight /= weight.mean()
    y = np.column_stack([x[:, 0] + rng.normal(0, 0.3, 30), x[:, 4] * 2, rng.normal(size=30)])
    got = ridge_by_group(x, 3, y, weight)
    errors, weights = [], []
    for ratio in _RATIOS:
        scale = np.where(np.arange(5) < 3, 1, np.sqrt(ratio))
        for penalty in _PENALTIES * 30:
            error = np.zeros(3)
            for i in range(30):
                rest = np.arange(30) != i
                ridge = Ridge(penalty).fit(x[rest] * scale, y[rest], sample_weight=weight[rest])
                error += weight[i] * (ridge.predict(x[[i]] * scale)[0] - y[i]) ** 2
            errors.append(error)
            weights.append(scale * Ridge(penalty).fit(x * scale, y, sample_weight=weight).coef_)
    chosen = np.argmin(errors, axis=0)
    for j in range(3):
        np.testing.assert_allclose(got[:, j], weights[chosen[j]][j], atol=1e-7)
    assert got[4, 1] > 1.5  # what tells is believed
    assert np.abs(got[:, 2]).max() < 0.3  # noise is not


def test_proximity_is_learned_and_carries_over_to_new_places(model, near, fasta, genes):
    """The same sequence nearer to a start site is open more often, at places the model does not hold."""
    near_it, far = "chr1:4450-4570", "chr1:6450-6570"
    assert not {near_it, far} & set(model.regions)
    names = [near_it, far]
    p = model.predict(near["rna"], regions=names, fasta=fasta)
    tokens, _ = ctl.genome.Genome(fasta).windows(ctl.genome.parse_regions(names), 150)
    w = model.region_vectors(tokens)
    places = ctl.genome.parse_regions(names)
    full = model.region_vectors(tokens, places)
    proximity = 1 / (1 + StartSites.read(genes).distance(places) / 1000)
    c = model.module.covariates
    z = (proximity - float(c.mean[0])) / float(c.sd[0])
    np.testing.assert_allclose(full - w, z[:, None] * c.weight[0].numpy(), atol=1e-4)
    logit = np.log(p / (1 - p)) - model.cell_vectors(near["rna"]) @ w.T
    assert (logit[:, 0] - logit[:, 1]).mean() > 0.3


def test_regions_held_out_near_a_start_site_are_predicted_better(fit, near, model, genes):
    plain = fit(near, epochs=2, region_effect=True, **OPTIONS)
    test = (near["atac"].var["ctl_split"] == "test").to_numpy()
    truth = near["atac"].X.toarray().mean(axis=0)[test]
    r = [np.corrcoef(m.predict(near).mean(axis=0)[test], truth)[0, 1] for m in (plain, model)]
    assert r[1] > r[0] + 0.02
    assert "no annotation was given" in plain.card["covariates"]
    assert model.card["covariates"] == "GC, CpG, proximity to the nearest of 20 start sites, 2 motifs"


def test_record_predicts_the_same_new_regions_too(model, near, fasta, tmp_path):
    new = ["chr1:4450-4570", *model.regions[:3]]
    want = model.predict(near["rna"], regions=new, fasta=fasta)
    model.save(tmp_path / "model")
    for again in (ctl.models.load(model.to_record()), ctl.models.XChrom.load(tmp_path / "model")):
        np.testing.assert_allclose(again.predict(near["rna"], regions=new, fasta=fasta), want, atol=1e-6)
        assert again.fitted.source.described == model.fitted.source.described
        assert again.content_hash == model.content_hash


def test_start_sites_that_were_altered_are_refused(model):
    record = model.to_record()
    for name, value in (
        ("sites.first", record.arrays["sites.first"][:-1]),
        ("sites.first", record.arrays["sites.first"][::-1].copy()),
        ("sites.positions", record.arrays["sites.positions"][::-1].copy()),
        ("sites.positions", record.arrays["sites.positions"].astype(np.float64)),
    ):
        kept = {"family": record.family, "schema": record.schema, "var_names": record.var_names}
        altered = ctl.io.Record(config=record.config, arrays={**record.arrays, name: value}, **kept)
        with pytest.raises(ChromatellError, match="start sites"):
            ctl.models.load(altered)


def test_descriptions_of_covariates_that_were_altered_are_refused(model):
    record = model.to_record()
    kept = {"family": record.family, "schema": record.schema, "var_names": record.var_names}
    network = record.config["network"]
    for change in ({"n_motifs": 3}, {"motif_width": 0}, {"covariate_length": 0}, {"covariate_length": -1}):
        config = {**record.config, "network": {**network, **change}}
        with pytest.raises(ChromatellError):
            ctl.models.load(ctl.io.Record(config=config, arrays=record.arrays, **kept))
    arrays = {**record.arrays, "weights.covariates.sd": -record.arrays["weights.covariates.sd"]}
    with pytest.raises(ChromatellError, match="not above 0"):
        ctl.models.load(ctl.io.Record(config=record.config, arrays=arrays, **kept))


def test_the_sequence_side_is_what_isms_and_variants_read(model, near):
    """`sequence_module` gives the vectors at average proximity; a changed base changes GC, CpG and motifs with it."""
    tokens = np.asarray(near["atac"].varm["dna_code"][:6])
    length = model.sequence_length
    assert length == 140
    x = one_hot(torch.from_numpy(tokens))[:, :, 5:145]
    with torch.no_grad():
        got = model.sequence_module()(x).numpy()
    np.testing.assert_allclose(got, model.region_vectors(tokens), atol=1e-4)
    outer = tokens.copy()
    outer[:, 8] = 1  # outside the tower's 100 bases, inside the 140 of the covariates
    changed = np.abs(model.region_vectors(outer) - model.region_vectors(tokens)).max(axis=1) > 0
    assert changed[tokens[:, 8] != 1].any()


@pytest.mark.parametrize("n_regions", [3, 12])
def test_shares_without_regions_to_judge_by(fit, small, n_regions):
    """All that filters say stays where no validation region can tell."""
    mdata = small.copy()
    split = np.array(["train"] * mdata["atac"].n_vars, dtype=object)
    split[:n_regions] = "val"
    mdata["atac"].var["ctl_split"] = pd.Categorical(split)
    share = fit(mdata, epochs=1, **OPTIONS).config["share_of_filters"]
    if n_regions < _stages._LEAST_REGIONS:
        assert share == {"level": 1.0, "response": 1.0}
    assert set(share.values()) <= set(_stages.SHARES)


def test_telling_motifs_come_first_and_are_where_filters_start(rng):
    counts = rng.poisson(1, (200, 3)).astype(np.float64)
    cells = rng.normal(size=(50, 4)).astype(np.float32)
    vectors = (counts[:, [1]] * [[0.0, 1, 0, 0]] + 0.1 * rng.normal(size=(200, 4))).astype(np.float32)
    motifs = [np.full((5, 4), 0.25), MOTIFS["TGACTCA"], WORD]
    assert telling_motifs(counts, motifs, vectors, cells, 1)[0] is motifs[1]
    got = _filter_of(MOTIFS["TGACTCA"], 5)  # shorter than the motif
    np.testing.assert_allclose(got.max(axis=0), 0.5)
    assert "".join("ACGT"[i] for i in got.argmax(axis=0)) in "TGACTCA"
    np.testing.assert_allclose(_filter_of(WORD, 7)[:, [0, 1, 5, 6]], 0)
    assert log_odds(WORD).shape == (3, 4)


def test_what_does_not_fit_is_named(fit, small, genes):
    with pytest.raises(ChromatellError, match="no start site on any chromosome of the regions.*annotation='genes.gtf'"):
        fit(small, annotation=genes.assign(chrom="chr9"), **OPTIONS)
    with pytest.raises(ChromatellError, match="read beside the tower of preset='small'"):
        fit(small, annotation=genes)  # a tower of kind 'basset'
    with pytest.raises(ChromatellError, match="No annotation file"):
        fit(small, annotation="absent.gtf", **OPTIONS)
    with pytest.raises(ChromatellError, match="length= and sequence_length= are the same"):
        fit(small, length=100, **OPTIONS)
    nowhere = small.copy()
    nowhere["atac"].var = pd.DataFrame(
        {"ctl_split": small["atac"].var["ctl_split"].to_numpy()},
        index=[f"peak{i}" for i in range(small["atac"].n_vars)],
    )
    with pytest.raises(ChromatellError, match="needs the coordinates of the regions"):
        fit(nowhere, annotation=genes, **OPTIONS)


def test_a_chromosome_without_start_sites_counts_as_average(model):
    c = model.module.covariates
    assert N_PLAIN == 3
    np.testing.assert_array_equal(c.of_places(np.array([np.nan]), 1), 0)
    np.testing.assert_array_equal(c.of_places(None, 2), 0)
