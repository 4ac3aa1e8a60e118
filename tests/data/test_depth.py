"""The depth of a cell from its expression: ridge, its penalty, and what noise and other cells do to it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from tests.helpers import depth_weights

from chromatell import ChromatellError
from chromatell.data.depth import NOISE, DepthModel, choose_strength


@pytest.fixture
def smoothed(rng):
    """Thirty genes of which the last components have almost no spread, but hold some depth, as smoothing leaves it."""
    sd = np.geomspace(3, 1e-3, 30)
    rotation = np.linalg.qr(rng.normal(size=(30, 30)))[0]
    scores = rng.normal(size=(2000, 30)) * sd
    library = rng.normal(size=2000)
    depth = np.exp(5 + 0.3 * scores[:, 0] / sd[0] + 0.2 * (scores[:, 20:] / sd[20:]).sum(axis=1) / 3 + 0.3 * library)
    return scores, library, rotation, depth * rng.lognormal(sigma=0.3, size=2000)


def test_it_is_the_mean_of_ridge_on_the_log_and_of_a_poisson_regression(smoothed):
    """Both on the genes, with a hundredth of the penalty on each size; the oracles are scikit-learn's."""
    scores, library, rotation, depth = smoothed
    model = DepthModel.fit(scores, library, depth, components=rotation)
    log_depth = np.log1p(depth)
    target = (log_depth - log_depth.mean()) / log_depth.std()
    design = np.column_stack([scores, 10 * library])
    weights = depth_weights(design, depth, choose_strength(design, target))
    expected = (design - design.mean(axis=0)) @ weights
    got = model.predict(scores @ rotation.T, library)
    np.testing.assert_allclose(got, np.clip(expected, target.min(), target.max()), atol=1e-4)
    np.testing.assert_allclose(model.standardise(depth), target, atol=1e-5)


def test_the_number_of_detected_genes_is_a_second_size(smoothed, rng):
    scores, library, rotation, depth = smoothed
    detected = 0.8 * library + 0.6 * rng.normal(size=2000)
    depth = depth * np.exp(0.5 * detected)
    sizes = np.column_stack([library, detected])
    model = DepthModel.fit(scores, sizes, depth, components=rotation)
    log_depth = np.log1p(depth)
    target = (log_depth - log_depth.mean()) / log_depth.std()
    design = np.column_stack([scores, 10 * sizes])
    weights = depth_weights(design, depth, choose_strength(design, target, 2))
    expected = (design - design.mean(axis=0)) @ weights
    got = model.predict(scores @ rotation.T, sizes)
    np.testing.assert_allclose(got, np.clip(expected, target.min(), target.max()), atol=1e-4)
    without = DepthModel.fit(scores, library, depth, components=rotation).predict(scores @ rotation.T, sizes)
    assert np.corrcoef(got, target)[0, 1] > np.corrcoef(without, target)[0, 1] + 0.05
    constant = DepthModel.fit(scores, np.column_stack([library, np.zeros(2000)]), depth, components=rotation)
    np.testing.assert_allclose(constant.predict(scores @ rotation.T, sizes * [1, 0]), without, atol=1e-5)


def test_cells_of_hardly_any_fragments_do_not_decide(rng):
    """A tenth of the cells has lost nearly all fragments: the depth of the others is told better than by their logs."""
    scores, library = rng.normal(size=(300, 20)), np.zeros(300)
    depth = 3000 * np.exp(0.4 * scores[:, 0])
    depth = rng.poisson(np.where(rng.random(300) < 0.1, 0.003, 1) * depth)
    new = rng.normal(size=(500, 20))
    model = DepthModel.fit(scores, library, depth)
    target = model.standardise(depth)
    logs = Ridge(alpha=300 * choose_strength(scores, target) ** 2).fit(scores, target)

    def r(p):
        return np.corrcoef(np.exp(p * model.sd), np.exp(0.4 * new[:, 0]))[0, 1]

    assert r(model.predict(new, np.zeros(500))) > r(logs.predict(new)) + 0.05


def test_standardised_scores_are_penalised_as_the_genes_behind_them(smoothed):
    scores, library, _, depth = smoothed
    plain = DepthModel.fit(scores, library, depth)
    sd = scores.std(axis=0)
    scaled = DepthModel.fit((scores - 0.5) / sd, library, depth, spread=sd)
    np.testing.assert_allclose(scaled.predict((scores - 0.5) / sd, library), plain.predict(scores, library), atol=1e-4)


