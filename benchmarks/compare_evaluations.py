"""Every table of `tl.evaluate`, `tl.fisher` and `tl.baseline` on small cuts of all kinds of data, before and after.

    python benchmarks/compare_evaluations.py store before.json     # with the code of before on PYTHONPATH
    python benchmarks/compare_evaluations.py store after.json
    python benchmarks/compare_evaluations.py compare before.json after.json

`compare` prints the largest difference of each table and fails above 1e-12, or where a row, a column or a name differs.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
from _data import data_dir, load

import chromatell as ctl
from chromatell.models._base import ChromatinModel

TOLERANCE = 1e-12
NEW = ("ahead", "gain_over_ahead")  # columns of the gains that one of the two versions does not have
Found = dict[str, Any]


class Told(ChromatinModel):
    """A model of cells x bins that says what it was told to: no training, and the same before and after."""

    family = "told"
    reads_atac = True

    def __init__(self, score: pd.DataFrame, embedding: pd.DataFrame, labels: dict[str, pd.DataFrame]):
        self.score, self.embedding, self.labels, self.trained_cells = score, embedding, labels, {}

    @property
    def var_names(self) -> dict[str, list[str]]:
        """Names of the bins."""
        return {"rna": [], "atac": list(self.score.columns)}

    def predict(self, data: Any = None, *, regions: Any = None, **_: Any) -> np.ndarray:
        """Return what it was told."""
        return self.score.loc[data.obs_names, list(regions)].to_numpy(dtype=np.float32)

    def embed_and_label(self, data: Any, **_: Any) -> tuple[np.ndarray, dict[str, pd.DataFrame]]:
        """Return what it was told."""
        return self.embedding.loc[data.obs_names].to_numpy(), {k: t.loc[data.obs_names] for k, t in self.labels.items()}


Told.__abstractmethods__ = frozenset()


def plain(value: Any) -> Any:
    """Return tables and arrays as JSON; of a large array its sums and some of its values."""
    if isinstance(value, pd.DataFrame):
        named = [
            c for c in value if value[c].dtype.kind not in "fb" and c not in ("n", "ahead", "tp", "fp", "fn", "tn")
        ]
        rows = {}
        for _, row in value.iterrows():
            values = {c: row[c] for c in value if c not in named and c not in NEW}
            rows[" ".join(str(row[c]) for c in named)] = {
                c: getattr(v, "item", lambda v=v: v)() for c, v in values.items()
            }
        return rows
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if hasattr(value, "shape"):
        flat = np.asarray(value, dtype=np.float64).ravel()
        if flat.size > 2000:
            return [flat.size, float(flat.sum()), float(flat @ flat), *flat[:: flat.size // 997].tolist()]
        return flat.tolist()
    return value


def written(data: Any) -> Found:
    """Return what `tl.evaluate` wrote into `.uns` and into the columns of the predictions."""
    found = {k: plain(v) for k, v in data.uns["ctl"].items() if k.startswith(("evaluation", "gains", "curves", "fish"))}
    if isinstance(data, md.MuData) and "atac_pred" in data.mod:
        for axis in ("obs", "var"):
            table = getattr(data["atac_pred"], axis)
            found |= {
                f"{axis}.{c}": plain(table[c].to_numpy()) for c in table if c.startswith("ctl_") and c != "ctl_split"
            }
    return found


def add_models(mdata: md.MuData, seed: int = 0, held: bool = False) -> None:
    """Add two predictions: smoothed truth with noise, and ranks of noise."""
    rng = np.random.default_rng(seed)
    atac = mdata["atac"][:, mdata["atac"].var["ctl_selected"]] if "ctl_selected" in mdata["atac"].var else mdata["atac"]
    truth = (atac.X > 0).toarray().astype(np.float32)
    u, s, vt = np.linalg.svd(truth - truth.mean(axis=0), full_matrices=False)
    smooth = truth.mean(axis=0) + (u[:, :8] * s[:8]) @ vt[:8]
    noisy = np.clip(smooth + rng.normal(0, 0.05, truth.shape), 0.001, 0.999)
    ctl.tl.add_prediction(mdata, noisy.astype(np.float32), key="noisy")
    ctl.tl.add_prediction(mdata, smooth + rng.normal(0, 1, truth.shape), key="ranks", transform="rank")


def example() -> Found:
    mdata = ctl.datasets.pbmc_example()
    ctl.pp.split_cells(mdata, seed=0)
    add_models(mdata)
    ctl.tl.evaluate(mdata, seed=0, max_regions=600)
    ctl.tl.evaluate(
        mdata, split="val", views=["overall", "per_region"], labels=None, n_bootstrap=40, key_added="second"
    )
    ctl.tl.fisher(mdata, "noisy", n_bootstrap=40, seed=1)
    return written(mdata)


def held_out(by: str | None) -> Found:
    """Cells, by groups or not, and regions held out, with sequences and links."""
    mdata = ctl.datasets.simulate_multiome(700, 40, 260, n_types=3, depth=16.0, seed=0)
    mdata.obs["donor"] = np.random.default_rng(3).choice(list("abcdefgh"), 700)
    ctl.pp.split_cells(mdata, fractions=(0.5, 0.2, 0.3), by=by, seed=0)
    rng, atac = np.random.default_rng(0), mdata["atac"]
    share = np.asarray((atac.X > 0).mean(axis=0)).ravel()
    gc = 0.3 + 0.4 * np.argsort(np.argsort(share + rng.normal(0, 0.02, 260))) / 260
    strong = rng.random((260, 80)) < gc[:, None]
    atac.varm["dna_code"] = np.where(strong, rng.integers(1, 3, (260, 80)), 3 * rng.integers(0, 2, (260, 80))).astype(
        "i1"
    )
    genes = mdata["rna"].var_names
    near = np.random.default_rng(5).integers(0, 260, len(genes))
    spots = atac.var_names[near].str.extract(r"(.+):(\d+)-(\d+)")
    annotation = pd.DataFrame({"chrom": spots[0], "start": spots[1].astype(int), "end": spots[2].astype(int) + 500})
    annotation["gene"], annotation["strand"] = genes, "+"
    try:
        ctl.pp.link_genes(mdata, annotation)
    except ctl.ChromatellError as error:
        print("no links:", error)
    atac.var["ctl_split"] = rng.choice(["train", "val", "test"], 260, p=[0.5, 0.2, 0.3])
    add_models(mdata)
    ctl.tl.baseline(mdata, "knn", key_added="mine", seed=4)
    ctl.tl.evaluate(mdata, seed=0, top=60)
    found = written(mdata)
    ctl.tl.evaluate(mdata, ["noisy"], baselines=["gc", "kmer_ridge"], pairs="cross-both", seed=2, n_bootstrap=50)
    return found | {f"both.{k}": v for k, v in written(mdata).items()}


def baselines() -> Found:
    """Every baseline's predictions, of cells and of tracks."""
    mdata = ctl.datasets.pbmc_example()
    ctl.pp.split_cells(mdata, seed=1)
    found: Found = {}
    for kind in (
        "region_mean",
        "region_mean_depth",
        "celltype_mean",
        "knn",
        "svd_ridge",
        "region_mean_true_depth",
        "knn_atac",
    ):
        ctl.tl.baseline(mdata, kind, seed=0)
        pred = mdata["atac_pred"]
        found[kind] = plain(pred.layers.get(kind, pred.X))
        said = pred.uns["ctl"]["provenance"][kind]
        found[f"{kind} chosen"] = {k: v for k, v in said.items() if k.endswith(("_k", "_rank", "_alpha"))}
    tracks = small_tracks()
    for kind in ("mean", "log_signal", "ridge", "other_targets"):
        ctl.tl.baseline(tracks, kind)
        found[f"tracks {kind}"] = {c: plain(tracks.values(c, f"H3K4me3_{kind}")) for c in tracks.chroms}
    return found


