"""What people give by mistake is answered in a sentence with what is needed, and what is unusual but right works."""

from __future__ import annotations

from dataclasses import fields

import h5py
import mudata as md
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

import chromatell as ctl
from chromatell import ChromatellError
from chromatell.models.baselines.parts import RidgePath

QUICK = {"train_kwargs": {"max_epochs": 1}, "seed": 0, "n_hidden": 4}


@pytest.fixture(scope="module")
def cells():
    mdata = ctl.datasets.simulate_multiome(120, 20, 30, n_types=2, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    return mdata


@pytest.fixture(scope="module")
def trained(cells):
    mdata = cells.copy()
    ctl.tl.dense(mdata, **QUICK)
    return mdata


@pytest.fixture
def tracks():
    values = np.zeros((1, 400))
    values[0, 40:50] = 3
    return ctl.data.BinnedTracks({"chr1": values}, ["mark"], chrom_sizes={"chr1": 20_000})


def test_one_region_is_regressed_as_by_ridge(rng):
    x = np.column_stack([rng.normal(size=(60, 3)), np.ones(60)])
    y = (rng.random((60, 1)) < 0.4).astype(np.float32)
    found = RidgePath(x, y, rank=5).at(2.0, 3, 5).change(x)
    expected = Ridge(alpha=2.0).fit(x[:, :3], y).predict(x[:, :3]).reshape(-1, 1) - y.mean()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_model_of_one_region(cells):
    mdata = md.MuData({"rna": cells.mod["rna"].copy(), "atac": cells.mod["atac"][:, :1].copy()})
    mdata.obs["ctl_split"] = cells.obs["ctl_split"]
    ctl.tl.dense(mdata, **QUICK)
    p = mdata.mod["atac_pred"].X
    assert p.shape == (120, 1)
    assert ((p > 0) & (p < 1)).all()
    ctl.tl.evaluate(mdata, baselines=["svd_ridge", "knn"], n_bootstrap=0)
    assert set(mdata.uns["ctl"]["evaluation"]["model"]) >= {"dense", "svd_ridge", "knn"}


@pytest.mark.parametrize(
    ("beside", "message"),
    [
        ([], "calibrate_on= is an empty list"),
        (5, "BinnedTracks"),
        (md.MuData({}), "BinnedTracks"),
    ],
)
def test_calibrate_on_what_holds_no_tracks(tracks, beside, message):
    sites = pd.DataFrame({"chrom": "chr1", "start": [2000], "end": [2500]})
    with pytest.raises(ChromatellError, match=message):
        ctl.tl.call_regions(tracks, "mark", calibrate=sites, calibrate_on=beside)


@pytest.mark.parametrize("regions", [5, [("chr1", 100, 600)], [b"chr1:100-600"]])
def test_regions_that_are_no_names(trained, regions):
    with pytest.raises(ChromatellError, match=r"^regions=.* holds no names\. Needed: names such as 'chr1:100-600'"):
        ctl.tl.predict(trained.mod["rna"], model=trained, regions=regions)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: ctl.tl.call_regions(t, "mark", threshold=1, regions=[]), "names no chromosome; there: 'chr1'"),
        (lambda t: ctl.tl.call_regions(t, "mark", calibrate=5), "calibrate is of type int; needed: a BED"),
        (lambda t: ctl.genome.Genome(5), "fasta=5 is of type int; the path of a FASTA is needed"),
        (lambda t: setattr(ctl.settings, "verbosity", "x"), "verbosity is 'x'"),
    ],
)
def test_values_of_another_type(tracks, call, message):
    with pytest.raises(ChromatellError, match=message):
        call(tracks)


def test_a_number_of_devices_that_is_none(cells):
    with pytest.raises(ChromatellError, match=r"devices='x'.* should be an int > 0\. Take devices=1\.$"):
        ctl.tl.dense(cells.copy(), train_kwargs={"devices": "x", "max_epochs": 1}, seed=0)


def test_a_count_below_zero_in_a_query(trained):
    rna = trained.mod["rna"].copy()
    rna.layers["umi"] = rna.X.copy()
    rna.X[0, 0] = -1
    with pytest.raises(ChromatellError, match=r"holds 1 negative values\. rna\.X = rna\.layers\['umi'\]\.copy\(\)\."):
        ctl.tl.predict(rna, model=trained)