def test_a_little_noise_costs_little(smoothed, rng):
    """5% of each gene's sd: an unpenalised fit is thrown off by more than depth varies."""
    scores, library, rotation, depth = smoothed
    z = scores @ rotation.T
    noisy = z + NOISE * rng.normal(size=z.shape)
    model = DepthModel.fit(scores, library, depth, components=rotation)
    moved = np.sqrt(np.mean((model.predict(noisy, library) - model.predict(z, library)) ** 2))
    free = Ridge(alpha=1e-6).fit(np.column_stack([z, library]), model.standardise(depth))
    thrown = free.predict(np.column_stack([noisy, library])) - free.predict(np.column_stack([z, library]))
    assert np.sqrt(np.mean(thrown**2)) > 1
    assert moved < 0.15
    assert np.corrcoef(model.predict(z, library), model.standardise(depth))[0, 1] > 0.7


def test_the_penalty_is_the_best_of_those_tried_in_held_out_cells(rng):
    """Few cells and many scores of nothing want a strong one; many cells and a clear slope a weak one."""
    x = rng.normal(size=(60, 41))
    assert choose_strength(x, rng.normal(size=60)) >= 1
    x = rng.normal(size=(3000, 4))
    assert choose_strength(x, x[:, 0] + 0.1 * rng.normal(size=3000)) <= 0.1
    assert choose_strength(x[:6], x[:6, 0]) == 2  # too few to choose by


def test_a_prediction_stays_within_the_training_cells(smoothed):
    scores, library, _, depth = smoothed
    model = DepthModel.fit(scores, library, depth)
    seen = model.standardise(depth)
    far = model.predict(np.array([100.0, -100.0])[:, None] * np.sign(model.of_genes), np.zeros(2))
    np.testing.assert_allclose(far, [seen.max(), seen.min()], rtol=1e-5)


def test_records_of_both_schemas(smoothed):
    scores, library, _, depth = smoothed
    model = DepthModel.fit(scores, library, depth)
    again = DepthModel.from_arrays(30, model.arrays())
    np.testing.assert_array_equal(again.predict(scores, library), model.predict(scores, library))
    old = {k: v for k, v in model.arrays().items() if k != "scaling.depth_range"}
    np.testing.assert_array_equal(
        DepthModel.from_arrays(30, old).predict(scores[:9] / 9, library[:9]), model.predict(scores[:9] / 9, library[:9])
    )
    assert DepthModel.from_arrays(30, old).arrays().keys() == old.keys()


def test_a_record_without_detected_genes_reads_the_library_alone(smoothed, rng):
    """It reads the first of the sizes given now, and is written again as it was; one with them comes back too."""
    scores, library, _, depth = smoothed
    sizes = np.column_stack([library, rng.normal(size=2000)])
    arrays = DepthModel.fit(scores, library, depth).arrays()
    assert "scaling.depth_sizes" not in arrays
    old = DepthModel.from_arrays(30, arrays)
    assert old.n_sizes == 1
    np.testing.assert_array_equal(old.predict(scores, sizes), old.predict(scores, library))
    assert old.arrays()["scaling.depth_coef"].shape == (31,)
    new = DepthModel.fit(scores, sizes, depth)
    again = DepthModel.from_arrays(30, new.arrays())
    assert again.n_sizes == 2
    np.testing.assert_array_equal(again.predict(scores, sizes), new.predict(scores, sizes))
    assert np.abs(new.predict(scores, sizes) - new.predict(scores, sizes[::-1])).max() > 1e-3
    for name, value in (("coef", np.zeros(31)), ("coef", np.zeros(33)), ("sizes", np.array([3.0]))):
        bad = {**new.arrays(), f"scaling.depth_{name}": value}
        with pytest.raises(ChromatellError, match=r"scaling\.depth_.*Ask for the file again"):
            DepthModel.from_arrays(30, bad)


def test_a_record_that_reads_more_sizes_than_there_are(smoothed, rng):
    """As a stranger's file may, whose expression is called another kind."""
    scores, library, _, depth = smoothed
    model = DepthModel.fit(scores, np.column_stack([library, rng.normal(size=2000)]), depth)
    with pytest.raises(ChromatellError, match="depth model reads 2 sizes of a cell, and the stored expression gives 1"):
        model.predict(scores, library)
