"""AtacFormer as a record: it says the same, nothing is pickled, and what was altered is refused."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import chromatell as ctl
from chromatell import ChromatellError


def changed(record, config=None, arrays=None):
    return ctl.io.Record(
        family=record.family,
        schema=record.schema,
        var_names=record.var_names,
        config=config or record.config,
        arrays=arrays or record.arrays,
    )


def test_a_record_says_the_same(trained, cells, tmp_path):
    again = ctl.models.load(trained.to_record())
    np.testing.assert_allclose(again.predict(cells), trained.predict(cells), atol=1e-6)
    np.testing.assert_allclose(again.embed(cells), trained.embed(cells), atol=1e-6)
    for key, table in trained.predict_labels(cells).items():
        np.testing.assert_allclose(again.predict_labels(cells)[key], table, atol=1e-6)
    assert again.content_hash == trained.content_hash
    assert again.history == trained.history
    assert again.var_names == trained.var_names
    trained.save(tmp_path / "model")
    assert {p.suffix for p in (tmp_path / "model").iterdir()} <= {".safetensors", ".json"}
    np.testing.assert_allclose(ctl.models.AtacFormer.load(tmp_path / "model").embed(cells), trained.embed(cells))
    with pytest.raises(ChromatellError, match="was loaded and has no data to train on"):
        again.train()
    with pytest.raises(ChromatellError, match="was loaded and has no data"):
        again.embed()


@pytest.mark.parametrize("which", ["trained", "in_context"])
def test_arrays_that_do_not_fit_are_refused(which, request):
    """Each array in turn: absent, of another shape, of another type, not finite."""
    record = request.getfixturevalue(which).to_record()
    ctl.models.load(changed(record))
    for name, value in record.arrays.items():
        if name.startswith("history."):
            continue
        bad = [None, np.concatenate([value, value[:1]]), value.astype("float16"), value.astype("int32")]
        if value.dtype.kind == "f":
            bad.append(np.full_like(value, np.nan))
        for other in bad:
            arrays = {**record.arrays, name: other}
            if other is None:
                del arrays[name]
            if other is not None and name.startswith("scaling.") and other.dtype == np.float16:
                continue  # a float all the same
            with pytest.raises(ChromatellError):
                ctl.models.load(changed(record, arrays=arrays))


def test_descriptions_that_do_not_fit_are_refused(trained):
    record = trained.to_record()
    for change in (
        {"d": 10**9},
        {"n_layers": 10**9},
        {"n_heads": 0},
        {"n_bins": 91},
        {"n_tokens": 5},
        {"n_eos": 10**9},
        {"n_classes": [3]},
        {"n_context": 4},
        {"n_dna": 4},
        {"decoder": "__import__"},
        {"class_weights": [1]},
        {"unknown": 1},
    ):
        config = copy.deepcopy(record.config)
        config["network"] |= change
        with pytest.raises(ChromatellError):
            ctl.models.load(changed(record, config=config))
    config = copy.deepcopy(record.config)
    config["chroms"] = ["chr1"]
    with pytest.raises(ChromatellError, match=r"bins.chrom"):
        ctl.models.load(changed(record, config=config))
