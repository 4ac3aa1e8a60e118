"""What happens to a prediction when the query is not quite like the training cells.

Usage: python benchmarks/query_robustness.py [example] [cortex] [--splits 3] [--family dense]

A model is trained (`--family xchrom`, or `atacformer` with expression as its context, on `example` alone: its genome is
not at hand, so that XChrom reads random DNA and knows regions by their own terms), and then predicts the test cells
after each of these: genes are left out, each gene gets noise of a share of its sd, one gene is scaled, the query is
normalised otherwise, or its cells are none that were trained on. AP is over all pairs of test cells and regions; its
change is against the same cells as they are. `mean p` is the mean prediction, `flagged` the share of cells above the
threshold of ``obs['ctl_out_of_range']``. Nothing is chosen here.
"""

from __future__ import annotations

import argparse
import re
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from _data import load, prepare, save
from anndata import AnnData
from mudata import MuData
from sklearn.metrics import average_precision_score

import chromatell as ctl

OUT = "ctl_out_of_range"
Change = Callable[[AnnData], AnnData]


def _with(cells: AnnData, x: np.ndarray) -> AnnData:
    return AnnData(np.asarray(x, dtype=np.float32), obs=cells.obs[[]].copy(), var=cells.var[[]].copy())


def _dense(cells: AnnData) -> np.ndarray:
    return np.asarray(cells.X.todense() if hasattr(cells.X, "todense") else cells.X, dtype=np.float64)


def _normalised(cells: AnnData, total: float, *, log: bool) -> AnnData:
    x = _dense(cells)
    x = x * (total / np.maximum(x.sum(axis=1, keepdims=True), 1))
    return _with(cells, np.log1p(x) if log else x)


