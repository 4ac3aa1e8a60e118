"""XChrom as a record: it predicts the same, nothing is pickled, and what was altered is refused."""

from __future__ import annotations

import copy
import gc
import weakref

import numpy as np
import pytest

import chromatell as ctl
from chromatell import ChromatellError
from chromatell.data.sequences import RegionCells

XChrom = ctl.models.XChrom
WIDTH, LENGTH = 150, 140  # of the windows, and of what the tower reads


@pytest.mark.parametrize("setup", [{}, {"embedding": "X_own"}, {"embedding": "X_pca"}], ids=["pcs", "given", "scanpy"])
def test_record_predicts_the_same(fit, small, setup, tmp_path):
    import scanpy as sc

    mdata = small.copy()
    if setup:
        sc.pp.log1p(mdata["rna"])
        sc.pp.pca(mdata["rna"], n_comps=5)
        mdata["rna"].obsm["X_own"] = mdata["rna"].obsm["X_pca"][:, :4] * 3
    model = fit(mdata, region_effect=True, setup=setup)
    want = model.predict(mdata)
    again = ctl.models.load(model.to_record())
    np.testing.assert_allclose(again.predict(mdata["rna"]), want, atol=1e-6)
    np.testing.assert_array_equal(again.stored_vectors(), model.stored_vectors())
    np.testing.assert_array_equal(again.fitted.seen, model.fitted.seen)
    assert again.content_hash == model.content_hash
    assert again.history == model.history
    assert again.var_names == model.var_names
    assert len(model.var_names["rna"]) == {"X_own": 0}.get(setup.get("embedding"), 40)
    model.save(tmp_path / "model")
    assert {p.suffix for p in (tmp_path / "model").iterdir()} <= {".safetensors", ".json"}
    again = XChrom.load(tmp_path / "model")
    np.testing.assert_allclose(again.predict(mdata["rna"]), want, atol=1e-6)
    with pytest.raises(ChromatellError, match="exists"):
        model.save(tmp_path / "model")
    with pytest.raises(ChromatellError, match="was loaded and has no data to train on"):
        again.train()


def changed(record, config=None, arrays=None, **parts):
    kept = {"family": record.family, "schema": record.schema, "var_names": record.var_names} | parts
    return ctl.io.Record(config=config or record.config, arrays=arrays or record.arrays, **kept)


def test_arrays_that_do_not_fit_are_refused(trained):
    """Each array in turn: absent, of another shape, of another type, not finite."""
    record = trained.to_record()
    ctl.models.load(changed(record))
    for name, value in record.arrays.items():
        if name.startswith("history."):
            continue
        crafted = {
            "absent": {k: v for k, v in record.arrays.items() if k != name},
            "shape": {**record.arrays, name: np.zeros((1, 2, 3), value.dtype)},
            "type": {**record.arrays, name: np.zeros(value.shape, np.int32)},
        }
        if value.dtype.kind == "f":
            crafted["nan"] = {**record.arrays, name: value * np.nan}
            crafted["infinite"] = {**record.arrays, name: np.full_like(value, np.inf)}
        if name == "regions.tuned":  # which an older record does not hold
            del crafted["absent"]
        for what, arrays in crafted.items():
            with pytest.raises(ChromatellError):
                pytest.fail(f"{name} {what}: {ctl.models.load(changed(record, arrays=arrays))}")
    more = {**record.arrays, "weights.more": np.zeros(3, np.float32)}
    with pytest.raises(ChromatellError, match="does not fit its own description"):
        ctl.models.load(changed(record, arrays=more))


def leaves(value, path=()):
    """Yield the place of every value in nested dicts."""
    for key, inner in value.items():
        yield (*path, key)
        if isinstance(inner, dict):
            yield from leaves(inner, (*path, key))


def with_leaf(config, path, value):
    config = copy.deepcopy(config)
    inner = config
    for key in path[:-1]:
        inner = inner[key]
    if value is KeyError:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return config


