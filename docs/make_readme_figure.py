"""Draw docs/_static/leaderboard.png from one run on the packaged example: ``python docs/make_readme_figure.py``."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MultipleLocator
from mudata import MuData
from scipy.cluster.hierarchy import leaves_list, linkage

import chromatell as ctl
from chromatell._compat import no_pull

OUT = Path(__file__).parent / "_static" / "leaderboard.png"
N_REGIONS, MIN_CELLS = 60, 20


def run() -> MuData:
    """Train, predict and evaluate, as in the README."""
    mdata = ctl.datasets.pbmc_example()
    ctl.pp.split_cells(mdata, seed=0)
    ctl.tl.dense(mdata, seed=0)
    ctl.tl.evaluate(mdata, seed=0)
    return mdata


def profiles(mdata: MuData) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return observed and predicted share of open test cells, (types, regions), each divided by its region's mean."""
    test = (mdata.obs["ctl_split"] == "test").to_numpy()
    labels = mdata.obs["cell_type"].astype(str).to_numpy()[test]
    regions = mdata.mod["atac_pred"].var["region"]
    observed = (mdata.mod["atac"][test, regions].X.toarray() > 0).astype(float)
    predicted = mdata.mod["atac_pred"].X[test].astype(float)
    types = [t for t in np.unique(labels) if (labels == t).sum() >= MIN_CELLS]
    by_type = [np.array([x[labels == t].mean(axis=0) for t in types]) for x in (observed, predicted)]
    # regions that differ most between types in the prediction: the choice has not seen what is shown as observed
    shown = np.argsort(-by_type[1].std(axis=0))[:N_REGIONS]
    observed, predicted = (np.log2((x[:, shown] + 0.02) / (x[:, shown].mean(axis=0) + 0.02)) for x in by_type)
    order = leaves_list(linkage(predicted.T, "average", optimal_ordering=True))
    rows = leaves_list(linkage(predicted, "average", optimal_ordering=True))
    return observed[rows][:, order], predicted[rows][:, order], [types[i] for i in rows]


def draw(mdata: MuData, out: Path) -> None:
    """Two heat maps on the left, the leaderboard on the right."""
    observed, predicted, types = profiles(mdata)
    figure = plt.figure(figsize=(9.8, 3.9), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.0, 1.25), wspace=0.02)
    panels = left.subplots(2, 1, sharex=True)
    for ax, values, title in (
        (panels[0], predicted, "Predicted from expression alone"),
        (panels[1], observed, "Measured (ATAC)"),
    ):
        image = ax.imshow(values, aspect="auto", cmap="RdBu_r", vmin=-1.5, vmax=1.5, interpolation="nearest")
        ax.set_yticks(range(len(types)), types, fontsize=8)
        ax.set_xticks([])
        ax.set_title(title, fontsize=10, loc="left")
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    panels[1].set_xlabel(f"{N_REGIONS} regions, test cells", fontsize=9)
    bar = left.colorbar(image, ax=panels, shrink=0.6, aspect=25, pad=0.01)
    bar.set_label("log2 of accessibility over\nthe mean of the cell types", fontsize=8)
    bar.ax.tick_params(labelsize=8, length=2)
    bar.outline.set_visible(False)
    scores = right.subplots(1, 2)
    ctl.pl.leaderboard(mdata, ax=scores, views=["per_cell", "depth_matched"])
    for ax, step in zip(scores, (0.04, 0.1), strict=True):
        ax.xaxis.set_major_locator(MultipleLocator(step))
    right.suptitle("Beside the baselines that it must beat", fontsize=10)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=200)


if __name__ == "__main__":
    with no_pull():
        result = run()
    draw(result, Path(sys.argv[1]) if len(sys.argv) > 1 else OUT)
