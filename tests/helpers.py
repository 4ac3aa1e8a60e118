"""What the tests of several folders share: small checks and views of objects. Fixtures stand in the conftest files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mudata as md
import numpy as np
import pandas as pd
import scipy.sparse as sp

from chromatell._compat import layer_names


def one_line(text: str) -> str:
    """Without the line breaks that the width of a terminal makes."""
    return " ".join(text.split())


def file_names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def predicted(mdata: md.MuData) -> np.ndarray:
    return mdata.mod["atac_pred"].X


def rows_of(table: pd.DataFrame, part: str) -> np.ndarray:
    """Places of the rows of one part of the split."""
    return np.flatnonzero(table["ctl_split"] == part)


def weights(model: Any) -> dict[str, np.ndarray]:
    return model.to_record().arrays


def assert_same_weights(one: Any, two: Any) -> None:
    one, two = weights(one), weights(two)
    assert one.keys() == two.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, two[name], err_msg=name)


def with_fragments(mdata: md.MuData) -> md.MuData:
    """Depth of its own, so that counts that are not learned from do not reach training through the total."""
    mdata = mdata.copy()
    mdata["atac"].obs["n_fragments"] = np.random.default_rng(3).gamma(4, 25, mdata.n_obs)
    return mdata


def snapshot(mdata: md.MuData) -> dict[str, Any]:
    """Every field of the user's, to be compared afterwards."""
    state: dict[str, Any] = {"obs": mdata.obs.copy(), "var": mdata.var.copy()}
    state |= {"uns": sorted(mdata.uns), "mods": sorted(mdata.mod)}
    for name in ("rna", "atac"):
        a = mdata.mod[name]
        arrays = {(kind, key): np.array(v) for kind in ("obsm", "varm") for key, v in getattr(a, kind).items()}
        state[name] = (a.obs.copy(), a.var.copy(), a.X.copy(), sorted(a.uns), sorted(layer_names(a)), arrays)
    return state


def assert_same(
    before: dict[str, Any],
    after: dict[str, Any],
    *,
    predicted: bool = False,
    more: tuple[tuple[str, str, str], ...] = (),
) -> None:
    """Compare two snapshots; `predicted` allows a new modality, `more` arrays of (modality, obsm or varm, key)."""
    pd.testing.assert_frame_equal(before["obs"], after["obs"])
    if not predicted:  # the table of all variables grows by the new modality
        pd.testing.assert_frame_equal(before["var"], after["var"])
        assert before["mods"] == after["mods"]
    for name in ("rna", "atac"):
        new = {(kind, key) for modality, kind, key in more if modality == name}
        for one, two in zip(before[name], after[name], strict=True):
            if isinstance(one, pd.DataFrame):
                pd.testing.assert_frame_equal(one, two)
            elif sp.issparse(one):
                assert (one != two).nnz == 0
            elif isinstance(one, dict):
                assert set(two) == set(one) | new
                for key, value in one.items():
                    np.testing.assert_array_equal(value, two[key])
            else:
                assert one == two


def in_halves(x):
    """Return a CSR matrix of the same values, each of which is stored as two entries, in rows that are not in order."""
    row = np.repeat(np.arange(x.shape[0]), np.diff(x.indptr))
    order = np.lexsort((-np.tile(x.indices, 2), np.tile(row, 2)))
    values = np.concatenate([x.data // 2, x.data - x.data // 2])[order]
    return sp.csr_matrix((values, np.tile(x.indices, 2)[order], 2 * x.indptr), shape=x.shape)