def test_a_description_that_was_altered_is_refused_or_harmless(trained, mdata):
    """Every value of the description in turn: one clear error, or a model that predicts finite numbers."""
    record = trained.to_record()
    query = mdata["rna"][:2].copy()
    tried = refused = 0
    for path in leaves(record.config):
        for value in (KeyError, None, -1, 0, 2.5, 10**9, 10**15, "x", [], [3, 4], {}, True):
            config = with_leaf(record.config, path, value)
            tried += 1
            try:
                model = ctl.models.load(changed(record, config=config))
            except ChromatellError:
                refused += 1
                continue
            except Exception as error:  # noqa: BLE001  # whatever it is, it is not what a user should see
                pytest.fail(f"{path} = {value!r}: {type(error).__name__}: {error}")
            try:
                assert np.isfinite(model.predict(query, regions=list(trained.regions[:3]))).all(), (path, value)
            except ChromatellError:
                refused += 1
    assert tried > 400
    assert refused > 0.4 * tried


def test_crafted_records_are_refused(trained):
    record = trained.to_record()
    with pytest.raises(ChromatellError, match="schema 99; this chromatell"):
        ctl.models.load(changed(record, schema=99))
    with pytest.raises(ChromatellError, match="holds a 'xchrom' model, not 'dense'"):
        ctl.models.Dense.from_record(record)
    huge = with_leaf(record.config, ("network", "tower", "filters"), [10**6] * 60)
    with pytest.raises(ChromatellError, match="out of range"):  # nothing of that size is made
        ctl.models.load(changed(record, config=huge))
    long = with_leaf(record.config, ("network", "tower", "filters"), [4] * 65)
    with pytest.raises(ChromatellError, match="out of range"):
        ctl.models.load(changed(record, config=long))
    for kind, names in (("atac", 359), ("rna", 39)):
        fewer = {**record.var_names, kind: record.var_names[kind][:-1]}
        with pytest.raises(ChromatellError, match=f"{names}"):
            ctl.models.load(changed(record, var_names=fewer))
    with pytest.raises(ChromatellError, match="does not fit its own description"):
        ctl.models.load(changed(record, var_names={"rna": record.var_names["rna"]}))


def test_the_card_says_sizes_and_names_nobody(trained, mdata):
    card = trained.to_record().card
    assert card["data"]["cells"] == {"train": 168, "val": 24, "test": 48}
    assert card["data"]["variables"] == {"rna": 40, "atac": 360}
    assert not any(str(name) in str(card) for name in mdata.obs_names)


def test_sizes_from_numpy_will_do(fit, small):
    """As a sweep over ``np.arange`` gives them; the record is plain JSON all the same."""
    model = fit(
        small, n_embed=np.int64(4), dropout=np.float32(0.25), stem_filters=np.int32(6), filters=np.array([4, 4])
    )
    assert ctl.models.load(model.to_record()).stored_vectors().shape == (120, 6)


def test_clear_frees_the_data(tiny, small):
    mdata = small.copy()
    XChrom.setup_mudata(mdata)
    model = XChrom(mdata, **tiny)
    model.train(max_epochs=1, seed=0)
    uuid, seen = mdata.uns["_scvi_uuid"], weakref.ref(mdata["atac"])
    batches = weakref.ref(model.trainer.train_dataloader.dataset)
    assert isinstance(batches(), RegionCells)
    model.clear()
    del mdata
    gc.collect()
    assert model.adata is None
    assert uuid not in type(model)._setup_adata_manager_store
    assert seen() is None
    assert batches() is None  # nor what training made of it
    assert model.predict(small).shape == (120, 120)
    with pytest.raises(ChromatellError, match="got NoneType"):
        model.predict()


def test_scvi_tools_set_up_is_there(tiny, small, capsys):
    mdata = small.copy()
    XChrom.setup_mudata(mdata)
    XChrom(mdata, **tiny).view_anndata_setup(mdata)
    assert "atac" in capsys.readouterr().out
    with pytest.raises(ChromatellError, match="trains on paired cells"):
        XChrom.setup_anndata(mdata["rna"])
