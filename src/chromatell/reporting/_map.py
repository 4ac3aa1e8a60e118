"""The cells of a report on two axes: by group, by score, by how far they lie from the training cells."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from chromatell._keys import ATAC, ATAC_PRED, AUROC, OUT_OF_RANGE, RNA
from chromatell._validate import ChromatellError
from chromatell.reporting._html import WIDTH, Html, join, picture, tag

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST = 20_000  # cells drawn
_NAMED = 20  # groups
_FIRST = ("umap", "tsne", "draw_graph", "phate", "mde", "pca")


def embedding(data: MuData | AnnData, groupby: str) -> Html:
    """Return the cells by group, by AUROC and by distance from the training cells."""
    name, xy = _coordinates(data)
    pred = data.mod.get(ATAC_PRED) if isinstance(data, MuData) else None
    keep = np.arange(len(xy))
    if len(xy) > _MOST:
        keep = np.sort(np.random.default_rng(0).choice(len(xy), _MOST, replace=False))
    panels = []
    named = [data, *(data.mod.values() if isinstance(data, MuData) else ())]
    labels = next((one.obs[groupby] for one in named if groupby in one.obs), None)
    if labels is not None:
        of = labels.reindex(data.obs_names).astype(object).where(lambda s: s.notna(), "none").astype(str).to_numpy()
        panels.append(
            picture(
                lambda ax: _groups(ax, xy[keep], of[keep], name),
                f"Cells by {groupby}",
                size=(WIDTH, 3.9),
                caption=groupby,
            )
        )
    for column, caption, top in (
        (AUROC, "AUROC over regions of each scored cell (grey: not scored)", None),
        (OUT_OF_RANGE, "Distance from the training cells; out of range above 1", 2.0),
    ):
        if pred is not None and column in pred.obs:
            values = pred.obs[column].reindex(data.obs_names).to_numpy(np.float64)
            about = f"Cells by {column}"
            draw = partial(_values, xy=xy[keep], values=values[keep], name=name, top=top)
            panels.append(picture(draw, about, size=(WIDTH, 2.9), caption=caption))
    if not panels:
        raise ChromatellError(
            f"Neither obs[{groupby!r}] nor scores of cells are there. Name groups with groupby=, or run "
            "ctl.tl.evaluate(mdata)."
        )
    out = [tag("div", *panels, class_="grid")]
    if pred is not None and OUT_OF_RANGE in pred.obs:
        share = float((pred.obs[OUT_OF_RANGE] > 1).mean())
        out.append(tag("p", f"{share:.1%} of the cells are out of range of the training cells."))
    if len(keep) < len(xy):
        out.append(tag("p", f"{_MOST:,} of {len(xy):,} cells are drawn, at random.", class_="soft"))
    return join(out)


def _coordinates(data: MuData | AnnData) -> tuple[str, np.ndarray]:
    """Return the name and the first two coordinates (n_obs, 2) of an embedding."""
    named: list[tuple[str, Any]] = [("", data)]
    if isinstance(data, MuData):
        named += [(m, data.mod[m]) for m in (RNA, ATAC) if m in data.mod]
    candidates: list[tuple[int, str, Any]] = []
    for where, one in named:
        if not one.obs_names.equals(data.obs_names):
            continue
        for key, value in one.obsm.items():
            values = value.to_numpy() if isinstance(value, pd.DataFrame) else value
            usable = getattr(values, "ndim", 0) == 2 and values.shape[1] >= 2 and key.startswith("X_")
            if usable and np.issubdtype(values.dtype, np.number) and not np.iscomplexobj(values):
                rank = next((i for i, kind in enumerate(_FIRST) if kind in key.lower()), len(_FIRST))
                candidates.append((rank, key + (f" of {where}" if where else ""), values))
    if candidates:
        _, name, values = min(candidates, key=lambda item: item[0])
        xy = np.asarray(values[:, :2], dtype=np.float64)
        if np.isfinite(xy).all():
            return name, xy
    pred = data.mod.get(ATAC_PRED) if isinstance(data, MuData) else None
    if pred is None or not pred.obs_names.equals(data.obs_names):
        raise ChromatellError(
            "No embedding of the cells is there. Run sc.pp.pca, sc.pp.neighbors and sc.tl.umap on one."
        )
    from sklearn.decomposition import TruncatedSVD

    x = np.asarray(pred.X, dtype=np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):  # shares of a variance that is 0 where all cells are alike
        components = TruncatedSVD(2, random_state=0).fit_transform(x - x.mean(axis=0))
    return "components of the prediction", components


def _groups(ax: Axes, xy: np.ndarray, of: np.ndarray, name: str) -> None:
    from matplotlib import colormaps
    from matplotlib.patheffects import withStroke

    from chromatell.pl._style import FAINT, OKABE_ITO, font_size, legend

    names, counts = np.unique(of, return_counts=True)
    names = names[np.argsort(-counts, kind="stable")]
    few = list(OKABE_ITO.values())
    colours = few if len(names) <= len(few) else [colormaps["tab20"](i) for i in range(_NAMED)]
    size = font_size(ax)
    for i, group in enumerate(names):
        here = of == group
        shown = f"{i + 1} {group if len(group) <= 24 else group[:23] + '...'}" if i < _NAMED else f"_{i}"
        colour = colours[i] if i < len(colours) else FAINT
        ax.scatter(xy[here, 0], xy[here, 1], s=_size(len(xy)), color=colour, linewidths=0, rasterized=True, label=shown)
    for i, group in enumerate(names[:_NAMED]):  # more groups than colours can tell apart: numbers do
        x, y = np.median(xy[of == group], axis=0)
        text = ax.text(x, y, str(i + 1), fontsize=size, ha="center", va="center")
        text.set_path_effects([withStroke(linewidth=2, foreground="white")])
    legend(ax, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2, markerscale=4 / _size(len(xy)) ** 0.5)
    _axes(ax, name)


def _values(ax: Axes, xy: np.ndarray, values: np.ndarray, name: str, top: float | None) -> None:
    from chromatell.pl._style import FAINT, font_size

    known = np.isfinite(values)
    ax.scatter(xy[~known, 0], xy[~known, 1], s=_size(len(xy)), color="#DDDDDD", linewidths=0, rasterized=True)
    if known.any():
        order = np.flatnonzero(known)[np.argsort(values[known], kind="stable")]
        low, high = (0.0, top) if top is not None else np.percentile(values[known], [2, 98])
        shown = ax.scatter(
            xy[order, 0],
            xy[order, 1],
            c=values[order],
            s=_size(len(xy)),
            cmap="viridis",
            vmin=low,
            vmax=high,
            linewidths=0,
            rasterized=True,
        )
        assert ax.figure is not None
        bar = ax.figure.colorbar(shown, ax=ax, fraction=0.05, pad=0.02, extend="max" if top else "both")
        bar.ax.tick_params(labelsize=font_size(ax) - 1)
        bar.outline.set_edgecolor(FAINT)
    _axes(ax, name)


def _axes(ax: Axes, name: str) -> None:
    from chromatell.pl._style import finish

    finish(ax, f"{name}, 1", f"{name}, 2")
    ax.set_xticks([])
    ax.set_yticks([])


def _size(n: int) -> float:
    """Return the size of a dot, in square points."""
    return float(np.clip(12_000 / max(n, 1), 0.8, 14))
