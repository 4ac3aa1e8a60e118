"""Planted motifs are read as a model whose answer is known would read them."""

from __future__ import annotations

from collections import Counter

import mudata as md
import numpy as np
import pandas as pd
import pytest

import chromatell as ctl
from chromatell import ChromatellError
from chromatell.genome.motifs import consensus, read_motifs
from chromatell.genome.sequence import decode, encode

SITES = {"GATA": "AGATAAG", "AP/1": "TGACTCA"}
MOTIFS = {name: np.eye(4)[encode(text)] for name, text in SITES.items()}
NAMES = ["GATA", "AP-1"]


class Recorder:
    """Passes on to a model and keeps what sequences it was given."""

    def __init__(self, model):
        self.model, self.given, self.family = model, [], "recorder"
        self.sequence_length = model.sequence_length
        self.cell_vectors, self.sequence_module = model.cell_vectors, model.sequence_module

    def region_vectors(self, tokens):
        self.given.append(tokens.copy())
        return self.model.region_vectors(tokens)


class Counting:
    """``w = (0.5 + how often each site occurs on the + strand)``; cells hold the effects."""

    family, sequence_length = "counting", 100

    def region_vectors(self, tokens):
        counts = [[text.count(site) for site in SITES.values()] for text in decode(tokens)]
        return 0.5 + np.array(counts, dtype=np.float32)

    def cell_vectors(self, data, *, depth="predicted"):
        assert depth == "fixed"
        return np.asarray(data.mod["rna"].obsm["effects"], dtype=np.float32)

    def sequence_module(self):
        raise NotImplementedError


@pytest.fixture
def counted(sequenced) -> md.MuData:
    """The cells of `sequenced` with known effects, and sequences of 120 bases that hold none of the sites."""
    rng = np.random.default_rng(0)
    sequenced.mod["rna"].obsm["effects"] = rng.normal(size=(12, 2))
    sequenced.mod["atac"].varm["dna_code"] = encode(["ACCTG" * 24] * 5)
    return sequenced


def pairs(tokens: np.ndarray) -> Counter:
    return Counter(zip(tokens[:-1].tolist(), tokens[1:].tolist(), strict=True))


# ---- values


@pytest.mark.parametrize("site", ["sampled", "consensus"])
def test_a_model_that_counts_sites_gives_the_cells_effects_back(counted, site):
    ctl.tl.tf_activity(counted, MOTIFS, model=Counting(), n_backgrounds=7, site=site)
    got = counted.mod["rna"].obsm["tf_activity"]
    assert isinstance(got, pd.DataFrame)
    assert list(got.columns) == NAMES
    assert got.index.equals(counted.mod["rna"].obs_names)
    assert (got.dtypes == np.float32).all()
    np.testing.assert_allclose(got, counted.mod["rna"].obsm["effects"], atol=1e-6)


def test_sites_are_planted_in_the_middle_of_shuffled_training_regions(sequenced, linear):
    atac = sequenced.mod["atac"]
    atac.var["ctl_split"] = ["train", "test", "train", "val", "train"]
    model = Recorder(linear)
    ctl.tl.tf_activity(sequenced, MOTIFS, model=model, n_backgrounds=3, site="consensus", seed=5)
    backgrounds, *planted = model.given
    length = linear.sequence_length
    trained = atac.varm["dna_code"][[0, 2, 4], 2 : 2 + length]  # the centre of the stored windows
    assert {tuple(sorted(pairs(b).items())) for b in backgrounds} == {tuple(sorted(pairs(t).items())) for t in trained}
    v = sequenced.mod["rna"].obsm["v"]
    got = sequenced.mod["rna"].obsm["tf_activity"]
    for name, text, tokens in zip(NAMES, SITES.values(), planted, strict=True):
        first = length // 2 - 3
        expected = backgrounds.copy()
        expected[:, first : first + 7] = encode(text)
        np.testing.assert_array_equal(tokens, expected)
        # the linear model, by hand: only the bases that were replaced differ
        shift = np.zeros(v.shape[1])
        for b in backgrounds:
            for at in range(first, first + 7):
                shift += linear.both[:, encode(text)[at - first], at] - linear.both[:, b[at], at]
        np.testing.assert_allclose(got[name], v @ shift / 3, atol=1e-5)


def test_sampled_sites_follow_the_motif(sequenced, linear):
    pwm = np.array([[0.7, 0.1, 0.1, 0.1], [0, 0, 0.5, 0.5], [0, 1, 0, 0]])
    model = Recorder(linear)
    ctl.tl.tf_activity(sequenced, {"x": pwm}, model=model, n_backgrounds=2000)
    sites = model.given[1][:, 9:12]
    share = (sites[:, :, None] == np.arange(4)).mean(axis=0)
    assert np.abs(share - pwm).max() < 4 * np.sqrt(0.25 / 2000)


def test_cells_are_never_read_with_sequences(sequenced, linear):
    ctl.tl.tf_activity(sequenced, MOTIFS, model=linear, n_backgrounds=6)
    assert linear.read == 6 * (1 + 2)  # the backgrounds once, and with each motif