def real(name: str) -> Found:
    if name == "bmmc":
        mdata = md.read_h5mu(data_dir() / "multiome" / "bmmc_500cells.h5mu")
        ctl.pp.split_cells(mdata, by="batch", fractions=(0.5, 0.0, 0.5), seed=0)
    else:
        whole = load("cortex")
        cells = np.sort(np.random.default_rng(0).choice(whole.n_obs, 1800, replace=False))
        mdata = whole[cells].copy()
        ctl.pp.split_cells(mdata, seed=0)
        ctl.pp.select_features(mdata, min_open=0.02)
    add_models(mdata)
    ctl.tl.evaluate(mdata, seed=0, n_bootstrap=120)
    found = written(mdata)
    ctl.tl.fisher(mdata, "noisy", threshold=0.2, n_bootstrap=40, seed=1)
    return found | {"fisher": plain(mdata.uns["ctl"]["fisher"])}


def bins(real_cells: bool) -> Found:
    if real_cells:
        whole = ad.read_h5ad(data_dir() / "scatac" / "hemato_scatac.h5ad")
        cells = np.sort(np.random.default_rng(0).choice(whole.n_obs, 1500, replace=False))
        whole = whole[cells]
        keep = np.argsort(-np.asarray((whole.X > 0).sum(axis=0)).ravel(), kind="stable")[:1500]
        adata = whole[:, np.sort(keep)].copy()
    else:
        adata = ctl.datasets.simulate_multiome(400, 20, 120, n_types=3, depth=25.0, seed=1).mod["atac"]
    ctl.pp.split_cells(adata, fractions=(0.5, 0.2, 0.3), seed=0)
    rng = np.random.default_rng(0)
    truth = (adata.X > 0).toarray()
    types = adata.obs["cell_type"].astype(str).to_numpy()
    names = np.unique(types)
    said = np.where(rng.random(len(types)) < 0.8, types, rng.choice(names, len(types)))
    labels = {"cell_type": pd.DataFrame((said[:, None] == names).astype("f4"), adata.obs_names, names)}
    z = pd.DataFrame(rng.normal(size=(adata.n_obs, 4)), adata.obs_names)
    z[0] += 1.5 * np.searchsorted(names, types)
    score = lambda: pd.DataFrame(np.round(rng.random(truth.shape) + 0.4 * truth, 2), adata.obs_names, adata.var_names)  # noqa: E731
    models = {"mine": Told(score(), z, labels), "other": Told(score(), z + 0.1, {})}
    ctl.tl.evaluate(adata, models, seed=0, top=400)
    found = written(adata)
    ctl.tl.evaluate(adata, [], seed=1, n_bootstrap=0, removed=0.3, max_regions=90, pairs="completion", views="overall")
    return found | {f"alone.{k}": v for k, v in written(adata).items()}


