"""``tl.attribute`` against a linear model, known by hand, and towers, whose contributions must add up."""

from __future__ import annotations

import mudata as md
import numpy as np
import pytest
import torch

import chromatell as ctl
from chromatell import ChromatellError
from chromatell._validate import ChromatellWarning
from chromatell.nn.sequence_tower import QuickGELU, TowerConfig, one_hot, sequence_tower
from chromatell.tl import _attribute as module
from chromatell.tl._attribute import attribute

NAMES = ["chr2:60-80", "chr1:100-131"]


def weights(model, mdata, labels: str | None = "cell_type") -> dict[str, np.ndarray]:
    """(4, LENGTH) of each group: what each base in each place adds to the log-odds."""
    v = mdata.mod["rna"].obsm["v"].astype(np.float32)
    if labels is None:
        return {"all": np.einsum("kbl,k->bl", model.both, v.mean(axis=0))}
    types = mdata.obs[labels].astype(object).to_numpy()
    return {g: np.einsum("kbl,k->bl", model.both, v[types == g].mean(axis=0)) for g in "abc"}


class TowerModel:
    """A convolutional tower in the place of the linear one."""

    family, sequence_length = "tower", 20

    def __init__(self, kind="basset", activation=QuickGELU, pool="max"):
        torch.manual_seed(0)
        sizes = {"stem_filters": 8, "stem_kernel": 5, "stem_pool": 2, "filters": (8,), "kernel": 3, "last_filters": 4}
        tower = sequence_tower(
            TowerConfig(kind=kind, sequence_length=20, pool=pool, n_bottleneck=5, hidden_filters=6, **sizes)
        )
        if kind == "motifs":  # it starts near zero
            tower.last.weight.data.mul_(10)
            tower.straight.weight.data.normal_()
        for layer in tower.modules():
            if isinstance(layer, torch.nn.BatchNorm1d):
                layer.running_var.fill_(0.05)
                layer.running_mean.normal_(0, 0.1)
        for parent in list(tower.modules()):
            for name, child in parent.named_children():
                if isinstance(child, QuickGELU):
                    setattr(parent, name, activation())
        self.tower = tower.eval()

    def sequence_module(self):
        tower = self.tower

        class Both(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.tower = tower

            def forward(self, x):
                return (self.tower(x) + self.tower(x.flip((1, 2)))) / 2

        return Both().eval()

    def region_vectors(self, tokens):
        with torch.no_grad():
            return self.sequence_module()(one_hot(torch.from_numpy(tokens.copy()))).numpy()

    def cell_vectors(self, data, *, depth):
        return data.mod["rna"].obsm["v"].astype(np.float32)


def test_contributions_to_a_linear_model_are_known(sequenced, linear):
    assert attribute(sequenced, NAMES, model=linear, seed=1) is None
    found = sequenced.uns["ctl"]["attribution"]
    assert found["effect"].shape == (2, 3, 4, 20)
    assert found["effect"].dtype == np.float32
    assert found["method"] == "deep_lift_shap"
    assert found["regions"].tolist() == NAMES
    assert found["start"].tolist() == [60, 105]
    for g, weight in enumerate(weights(linear, sequenced).values()):
        for r in range(2):
            # each base's weight, less the mean weight of the shuffled copies, which is the same for all four
            offset = weight - found["effect"][r, g]
            np.testing.assert_allclose(offset, np.broadcast_to(offset[:1], (4, 20)), atol=1e-5)
            tokens = found["tokens"][r]
            for end in (0, 19):  # shuffles keep the first and the last base
                np.testing.assert_allclose(offset[0, end], weight[tokens[end], end], atol=1e-5)
    np.testing.assert_allclose(found["delta"], 0, atol=1e-4)


def shuffles(tokens: np.ndarray, n: int, seed: int) -> np.ndarray:
    """The shuffled copies of each sequence as tokens, (n sequences, n, length)."""
    from tangermeme.ersatz import dinucleotide_shuffle

    seeds = [int(s) for s in np.random.SeedSequence(seed).generate_state(len(tokens)) >> 1]
    own = one_hot(torch.from_numpy(tokens.copy()))
    return dinucleotide_shuffle(own, n=n, random_state=seeds).argmax(dim=2).numpy().astype(np.int8)


def test_each_contribution_is_beside_the_mean_of_the_shuffles(sequenced, linear):
    attribute(sequenced, NAMES, model=linear, groupby=None, n_shuffles=7, seed=5)
    found = sequenced.uns["ctl"]["attribution"]
    weight = weights(linear, sequenced, None)["all"]
    for r, copies in enumerate(shuffles(found["tokens"], 7, 5)):
        expected = weight - weight[copies, np.arange(20)].mean(axis=0)
        np.testing.assert_allclose(found["effect"][r, 0], expected, atol=1e-5)


def test_more_groups_than_the_vectors_are_long(sequenced, linear):
    sequenced.obs["each"] = [f"g{i:02d}" for i in range(12)]  # 12 groups, vectors of 5
    attribute(sequenced, NAMES, model=linear, groupby="each", seed=2)
    many = sequenced.uns["ctl"]["attribution"]
    assert many["groups"].tolist() == sequenced.obs["each"].tolist()
    for i in (0, 11):
        attribute(sequenced, NAMES, model=linear, groupby=None, cells=[f"cell{i}"], seed=2)
        one = sequenced.uns["ctl"]["attribution"]
        np.testing.assert_allclose(many["effect"][:, i], one["effect"][:, 0], atol=1e-5)
        np.testing.assert_allclose(many["delta"][:, i], one["delta"][:, 0], atol=1e-4)


@pytest.mark.parametrize(("kind", "pool"), [("basset", "max"), ("basset", "mean"), ("motifs", "max")])
def test_contributions_to_a_tower_add_up(sequenced, kind, pool):
    model = TowerModel(kind, pool=pool)
    attribute(sequenced, NAMES, model=model, n_shuffles=10, seed=0)
    found = sequenced.uns["ctl"]["attribution"]
    v = sequenced.mod["rna"].obsm["v"].astype(np.float32)
    types = sequenced.obs["cell_type"].astype(object).to_numpy()
    vectors = np.stack([v[types == g].mean(axis=0) for g in "abc"])
    own = model.region_vectors(found["tokens"]) @ vectors.T
    copies = shuffles(found["tokens"], 10, 0)
    theirs = model.region_vectors(copies.reshape(-1, 20)).reshape(2, 10, -1).mean(axis=1) @ vectors.T
    sums = np.take_along_axis(found["effect"], found["tokens"][:, None, None].astype(int), axis=2).sum(axis=(2, 3))
    scale = np.abs(own - theirs).max()
    assert scale > 0.1
    np.testing.assert_allclose(sums, own - theirs, atol=1e-4 * scale)
    np.testing.assert_allclose(found["delta"], 0, atol=1e-4 * scale)


class Odd(torch.nn.Module):
    """An activation that no rule knows."""

    def forward(self, x):
        return torch.relu(x) ** 2


def test_a_layer_without_a_rule_is_warned_of(sequenced):
    with pytest.warns(ChromatellWarning, match=r"miss [\d.]+% of the differences.*no rule for.*ctl.tl.ism"):
        attribute(sequenced, NAMES, model=TowerModel(activation=Odd), n_shuffles=4)
    assert np.abs(sequenced.uns["ctl"]["attribution"]["delta"]).max() > 1e-3


def test_gradients(sequenced, linear):
    attribute(sequenced, NAMES, model=linear, method="input_x_gradient", window=6, key_added="gradient")
    found = sequenced.uns["ctl"]["gradient"]
    assert found["method"] == "input_x_gradient"
    assert "delta" not in found
    assert found["effect"].shape == (2, 3, 4, 6)
    for g, weight in enumerate(weights(linear, sequenced).values()):
        expected = (weight - weight.mean(axis=0))[:, 7:13]
        np.testing.assert_allclose(found["effect"][:, g], [expected] * 2, atol=1e-5)


def test_batches_chunks_and_seeds(sequenced, monkeypatch):
    names, model = list(sequenced.mod["atac"].var_names), TowerModel()

    def run(**call):
        return ctl.tl.attribute(sequenced, names, model=model, copy=True, **call).uns["ctl"]["attribution"]["effect"]

    expected = run(n_shuffles=5, seed=3)
    for batch_size in (1, 4, 100):
        np.testing.assert_allclose(run(n_shuffles=5, seed=3, batch_size=batch_size), expected, atol=1e-5)
    monkeypatch.setattr(module, "_REGIONS", 2)
    np.testing.assert_allclose(run(n_shuffles=5, seed=3), expected, atol=1e-5)
    assert np.abs(run(n_shuffles=5, seed=4) - expected).max() > 1e-3
    monkeypatch.setattr(ctl.settings, "seed", 3)
    np.testing.assert_allclose(run(n_shuffles=5), expected, atol=1e-5)
    assert "ctl" not in sequenced.uns


def test_an_unknown_base(sequenced, linear):
    sequenced.mod["atac"].varm["dna_code"][0, 9:11] = 4
    attribute(sequenced, ["chr1:100-131", "chr2:60-80"], model=linear, groupby=None, seed=0)
    found = sequenced.uns["ctl"]["attribution"]
    assert np.isnan(found["delta"][0, 0])
    assert abs(found["delta"][1, 0]) < 1e-4
    offset = weights(linear, sequenced, None)["all"] - found["effect"][0, 0]
    np.testing.assert_allclose(offset, np.broadcast_to(offset[:1], (4, 20)), atol=1e-5)


@pytest.mark.parametrize("suffix", [".h5mu", ".zarr"])
def test_survives_in_files(sequenced, linear, tmp_path, suffix):
    attribute(sequenced, NAMES, model=linear, n_shuffles=2)
    path = tmp_path / f"x{suffix}"
    sequenced.write(path) if suffix == ".h5mu" else sequenced.write_zarr(path)
    again = md.read_h5mu(path) if suffix == ".h5mu" else md.read_zarr(path)
    found, expected = again.uns["ctl"]["attribution"], sequenced.uns["ctl"]["attribution"]
    assert set(found) == set(expected)
    for name in ("effect", "tokens", "start", "regions", "groups", "delta"):
        np.testing.assert_array_equal(found[name], expected[name])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"method": "gradient"}, "method='gradient' is not known; choose one of \\['deep_lift_shap'"),
        ({"n_shuffles": 0}, "n_shuffles=0 is out of range: a whole number from 1"),
        ({"batch_size": 0}, "batch_size=0 is out of range: a whole number from 1"),
        ({"model": None}, "no model 'xchrom'"),
        ({"groupby": "kind"}, "Did not find mdata.obs\\['kind'\\]"),
        ({"window": 0}, "window=0"),
        ({"key_added": "links"}, "key_added='links'"),
    ],
)
def test_bad_input_changes_nothing(sequenced, linear, call, message):
    with pytest.raises(ChromatellError, match=message):
        attribute(sequenced, NAMES, **{"model": linear, **call})
    assert "ctl" not in sequenced.uns