def test_standardised_over_cells(sequenced, linear):
    ctl.tl.tf_activity(sequenced, MOTIFS, model=linear, n_backgrounds=4, seed=1)
    raw = sequenced.mod["rna"].obsm["tf_activity"].to_numpy().astype(float)
    ctl.tl.tf_activity(sequenced, MOTIFS, model=linear, n_backgrounds=4, seed=1, standardise=True)
    got = sequenced.mod["rna"].obsm["tf_activity"].to_numpy()
    np.testing.assert_allclose(got, (raw - raw.mean(axis=0)) / raw.std(axis=0), atol=1e-5)
    assert bool(sequenced.uns["ctl"]["tf_activity"]["settings"]["standardised"].iloc[0])


def test_a_factor_that_is_the_same_in_all_cells_is_zero(counted):
    counted.mod["rna"].obsm["effects"] = np.tile([1.0, 2.0], (12, 1))
    counted.mod["rna"].obsm["effects"][0, 0] = 3.0
    ctl.tl.tf_activity(counted, MOTIFS, model=Counting(), n_backgrounds=2, standardise=True)
    got = counted.mod["rna"].obsm["tf_activity"]
    assert (got["AP-1"] == 0).all()
    assert got["GATA"].std() > 0.9


def test_groups_with_their_standard_error(sequenced, linear):
    model = Recorder(linear)
    ctl.tl.tf_activity(sequenced, MOTIFS, model=model, n_backgrounds=9, groupby="cell_type", seed=2)
    table = sequenced.uns["ctl"]["tf_activity"]
    assert table["groupby"] == "cell_type"
    per_cell = sequenced.mod["rna"].obsm["tf_activity"]
    means = per_cell.groupby(sequenced.obs["cell_type"].to_numpy()).mean()
    assert list(table["mean"].index) == ["a", "b", "c"]
    np.testing.assert_allclose(table["mean"], means.loc[["a", "b", "c"]], atol=1e-5)
    v = sequenced.mod["rna"].obsm["v"][(sequenced.obs["cell_type"] == "b").to_numpy()].mean(axis=0)
    each = (linear.region_vectors(model.given[1]) - linear.region_vectors(model.given[0])) @ v
    expected = each.std(ddof=1) / 3
    assert table["standard_error"].loc["b", "GATA"] == pytest.approx(expected, rel=1e-4)
    ctl.tl.tf_activity(sequenced, MOTIFS, model=linear, n_backgrounds=1, groupby="cell_type")
    assert (sequenced.uns["ctl"]["tf_activity"]["standard_error"] == 0).all().all()


def test_seed_copy_and_key(sequenced, linear):
    before = set(sequenced.mod["rna"].obsm)
    calls = [
        ctl.tl.tf_activity(sequenced, MOTIFS, model=linear, n_backgrounds=4, seed=s, copy=True, key_added="x")
        for s in (1, 1, 2)
    ]
    one, same, other = (c.mod["rna"].obsm["x"] for c in calls)
    assert one.equals(same)
    assert not one.equals(other)
    assert set(sequenced.mod["rna"].obsm) == before
    assert "ctl" not in sequenced.uns
    settings = calls[0].uns["ctl"]["x"]["settings"].iloc[0]
    assert (settings["n_backgrounds"], settings["site"], settings["seed"]) == (4, "sampled", 1)


def test_a_motif_alone_gives_what_it_gives_among_others(sequenced, linear):
    both = {"x": np.full((3, 4), 0.25), "y": np.full((4, 4), 0.25)}
    kwargs = {"model": linear, "n_backgrounds": 4, "seed": 1, "copy": True}
    among = ctl.tl.tf_activity(sequenced, both, **kwargs).mod["rna"].obsm["tf_activity"]
    alone = ctl.tl.tf_activity(sequenced, {"y": both["y"]}, **kwargs).mod["rna"].obsm["tf_activity"]
    np.testing.assert_allclose(alone["y"], among["y"], rtol=1e-5)  # sums of float32 in other batches


def test_more_backgrounds_than_regions_and_n(sequenced, linear):
    tokens = sequenced.mod["atac"].varm["dna_code"]
    tokens[0, :] = 4
    tokens[1, 12:15] = 4  # over 5%
    model = Recorder(linear)
    ctl.tl.tf_activity(sequenced, MOTIFS, model=model, n_backgrounds=50)
    assert len(model.given[0]) == 50
    assert (model.given[0] < 4).all()
    assert len(np.unique(model.given[0], axis=0)) > 10


def test_without_motifs_those_of_the_genes_are_taken(counted):
    counted.mod["rna"].var_names = ["Ctcf", "SPI1", "ACTB"]
    ctl.tl.tf_activity(counted, model=Counting(), n_backgrounds=2)
    assert list(counted.mod["rna"].obsm["tf_activity"].columns) == ["CTCF", "SPI1"]
    counted.mod["rna"].var_names = ["a", "b", "c"]
    with pytest.raises(ChromatellError, match="None of the 3 genes .* Name motifs: motifs="):
        ctl.tl.tf_activity(counted, model=Counting())