def small_tracks(fractions: tuple[float, ...] = (0.5, 0.2, 0.3)) -> ctl.data.BinnedTracks:
    rng = np.random.default_rng(0)
    sizes = {"chr1": 9000, "chr2": 6000}
    values = {}
    for chrom, n in sizes.items():
        rate = np.repeat(rng.gamma(0.2, 4.0, n // 20), 20)
        wide = np.convolve(rate, np.ones(9), mode="same")
        peak = np.where(wide > np.quantile(wide, 0.85), np.floor(10 * np.log1p(wide)), 0)
        noise = np.where(rng.random(n) < 0.02, 5.0, 0.0)
        values[chrom] = np.stack([rng.poisson(rate), rng.poisson(rate), peak, noise]).astype(np.float32)
    table = pd.DataFrame({"name": ["plus", "minus", "H3K4me3", "noise"], "assay": ["PRO", "PRO", "H3K4me3", "noise"]})
    table["strand"], table["role"] = ["+", "-", ".", "."], ["input", "input", "target", "target"]
    tracks = ctl.data.BinnedTracks(values, table, chrom_sizes={c: 50 * n - 20 for c, n in sizes.items()})
    tracks.masks = {c: np.where(rng.random(n) < 0.1, 4, 0).astype(np.uint8) for c, n in sizes.items()}
    ctl.pp.smooth_tracks(tracks, sigma=3)
    ctl.pp.split_regions(tracks, by="blocks", fractions=fractions, block=25_000, width=41 * 50, seed=0)
    good = {c: tracks.values(c, "H3K4me3") + rng.normal(0, 6, n).astype(np.float32) for c, n in sizes.items()}
    tracks.add(good, pd.DataFrame({"name": ["H3K4me3_good"], "assay": "H3K4me3", "role": "prediction"}))
    return tracks


def tracks() -> Found:
    data = small_tracks()
    ctl.tl.evaluate(data, block=5_000, resolutions=(50, 1000), n_bootstrap=120, seed=5)
    found = written(data)
    data = small_tracks((0.6, 0.0, 0.4))
    ctl.tl.evaluate(data, block=5_000, resolutions=(50,), regions="chr2", threshold=3, n_bootstrap=30, seed=2)
    return found | {f"without_val.{k}": v for k, v in written(data).items()}


CASES: dict[str, Callable[[], Found]] = {
    "example": example,
    "held_out": lambda: held_out(None),
    "held_out_groups": lambda: held_out("donor"),
    "baselines": baselines,
    "bmmc": lambda: real("bmmc"),
    "cortex": lambda: real("cortex"),
    "bins": lambda: bins(False),
    "hemato": lambda: bins(True),
    "tracks": tracks,
}


def store(path: Path, names: list[str]) -> None:
    found = json.loads(path.read_text()) if path.exists() else {}
    for name in names or CASES:
        start = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found[name] = CASES[name]()
        print(f"{name}: {time.process_time() - start:.1f} s", flush=True)
        path.write_text(json.dumps(found))


def leaves(value: Any, at: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        return {k: v for name, inner in value.items() for k, v in leaves(inner, f"{at}/{name}").items()}
    return {at: value}


def compare(before: Path, after: Path, names: list[str]) -> bool:
    old, new = (
        leaves({k: v for k, v in json.loads(p.read_text()).items() if not names or k in names}) for p in (before, after)
    )
    wrong = [f"only before: {k}" for k in old.keys() - new.keys()] + [
        f"only after: {k}" for k in new.keys() - old.keys()
    ]
    largest: dict[str, float] = {}
    for at in old.keys() & new.keys():
        a, b = (v if isinstance(v, list) else [v] for v in (old[at], new[at]))
        if len(a) != len(b):
            wrong.append(f"{at}: {len(a)} and {len(b)} values")
            continue
        table = "/".join(at.split("/")[:3])
        for x, y in zip(a, b, strict=True):
            if isinstance(x, str | bool) or isinstance(y, str | bool):
                off = 0.0 if x == y else np.inf
            else:
                off = 0.0 if x == y or (x != x and y != y) else abs(x - y) / max(1.0, abs(x))
            off = np.inf if off != off else off
            if off > TOLERANCE:
                wrong.append(f"{at}: {x} and {y}")
            largest[table] = max(largest.get(table, 0.0), off)
    for table, off in sorted(largest.items()):
        print(f"{off:9.2e}  {table}")
    print(f"{len(wrong)} differences", *sorted(wrong)[:60], sep="\n")
    return not wrong


if __name__ == "__main__":
    verb, *rest = sys.argv[1:]
    paths, names = [Path(r) for r in rest if r.endswith(".json")], [r for r in rest if not r.endswith(".json")]
    if verb == "store":
        store(paths[0], names)
    else:
        sys.exit(0 if compare(*paths, names) else 1)
