"""Models whose content was altered and hashed again: a hash shows that nothing changed, not that it makes sense."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import chromatell as ctl
from chromatell import ChromatellError
from chromatell.io import Record
from chromatell.models import family_class


def tracks():
    signal = np.random.default_rng(0).poisson(0.4, 400)
    made = ctl.data.BinnedTracks({"chr1": [signal, signal > 1]}, ["plus", "mark"], chrom_sizes={"chr1": 20_000})
    made.table.loc["plus", "role"] = "input"
    return made


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """A small trained model of each family and, of Nascent, each architecture."""
    found = {}
    mdata = ctl.datasets.simulate_multiome(40, 8, 12, n_types=2, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    ctl.tl.dense(mdata, train_kwargs={"max_epochs": 1}, seed=0)
    atac = mdata.mod["atac"].copy()
    atac.obs = mdata.obs.copy()
    ctl.tl.atacformer(atac, train_kwargs={"max_epochs": 1}, seed=0)
    for key, data in (("dense", mdata), ("atacformer", atac)):
        found[key] = ctl.io.read_record(data)
    for architecture in ("transfer", "xgboost", "dense", "cnn"):
        data = tracks()
        ctl.tl.nascent(data, architecture=architecture, window=5, train_kwargs={"max_epochs": 2}, seed=0)
        found[f"nascent {architecture}"] = ctl.io.read_record(data)
    fasta = tmp_path_factory.mktemp("genome") / "x.fa"
    paired = ctl.datasets.simulate_sequence_multiome(n_cells=40, n_regions=30, fasta_out=fasta, seed=0)
    ctl.pp.split_cells(paired, seed=0)
    ctl.pp.add_sequence(paired, fasta)
    ctl.tl.xchrom(paired, train_kwargs={"max_epochs": 1}, seed=0)
    found["xchrom"] = ctl.io.read_record(paired)
    return found


FAMILIES = ["dense", "atacformer", "xchrom", "nascent transfer", "nascent xgboost", "nascent dense", "nascent cnn"]


def load(record: Record, **changes):
    parts = {name: getattr(record, name) for name in ("family", "schema", "config", "arrays", "var_names", "card")}
    return family_class(record.family).from_record(Record(**(parts | changes)))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_float_is_finite(family, records):
    record = records[family]
    load(record)
    floats = [n for n, a in record.arrays.items() if a.dtype.kind == "f" and a.size and not n.startswith("history.")]
    assert len(floats) >= 3
    for name in floats:
        for bad in (np.nan, np.inf):
            changed = record.arrays[name].copy()
            changed.flat[-1] = bad
            with pytest.raises(ChromatellError, match="1 values that are NaN or infinite"):
                load(record, arrays={**record.arrays, name: changed})


@pytest.mark.parametrize("family", FAMILIES)
def test_names_and_history(family, records):
    record = records[family]
    modality, names = next((m, n) for m, n in record.var_names.items() if n)
    with pytest.raises(ChromatellError):
        load(record, var_names={**record.var_names, modality: [*names, names[0]]})
    if len(names) > 1:
        with pytest.raises(ChromatellError, match=r"1 variables of .* twice"):
            load(record, var_names={**record.var_names, modality: [*names[:-1], names[0]]})
    for bad in (np.zeros((2, 3)), np.zeros(3, dtype=bool)):
        with pytest.raises(ChromatellError, match="a number for each epoch"):
            load(record, arrays={**record.arrays, "history.loss": bad})


def test_what_predicts_is_between_0_and_1_or_refused(records):
    """Numbers that are finite and make no sense: each array of statistics in turn."""
    record, refused = records["dense"], []
    query = ctl.datasets.simulate_multiome(40, 8, 12, n_types=2, seed=0)
    for name, array in record.arrays.items():
        if not name.startswith(("scaling.", "stack.")) or array.dtype.kind != "f":
            continue
        for bad in (0, -1, 1e30, -1e30):
            arrays = {**record.arrays, name: np.full_like(array, bad)}
            try:
                with warnings.catch_warnings(action="ignore"):  # of NumPy, or of a query unlike the training cells
                    found = load(record, arrays=arrays).predict(query)
            except ChromatellError:
                refused.append((name, bad))
                continue
            assert 0 <= found.min() <= found.max() <= 1, (name, bad)  # NaN is not
    needed = {("scaling.depth", -1), ("scaling.depth_range", -1e30), ("stack.mean", -1), ("stack.depth", 0)}
    assert needed <= set(refused)


@pytest.mark.parametrize("family", [f for f in FAMILIES if f.startswith("nascent")])
@pytest.mark.parametrize("bad", [None, 3, "text", [], [{}], [1], {"a": 1}, [{"name": 5}]])
def test_target_tracks(family, bad, records):
    record = records[family]
    for part in ("target_tracks", "input_tracks"):
        with pytest.raises(ChromatellError):
            load(record, config={**record.config, part: bad})


@pytest.mark.parametrize(
    "changed",
    [
        {"levels": "chr1"},
        {"levels": ["a"]},
        {"levels": ["a", 1], "batch_key": "b"},
        {"batch_key": "b"},
        {"keys": "ab"},
        {"keys": ["a"]},
        {"levels": [["a"]], "batch_key": "b"},
    ],
)
def test_batches_and_covariates_fit_their_numbers(changed, records):
    """Text in place of a list was read letter by letter, and ended in a matrix product of other shapes."""
    record = records["dense"]
    config = {**record.config, "covariates": {**record.config["covariates"], **changed}}
    with pytest.raises(ChromatellError, match="do not fit each other"):
        load(record, config=config)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", ["chr1", None, 1.5, True])
def test_a_seed_is_a_whole_number(family, seed, records):
    """It goes into the provenance of predictions, where text ended in a bare ValueError after the prediction."""
    record = records[family]
    with pytest.raises(ChromatellError, match="does not fit its own description .its seed is"):
        load(record, config={**record.config, "seed": seed})
