"""What the tests of several folders share: small checks and views of objects. Fixtures stand in the conftest files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

import chromatell as ctl
from chromatell import ChromatellError
from chromatell._compat import layer_names, no_pull


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


def assert_legible(figure: Figure, least: int = 3) -> None:
    """Demand that no text of a figure runs into another or over the edge, as it is drawn by Agg."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer, shown = canvas.get_renderer(), []
    for ax in figure.axes:
        x, y = sorted(ax.get_xlim()), sorted(ax.get_ylim())
        texts = [ax.xaxis.label, ax.yaxis.label, ax.title, ax._left_title, *ax.texts]
        texts += ax.get_legend().get_texts() if ax.get_legend() else []
        both = [*ax.get_xticklabels(), *ax.get_xticklabels(minor=True)]
        texts += [t for t in both if x[0] <= t.get_position()[0] <= x[1]]  # a tick outside the limits is not drawn
        texts += [t for t in ax.get_yticklabels() if y[0] <= t.get_position()[1] <= y[1]]
        shown += [(t.get_text(), _corners(t, renderer)) for t in texts if t.get_text() and t.get_visible()]
    assert len(shown) >= least
    edge = np.array([[0, 0], [figure.bbox.width, 0], [figure.bbox.width, figure.bbox.height], [0, figure.bbox.height]])
    for i, (text, box) in enumerate(shown):
        assert (box >= -1).all(), f"{text!r} leaves the figure"
        assert (box <= edge[2] + 1).all(), f"{text!r} leaves the figure"
        for other, beside in shown[i + 1 :]:
            assert _apart(box, beside), f"{text!r} overlaps {other!r}"


def _corners(text: Text, renderer: Any) -> np.ndarray:
    """Return the corners of a text in pixels, (4, 2), turned as it is."""
    angle = text.get_rotation()
    text.set_rotation(0)
    flat = text.get_window_extent(renderer)
    text.set_rotation(angle)
    real = text.get_window_extent(renderer)
    half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [flat.width / 2, flat.height / 2]
    turn = np.deg2rad(angle)
    turned = half @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return turned + [(real.x0 + real.x1) / 2, (real.y0 + real.y1) / 2]


def _apart(one: np.ndarray, two: np.ndarray, slack: float = 1.5) -> bool:
    """Return whether a straight line parts two rectangles (the separating axis theorem), `slack` pixels given."""
    for box in (one, two):
        for a, b in ((0, 1), (1, 2)):
            axis = box[b] - box[a]
            if not axis.any():
                return True
            first, second = one @ axis / np.linalg.norm(axis), two @ axis / np.linalg.norm(axis)
            if first.max() <= second.min() + slack or second.max() <= first.min() + slack:
                return True
    return False


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


def split_multiome(n_cells: int, n_genes: int, n_regions: int, *, split: int = 0, **options: Any) -> md.MuData:
    """Simulated cells with a split; `options` are those of `ctl.datasets.simulate_multiome`."""
    mdata = ctl.datasets.simulate_multiome(n_cells, n_genes, n_regions, **options)
    ctl.pp.split_cells(mdata, seed=split)
    return mdata


def dense_multiome(n_cells: int, n_genes: int, n_regions: int, *, epochs: int = 1, **options: Any) -> md.MuData:
    """The same with a `Dense` and its prediction."""
    mdata = split_multiome(n_cells, n_genes, n_regions, seed=0, **options)
    ctl.tl.dense(mdata, train_kwargs={"max_epochs": epochs}, seed=0)
    return mdata


def as_fasta(sequences: dict[str, str], line: int = 60, newline: str = "\n") -> str:
    """The text of a FASTA."""
    parts = []
    for name, text in sequences.items():
        parts += [f">{name} some description", *(text[i : i + line] for i in range(0, len(text), line))]
    return newline.join(parts) + newline


def genes(*rows: tuple[str, int, int, str, str]) -> pd.DataFrame:
    """A table of genes, each (chrom, start, end, name, strand)."""
    return pd.DataFrame(rows, columns=["chrom", "start", "end", "name", "strand"])


def write_fasta(path: Path, sequences: dict[str, str]) -> Path:
    path.write_text(as_fasta(sequences))
    return path


class Trap:
    """Unpickling this makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def spoiled(mdata: md.MuData, what: str) -> tuple[ad.AnnData, ad.AnnData]:
    """Copies of the two modalities, one of them with a fault that is named; other names spoil nothing."""
    rna, atac = mdata["rna"].copy(), mdata["atac"].copy()
    if what == "barcodes":
        atac.obs_names = [f"x{i}" for i in range(atac.n_obs)]
    elif what == "order":
        atac = atac[::-1].copy()
    elif what == "nan":
        rna.X.data[3] = np.nan
    elif what == "negative":
        atac.X.data[3] = -1
    elif what == "unexpressed":
        rna.X = sp.csr_matrix(np.vstack([np.zeros((2, rna.n_vars), np.float32), rna.X.toarray()[2:]]))
    elif what == "closed":
        atac.X = sp.csr_matrix(atac.shape, dtype=np.float32)
    return rna, atac


def joined(mdata: md.MuData, rna: ad.AnnData, atac: ad.AnnData, what: str) -> md.MuData:
    """The two put together, with the split of `mdata` where the fault leaves it a place."""
    with no_pull():
        bad = md.MuData({"rna": rna} if what == "no atac" else {"rna": rna, "atac": atac})
    if what not in ("barcodes", "repeat", "no split"):
        bad.obs["ctl_split"] = mdata.obs["ctl_split"].reindex(bad.obs_names)
    return bad


def check_prediction_in_a_store(mdata: md.MuData, train: Any, folder: Path, patch: Any) -> np.ndarray:
    """Train above the limit of memory: an error without `out=`, a store that the file names with it; its values."""
    patch.setattr(ctl.settings, "dense_limit", 1000)
    before = snapshot(mdata)
    size = f"{mdata.n_obs} cells x {mdata['atac'].n_vars} regions"
    with pytest.raises(ChromatellError, match=rf"{size} .* out='predictions.zarr'"):
        train(mdata)
    assert_same(before, snapshot(mdata))
    train(mdata, out=folder / "pred.zarr")
    assert "atac_pred" not in mdata.mod
    patch.undo()
    with no_pull():
        mdata.write(folder / "shared.h5mu")
    stored = ctl.io.open_prediction(folder / "shared.h5mu")
    want = ctl.tl.predict(mdata["rna"], model=mdata)["atac_pred"].X
    np.testing.assert_allclose(np.asarray(stored.X), want, atol=1e-6)
    assert list(stored.var_names) == list(mdata["atac"].var_names)
    return want


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


def depth_weights(design: np.ndarray, depth: np.ndarray, strength: float) -> np.ndarray:
    """Weights of the columns of a design on standardised log depth, by scikit-learn: of the log and of the depth."""
    from sklearn.linear_model import PoissonRegressor, Ridge

    design, log = design - design.mean(axis=0), np.log1p(depth)
    of_log = Ridge(alpha=len(design) * strength**2).fit(design, (log - log.mean()) / log.std()).coef_
    count = PoissonRegressor(alpha=strength**2, tol=1e-10, max_iter=10_000)
    of_depth = count.fit(design, (depth + 1) / (depth + 1).mean()).coef_ / log.std()
    return (of_log + of_depth) / 2