def test_genes_that_raw_holds(trained):
    whole = trained.mod["rna"]
    rna = whole[:, :4].copy()
    rna.raw = whole.copy()
    with pytest.raises(ChromatellError, match=r"4 of the model's 20 genes.*rna\.raw holds 20 of them: rna = rna\.raw"):
        ctl.tl.predict(rna, model=trained)
    found = ctl.tl.predict(rna.raw.to_adata(), model=trained)
    np.testing.assert_array_equal(found.mod["atac_pred"].X, ctl.tl.predict(whole, model=trained).mod["atac_pred"].X)


def test_predictions_are_not_taken_for_what_was_measured(trained):
    predicted = ctl.tl.predict(trained.mod["rna"], model=trained)
    with pytest.raises(ChromatellError, match="'atac_pred' is what was predicted, and measured ATAC .* is needed") as e:
        ctl.tl.evaluate(predicted)
    assert "did you mean" not in str(e.value)


def test_what_scvi_tools_gathers_in_a_keyword(cells):
    with pytest.raises(ChromatellError, match=r"keywords of the call itself, such as n_hidden=64\.$"):
        ctl.tl.dense(cells.copy(), model_kwargs={"n_latent": 4})


@pytest.mark.parametrize("option", ["shared_head", "depth_term"])
def test_a_switch_of_dense_given_as_text(cells, option):
    with pytest.raises(ChromatellError, match=rf"^{option}='False': True or False is needed\.$"):
        ctl.tl.dense(cells.copy(), **{option: "False"})


def test_switches_and_numbers_of_every_network():
    """Each field that is a switch refuses text, and NumPy's values become Python's own, of which a record is made."""
    from chromatell.models._train_config import TrainConfig
    from chromatell.models.dense._module import DenseConfig
    from chromatell.models.nascent._config import NascentConfig
    from chromatell.models.xchrom._module import XChromConfig
    from chromatell.nn.sequence_tower import TowerConfig

    seen = []
    for config in (DenseConfig, XChromConfig, TowerConfig, NascentConfig, TrainConfig):
        for field in fields(config):
            if field.type == "bool":
                seen.append(field.name)
                with pytest.raises(ChromatellError, match=rf"^{field.name}='True': True or False is needed"):
                    config(**{field.name: "True"})
                before = getattr(config(), field.name)
                assert getattr(config(**{field.name: np.bool_(before)}), field.name) is before
    assert {"shared_head", "freeze_cells", "reverse_complement", "smooth", "early_stopping"} <= set(seen)
    assert type(TrainConfig(patience=np.int64(5)).patience) is int


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        ("g.fa", "ctl.pp.add_sequence("),
        ("fragments.tsv.gz", "ctl.pp.bin_genome("),
        ("plus.bw", "ctl.pp.bin_tracks("),
        ("snps.vcf.gz", "ctl.tl.variant_effect("),
    ],
)
def test_a_file_that_another_call_reads(cells, tmp_path, name, reader):
    path = tmp_path / name
    path.write_text("chr1\t1\t2\n")
    for call in (lambda: ctl.io.read(path), lambda: ctl.tl.predict(cells.mod["rna"], str(path))):
        with pytest.raises(ChromatellError, match="is no .h5ad, .h5mu, .zarr or exported model") as error:
            call()
        assert reader in str(error.value)


def test_a_matrix_of_cell_ranger_is_read_elsewhere(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.create_group("matrix")
    with pytest.raises(ChromatellError, match=r"ctl\.datasets\.multiome_10x\("):
        ctl.io.read(tmp_path / "m.h5")


def test_dna_is_added_before_training(cells):
    with pytest.raises(ChromatellError, match=r"ctl\.tl\.xchrom\(mdata\), after ctl\.pp\.add_sequence\(mdata, 'genome"):
        ctl.tl.dense(cells.copy(), fasta="genome.fa")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (5, "The query is 5, of type int"),
        ([], "The query names no region"),
        (["chr1:600-100"], "1 of 1 regions of the query end where they start, or before it"),
        (["peak_1"], "1 of 1 regions of the query have no coordinates"),
    ],
)
def test_regions_that_match_nothing(query, message):
    with pytest.raises(ChromatellError, match=f"{message}.* Needed: names like 'chr1:100-600'"):
        ctl.pp.match_regions(query, ["chr1:100-600"])


def test_a_file_that_is_cut_short_is_no_other_file(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["matrix"] = np.arange(20_000)
    whole = (tmp_path / "m.h5").read_bytes()
    (tmp_path / "m.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ChromatellError, match="It is cut short, damaged or of another format"):
        ctl.io.read(tmp_path / "m.h5")