def changes(train: AnnData, *, counts: bool) -> Iterator[tuple[str, list[Change]]]:
    """Yield (name, what is done to the query); where there are several, scores are averaged and the worst is told."""
    sd, mean = _dense(train).std(axis=0), _dense(train).mean(axis=0)
    rng = np.random.default_rng(0)
    n = train.n_vars
    order = np.argsort(-mean)
    one = range(n) if n <= 100 else order[:10]
    yield "as it is", [lambda q: q]
    yield "one gene missing", [lambda q, g=g: q[:, np.arange(n) != g].copy() for g in one]
    tenth = max(10, n // 10) if n <= 100 else n // 5
    lost = [rng.choice(n, tenth, replace=False) for _ in range(5)]
    yield f"{tenth} genes missing", [lambda q, m=m: q[:, np.setdiff1d(np.arange(n), m)].copy() for m in lost]
    if counts:
        yield "half of the counts", [lambda q: _with(q, rng.binomial(_dense(q).astype(int), 0.5) + (_dense(q) > 1e9))]
        yield "a tenth of the counts", [lambda q: _kept(_with(q, rng.binomial(_dense(q).astype(int), 0.1)))]
        yield "one gene x 2", [lambda q, g=g: _with(q, _dense(q) * np.where(np.arange(n) == g, 2, 1)) for g in one]
    else:
        for share in (0.01, 0.03, 0.1, 0.3):
            yield (
                f"noise, {share:.0%} of sd",
                [lambda q, s=share: _with(q, _dense(q) + s * sd * rng.normal(size=q.shape)) for _ in range(2)],
            )
        yield "one gene x 1.2", [lambda q, g=g: _with(q, _dense(q) * np.where(np.arange(n) == g, 1.2, 1)) for g in one]
        yield "not logged", [lambda q: _with(q, np.expm1(_dense(q)))]
        yield "all values x 1.5", [lambda q: _with(q, 1.5 * _dense(q))]
    yield (
        "Poisson noise, each gene's mean",
        [
            lambda q: (
                _kept(_with(q, rng.poisson(np.maximum(mean, 0)[None].repeat(q.n_obs, 0))))
                if counts
                else _with(q, rng.poisson(np.maximum(mean, 0)[None].repeat(q.n_obs, 0)) + 0.001)
            )
        ],
    )
    yield (
        "Poisson noise, one mean",
        [
            lambda q: (
                _kept(_with(q, rng.poisson(mean.mean(), q.shape)))
                if counts
                else _with(q, rng.poisson(mean.mean(), q.shape) + 0.001)
            )
        ],
    )
    yield "counts x 100" if counts else "values x 100", [lambda q: _with(q, 100 * _dense(q))]
    permuted = rng.permutation(n)
    yield "genes of another species (names permuted)", [lambda q: _with(q, _dense(q)[:, permuted])]


def _kept(cells: AnnData) -> AnnData:
    """Give a cell without any count one, so that it can be predicted."""
    empty = cells.X.sum(axis=1) == 0
    cells.X[empty, 0] = 1
    return cells


def normalised_otherwise(test: AnnData) -> Iterator[tuple[str, list[Change]]]:
    """Yield the ways in which a query of a model trained on log1p(1e4) may come."""
    for name, total, log in (("CPM", 1e6, False), ("log1p(1e6)", 1e6, True), ("not logged", 1e4, False)):
        yield name, [lambda q, t=total, g=log: _normalised(test, t, log=g)]
    x = _dense(test)
    corrected = np.maximum(x - 0.1 * x.mean(axis=0), 0)
    yield "corrected counts (decimals)", [lambda q: _with(test, corrected + 1e-6 * (x > 0))]


def train(mdata: MuData, family: str, seed: int) -> None:
    """Train a model of a family on expression."""
    if family == "dense":
        ctl.tl.dense(mdata, seed=seed)
    elif family == "xchrom":
        atac = mdata.mod["atac"]
        atac.varm["dna_code"] = np.random.default_rng(0).integers(0, 4, (atac.n_vars, 1344)).astype(np.int8)
        ctl.tl.xchrom(mdata, embedding=None, seed=seed)
    else:
        ctl.tl.atacformer(mdata, context="X_pca", seed=seed)


def score(
    model: ctl.models.Dense | ctl.models.XChrom | ctl.models.AtacFormer, query: AnnData, truth: np.ndarray
) -> dict[str, float | str]:
    """Return AP, mean prediction, share flagged and what was said; or what it was refused for."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            pred = ctl.tl.predict(query, model).mod["atac_pred"]
        except ctl.ChromatellError as error:
            refused = "refused: " + re.sub(r"[\d,]+", "N", str(error))[:60]
            return {"ap": np.nan, "mean": np.nan, "flagged": np.nan, "said": refused}
    text = [str(w.message) for w in said if issubclass(w.category, ctl.ChromatellWarning)]
    flagged = float((pred.obs[OUT] > 1).mean()) if OUT in pred.obs else np.nan
    ap = average_precision_score(truth.ravel(), pred.X.ravel())
    return {"ap": ap, "mean": float(pred.X.mean()), "flagged": flagged, "said": "warned" if text else ""}


def run(name: str, n_splits: int, family: str) -> str:
    """Return the table of one data set."""
    rows: list[dict[str, object]] = []
    for split in range(n_splits):
        for label, mdata, ways in cases(name, split):
            train(mdata, family, split)
            model = ctl.models.load(mdata)
            test = mdata.obs["ctl_split"].to_numpy() == "test"
            truth = np.asarray(mdata.mod["atac"].X[test].todense() > 0)[:, _selected(mdata)]
            for change, makes in ways(mdata.mod["rna"][mdata.obs["ctl_split"].to_numpy() == "train"].copy(), test):
                found = [score(model, make(mdata.mod["rna"][test].copy()), truth) for make in makes]
                rows += [{"case": label, "change": change, "split": split, "true": truth.mean(), **f} for f in found]
            val = mdata.mod["rna"][mdata.obs["ctl_split"].to_numpy() == "val"].copy()
            flagged = score(model, val, truth[: val.n_obs])["flagged"] if val.n_obs <= len(truth) else np.nan
            rows.append({"case": label, "change": "validation cells", "split": split, "flagged": flagged})
        print(f"{name} split {split} done", flush=True)
    return report(name, pd.DataFrame(rows), n_splits, family)


def _selected(mdata: MuData) -> np.ndarray:
    return mdata.mod["atac"].var.get("ctl_selected", pd.Series(True, index=mdata.mod["atac"].var_names)).to_numpy(bool)


def cases(name: str, split: int) -> Iterator[tuple[str, MuData, Callable]]:
    """Yield (label, split data, what is done to its query)."""
    if name == "example":
        mdata = ctl.datasets.pbmc_example()
        ctl.pp.split_cells(mdata, seed=split)
        yield "packaged example", mdata, lambda train, test: changes(train, counts=False)
        return
    mdata = prepare(load(name), name, seed=split)
    some = np.random.default_rng(split).permutation(mdata.n_obs)[:4000]
    mdata = mdata[np.sort(some)].copy()
    ctl.pp.split_cells(mdata, seed=split)
    ctl.pp.select_features(mdata, min_open=0.02)
    counts = mdata.mod["rna"].copy()
    yield f"{name}, counts", mdata, lambda train, test: changes(train, counts=True)
    logged = mdata.copy()
    logged.mod["rna"].X = _normalised(counts, 1e4, log=True).X
    yield f"{name}, log1p(1e4)", logged, lambda train, test: _otherwise(counts[test].copy())
    kinds = mdata.obs["cell_type"] if "cell_type" in mdata.obs else mdata.mod["rna"].obs["cell_type"]
    held = kinds.value_counts().index[1]
    apart = mdata.copy()
    apart.obs["cell_type"] = kinds.to_numpy()
    ctl.pp.split_cells(apart, by="cell_type", holdout=held, seed=split)
    yield f"{name}, {held} held out", apart, lambda train, test: [("held-out type", [lambda q: q])]


def _otherwise(test: AnnData) -> Iterator[tuple[str, list[Change]]]:
    yield "as it is", [lambda q: q]
    yield from normalised_otherwise(test)


def report(name: str, table: pd.DataFrame, n_splits: int, family: str) -> str:
    """Return the table as text."""
    lines = [f"## {name}: {family}, {n_splits} random splits, AP over all pairs of test cells", ""]
    lines += ["| trained on | query | AP | change | worst | mean p (true) | flagged | said |", "| --- " * 8 + "|"]
    for case, of_case in table.groupby("case", sort=False):
        plain = of_case[of_case["change"].isin(["as it is", "held-out type"])].groupby("split")["ap"].mean()
        for change, part in of_case.groupby("change", sort=False):
            delta = part["ap"] - part["split"].map(plain)
            said = ", ".join(f"{k} ({v})" for k, v in part["said"].dropna().value_counts().items() if k)
            known = part["ap"].notna().any()
            lines.append(
                f"| {case} | {change} | "
                + (f"{part['ap'].mean():.4f} | {delta.mean():+.4f} | {delta.min():+.4f} | " if known else "| | | ")
                + (f"{part['mean'].mean():.4f} ({part['true'].mean():.4f}) | " if known else "| ")
                + (f"{part['flagged'].mean():.0%} | " if part["flagged"].notna().any() else "| ")
                + f"{said} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=["example", "cortex"])
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--family", choices=["dense", "xchrom", "atacformer"], default="dense")
    parser.add_argument("--out", default="query_robustness")
    args = parser.parse_args()
    ctl.settings.verbosity = 0
    for which in args.sets:
        own = "" if args.family == "dense" else f"_{args.family}"
        save(f"{args.out}_{which}{own}", run(which, args.splits, args.family))