def test_round_trip(sequenced, linear, tmp_path):
    ctl.tl.tf_activity(sequenced, MOTIFS, model=linear, n_backgrounds=3, groupby="cell_type")
    expected = sequenced.mod["rna"].obsm["tf_activity"]
    for path, write, read in (
        (tmp_path / "x.h5mu", sequenced.write, md.read_h5mu),
        (tmp_path / "x.zarr", sequenced.write_zarr, md.read_zarr),
    ):
        write(path)
        back = read(path)
        pd.testing.assert_frame_equal(back.mod["rna"].obsm["tf_activity"], expected, check_dtype=True)
        table = back.uns["ctl"]["tf_activity"]
        pd.testing.assert_frame_equal(table["mean"], sequenced.uns["ctl"]["tf_activity"]["mean"], check_dtype=False)
        assert table["groupby"] == "cell_type"


# ---- the real model


def test_with_xchrom_it_is_the_change_of_what_the_model_predicts(monkeypatch):
    import importlib

    mdata = ctl.datasets.simulate_sequence_multiome(
        None, MOTIFS, 120, n_regions=80, n_genes=20, n_types=2, width=300, region_width=200, seed=0
    )
    ctl.pp.split_cells(mdata, seed=0)
    ctl.tl.xchrom(
        mdata,
        stem_filters=8,
        sequence_length=256,
        covariate_length=256,
        warm_epochs=1,
        seed=0,
        train_kwargs={"max_epochs": 1},
    )
    model = ctl.models.load(mdata)
    recorder = Recorder(model)
    monkeypatch.setattr(
        importlib.import_module("chromatell.tl._tf_activity"), "sequence_model", lambda mdata, key, model: recorder
    )
    ctl.tl.tf_activity(mdata, MOTIFS, n_backgrounds=5, seed=0)
    backgrounds, planted = recorder.given[:2]
    assert backgrounds.shape == (5, 256)

    def logit(tokens: np.ndarray) -> np.ndarray:
        p = model.predict(mdata, regions=tokens, depth="fixed").astype(np.float64)
        return np.log(p) - np.log1p(-p)

    change = (logit(planted) - logit(backgrounds)).mean(axis=1)
    assert np.abs(change).max() > 0
    np.testing.assert_allclose(mdata.mod["rna"].obsm["tf_activity"]["GATA"], change, atol=1e-3)


# ---- bad input


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"site": "best"}, "site='best' is not known"),
        ({"n_backgrounds": 0}, "n_backgrounds=0 is out of range: a whole number from 1"),
        ({"n_backgrounds": 2.5}, "n_backgrounds=2.5 is out of range"),
        ({"key_added": "a/b"}, "key 'a/b' cannot be stored"),
        ({"key_added": "models"}, "what another tool of this package writes"),
        ({"key_added": "v"}, r"obsm\['v'\] is there already, and not from this function. Choose another key_added="),
        ({"groupby": "nowhere"}, r"Did not find mdata.obs\['nowhere'\]; columns there: 'cell_type'"),
        ({"motifs": {"long": np.full((21, 4), 0.25)}}, "'long' are longer than the 20 bases that the model reads"),
        ({"motifs": "no.meme"}, "No motif file at 'no.meme'"),
        ({"model": None}, "There is no model 'xchrom' .* Train one"),
    ],
)
def test_bad_input(sequenced, linear, arguments, match):
    before = sequenced.copy()
    with pytest.raises(ChromatellError, match=match):
        ctl.tl.tf_activity(sequenced, **{"motifs": MOTIFS, "model": linear, **arguments})
    assert list(sequenced.mod["rna"].obsm) == list(before.mod["rna"].obsm)
    assert dict(sequenced.uns) == dict(before.uns)


def test_without_sequences(sequenced, linear):
    rna = md.MuData({"rna": sequenced.mod["rna"]})
    with pytest.raises(ChromatellError, match=r"Did not find mdata.mod\['atac'\].varm\['dna_code'\]. Run ctl.pp.add"):
        ctl.tl.tf_activity(rna, MOTIFS, model=linear)
    sequenced.mod["atac"].varm["dna_code"][:] = 4
    with pytest.raises(ChromatellError, match="No training region has a sequence with under 5% N"):
        ctl.tl.tf_activity(sequenced, MOTIFS, model=linear)


def test_consensus_of_the_motifs():
    assert {n: decode(consensus(p)) for n, p in read_motifs(MOTIFS).items()} == {
        "GATA": "AGATAAG",
        "AP-1": "TGACTCA",
    }


def test_motifs_are_of_the_release_that_is_named(counted):
    def inserted(motifs, **options):
        model = Recorder(Counting())
        ctl.tl.tf_activity(counted, motifs, model=model, n_backgrounds=3, site="consensus", seed=0, **options)
        return np.concatenate(model.given)

    old, new = (read_motifs("SPI1", release=release) for release in ("2018", "2024"))
    by_release = inserted("SPI1", release="2018")
    np.testing.assert_array_equal(by_release, inserted(old))
    assert not np.array_equal(by_release, inserted(new))
    with pytest.raises(ChromatellError, match="release='1999' of JASPAR is not there"):
        inserted("SPI1", release="1999")
