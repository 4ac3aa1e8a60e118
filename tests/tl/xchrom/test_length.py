"""``tl.xchrom(length=...)`` over 1,344 bases: each verb reads such windows to their ends, with a stored model too."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.tl.xchrom.made import QUICK

import chromatell as ctl
from chromatell import ChromatellError

WIDTH, LENGTH = 2000, 1960
FAR = 60  # a base of the window that the tower reads and that no window of 1,344 holds


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    fasta = tmp_path_factory.mktemp("long") / "made_up.fa"
    mdata = ctl.datasets.simulate_sequence_multiome(
        n_cells=60, n_regions=50, n_genes=20, n_types=2, n_tfs=2, width=WIDTH, reach=WIDTH, fasta_out=fasta, seed=0
    )
    ctl.pp.split_cells(mdata, seed=0)
    ctl.pp.split_regions(mdata, by="random", seed=0)
    assert (mdata["atac"].var["ctl_split"] == "val").sum() < 8  # none to judge by: all of the tower stays
    options = {k: v for k, v in QUICK.items() if k != "sequence_length"}
    ctl.tl.xchrom(mdata, length=LENGTH, region_effect=False, stack=False, **options)
    return mdata, fasta


@pytest.fixture(scope="module")
def reloaded(done, tmp_path_factory):
    path = tmp_path_factory.mktemp("stored") / "long.h5mu"
    done[0].write(path)
    return ctl.models.load(path)


@pytest.fixture(scope="module")
def changed(done, reloaded):
    """A region, the base at `FAR`, another one, and what the change does to the log-odds in each type."""
    mdata = done[0]
    tokens = np.asarray(mdata["atac"].varm["dna_code"])[[0]]
    alt = tokens.copy()
    alt[0, FAR] = (tokens[0, FAR] + 1) % 4
    w = reloaded.region_vectors(alt) - reloaded.region_vectors(tokens)
    cells = reloaded.cell_vectors(mdata, depth="fixed")
    means = pd.DataFrame(cells).groupby(mdata.obs["cell_type"].to_numpy(), observed=True).mean().to_numpy()
    effect = means @ w[0]
    assert np.abs(effect).min() > 1e-6
    return int(tokens[0, FAR]), int(alt[0, FAR]), effect


def test_the_length_is_in_the_record_and_shorter_windows_are_refused(done, reloaded):
    mdata, _ = done
    assert reloaded.sequence_length == reloaded.network.tower.sequence_length == LENGTH
    assert reloaded.config["network"]["tower"]["sequence_length"] == LENGTH
    tokens = np.asarray(mdata["atac"].varm["dna_code"])
    np.testing.assert_allclose(reloaded.predict(mdata, regions=tokens), mdata["atac_pred"].X, atol=1e-6)
    with pytest.raises(ChromatellError, match=f"1344 bases long; the model reads {LENGTH}.*width={LENGTH}"):
        reloaded.predict(mdata, regions=tokens[:, 300:1644])
    short = mdata.copy()
    short["atac"].varm["dna_code"] = tokens[:, 328:1672]
    with pytest.raises(ChromatellError, match=f"1344 bases long; the model reads {LENGTH}.*width={LENGTH}"):
        ctl.tl.xchrom(short, length=LENGTH)


def test_new_regions_take_as_long_a_window_from_the_genome(done, reloaded):
    mdata, fasta = done
    beside = mdata["atac"].var[["chrom", "start", "end"]].iloc[3:6]
    beside = beside.assign(start=beside["start"] + 7, end=beside["end"] + 7)
    tokens, _ = ctl.genome.Genome(fasta).windows(beside, LENGTH)
    want = reloaded.predict(mdata, regions=tokens)
    np.testing.assert_allclose(reloaded.predict(mdata, regions=beside, fasta=fasta), want, atol=1e-6)


def test_ism_changes_bases_up_to_the_ends(done, changed):
    mdata, (ref, alt, effect) = done[0].copy(), changed
    ctl.tl.ism(mdata, [mdata["atac"].var_names[0]], window=None)
    found = mdata.uns["ctl"]["ism"]
    assert found["effect"].shape == (1, 2, 4, LENGTH)
    at = FAR - (WIDTH - LENGTH) // 2
    assert found["tokens"][0, at] == ref
    np.testing.assert_allclose(found["effect"][0, :, alt, at], effect, atol=1e-5)


def test_attribution_reaches_up_to_the_ends(done):
    mdata = done[0].copy()
    ctl.tl.attribute(mdata, [mdata["atac"].var_names[0]], method="input_x_gradient")
    effect = mdata.uns["ctl"]["attribution"]["effect"]
    assert effect.shape == (1, 2, 4, LENGTH)
    outside = np.abs(effect[..., : (LENGTH - 1344) // 2])
    assert (outside.sum(axis=(0, 1, 2)) > 0).mean() > 0.5


def test_variants_far_from_the_middle_are_scored(done, changed):
    mdata, (ref, alt, effect) = done[0].copy(), changed
    region = mdata["atac"].var.iloc[0]
    pos = (int(region["start"]) + int(region["end"])) // 2 - WIDTH // 2 + FAR + 1
    table = pd.DataFrame({"chrom": [region["chrom"]], "pos": [pos], "ref": ["ACGT"[ref]], "alt": ["ACGT"[alt]]})
    ctl.tl.variant_effect(mdata, table, n_null=0)
    found = mdata.uns["ctl"]["variant_effect"]
    np.testing.assert_allclose(found["effect"], effect, atol=1e-5)
