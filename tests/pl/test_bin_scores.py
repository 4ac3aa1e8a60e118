"""`pl.leaderboard` and `pl.pr_curve` of cells x bins: what is drawn, read off tables that were written by hand."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import chromatell as ctl
from chromatell._validate import ChromatellError

COLUMNS = ["model", "is_baseline", "pairs", "view", "metric", "value", "ci_low", "ci_high"]
ROWS = [
    ("plain", False, "completion", "overall", "ap", 0.30, 0.25, 0.35),
    ("typed", False, "completion", "overall", "ap", 0.20, 0.15, 0.25),
    ("svd", True, "completion", "overall", "ap", 0.25, 0.20, 0.30),
    ("plain", False, "embedding", "kind", "knn_label", 0.70, 0.65, 0.75),
    ("typed", False, "embedding", "kind_supervised", "knn_label", 0.90, 0.85, 0.95),
    ("lsi", True, "embedding", "kind", "knn_label", 0.60, 0.55, 0.65),
    ("lsi", True, "embedding", "kind_supervised", "knn_label", 0.60, 0.55, 0.65),
]


@pytest.fixture
def bins():
    table = pd.DataFrame(ROWS, columns=COLUMNS)
    table[["uses_target_assay", "split", "n"]] = [True, "test", 50]
    gains = pd.DataFrame(
        [("plain", "svd", "completion", "overall", "ap"), ("plain", "lsi", "embedding", "kind", "knn_label")],
        columns=["model", "baseline", "pairs", "view", "metric"],
    )
    line = np.array([[0.0, 0.5, 1.0], [1.0, 0.4, 0.1]], dtype=np.float32)
    curves = {"completion": {name: {"pr": line} for name in ("plain", "typed", "svd")} | {"_prevalence": 0.1}}
    adata = AnnData(np.ones((3, 2), dtype=np.float32))
    adata.uns["ctl"] = {"evaluation": table, "gains": gains, "curves": curves}
    yield adata
    plt.close("all")


def drawn(ax):
    """Name of each row and the score that is marked there."""
    marks = {round(line.get_ydata()[0]): line.get_xdata()[0] for line in ax.lines if line.get_marker() in ("o", "s")}
    return {label.get_text(): marks.get(i) for i, label in enumerate(ax.get_yticklabels())}


def test_rows_are_the_scores_and_all_are_filled(bins):
    ax = ctl.pl.leaderboard(bins)
    assert drawn(ax) == {"typed": 0.20, "svd": 0.25, "plain": 0.30}  # from the bottom to the top; none 'reads ATAC'
    assert all(line.get_markerfacecolor() != "white" for line in ax.lines if line.get_marker() in ("o", "s"))
    assert ax.get_title(loc="left") == "removed bins"


def test_a_model_without_a_score_in_the_view_has_no_row(bins):
    ax = ctl.pl.leaderboard(bins, pairs="embedding", views="kind")
    assert drawn(ax) == {"lsi": 0.60, "plain": 0.70}
    ax = ctl.pl.leaderboard(bins, pairs="embedding", views="kind_supervised")
    assert drawn(ax) == {"lsi": 0.60, "typed": 0.90}
    both = ctl.pl.leaderboard(bins, pairs="embedding")  # only the first panel has names
    assert drawn(both[0]) == {"lsi": 0.60, "plain": 0.70, "typed": None}


def test_precision_and_recall_of_removed_bins(bins):
    ax = ctl.pl.pr_curve(bins, "plain")
    labels = [line.get_label() for line in ax.lines]
    assert labels[0].startswith("plain")
    assert any("svd" in name for name in labels)
    np.testing.assert_allclose(ax.lines[0].get_xdata(), [0, 0.5, 1])
    with pytest.raises(ChromatellError, match="No curve 'pr' of"):
        ctl.pl.pr_curve(bins, "lsi")
    with pytest.raises(ChromatellError, match="No scores of pairs 'cross-cell'"):
        ctl.pl.leaderboard(bins, pairs="cross-cell")
