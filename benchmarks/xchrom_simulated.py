"""XChrom on simulated cells over real hg19 windows, where the truth is known: what it predicts and what it reads.

Usage: python benchmarks/xchrom_simulated.py [--seeds 3] [--cells 3000] [--regions 4000] [--lengths 608 1344 2688]

With --lengths, towers of these lengths instead, over windows of the longest, with sites that act within as many bases
about the middle as --reach says: by default in the whole window. Without, one simulation a seed, and more is measured.

All numbers are of test cells, test regions or both; the preset was chosen on validation parts (xchrom_choices.md).
The ratio of a depth-matched AUROC A is (A - 0.5) / (A_true - 0.5), where A_true is what the true probabilities score.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd
import scipy.sparse as sp
from _data import data_dir, save

import chromatell as ctl
from chromatell.datasets._simulate_sequence_multiome import true_log_rate
from chromatell.metrics import auroc, depth_matched_auroc

WINDOW = 500
N_REGIONS, N_VARIANTS = 40, 400


def ratios(mdata) -> dict[str, float]:
    """Return the ratio for cross-cell, cross-region and cross-both pairs, and the same for the best baseline."""
    cells = mdata.obs["ctl_split"].astype(str).to_numpy()
    regions = mdata.mod["atac"].var["ctl_split"].astype(str).to_numpy()
    opened = (mdata.mod["atac"].X > 0).astype(np.float32)
    truth, depth = mdata.mod["atac"].layers["truth"], np.asarray(mdata.mod["atac"].X.sum(axis=1)).ravel()
    predicted = mdata.mod["atac_pred"].X
    out = {}
    for name, row, col in (
        ("cross-cell", "test", "train"),
        ("cross-region", "train", "test"),
        ("cross-both", "test", "test"),
    ):
        r, c = np.flatnonzero(cells == row), np.flatnonzero(regions == col)
        y = sp.csc_matrix(opened[r][:, c])
        mine, best = (
            depth_matched_auroc(y, np.asarray(p[np.ix_(r, c)]), depth[r], influence=False).mean
            for p in (predicted, truth)
        )
        out[name] = (mine - 0.5) / (best - 0.5)
        out[f"{name}, A_true"] = best
    return out


def ism_score(mdata, rng: np.random.Generator) -> float:
    """Return the mean over test regions of the AUROC with which |ISM| finds the bases of bound sites."""
    simulation = mdata.uns["ctl"]["simulation"]
    activity, hits = simulation["activity"], simulation["hits"]
    atac = mdata.mod["atac"]
    test = atac.var_names[atac.var["ctl_split"] == "test"]
    wanted = rng.permutation(np.intersect1d(test, hits["region"].unique()))[:N_REGIONS]
    ctl.tl.ism(mdata, list(wanted), window=WINDOW)
    result = mdata.uns["ctl"]["ism"]
    width = atac.varm["dna_code"].shape[1]
    first = width // 2 - WINDOW // 2
    scores = []
    for region, effect in zip(result["regions"], result["effect"], strict=True):
        own = hits[hits["region"] == region]
        label = np.zeros(WINDOW)
        for start, end in zip(own["start"], own["end"], strict=True):
            label[max(0, start - first) : max(0, end - first)] = 1
        group = activity[own["motif"].unique()].max(axis=1).idxmax()  # the type in which its factors are most active
        importance = np.abs(effect[list(result["groups"]).index(group)]).sum(axis=0)
        if 0 < label.sum() < WINDOW:
            scores.append(auroc(label, importance))
    return float(np.mean(scores))


def variant_signs(mdata, rng: np.random.Generator) -> tuple[float, int]:
    """Return how often the sign of the effect of a motif-breaking variant is right, and of how many (variant, type).

    At a bound site in a test region the base that the motif is surest of becomes the one it holds least.
    Counted are the types in which the true log-rate changes by more than 0.25.
    """
    simulation = mdata.uns["ctl"]["simulation"]
    hits, atac = simulation["hits"], mdata.mod["atac"]
    test = set(atac.var_names[atac.var["ctl_split"] == "test"])
    own = hits[hits["region"].isin(test)]
    own = own.iloc[rng.permutation(len(own))[:N_VARIANTS]]
    tokens, width = np.asarray(atac.varm["dna_code"]), atac.varm["dna_code"].shape[1]
    rows, changed, original = [], [], []
    for hit in own.itertuples():
        pwm = np.asarray(simulation["motifs"][hit.motif])
        place = int(pwm.max(axis=1).argmax())
        base = int(pwm[place].argmin())
        at = hit.start + place if hit.strand == "+" else hit.end - 1 - place
        base = base if hit.strand == "+" else 3 - base
        i = atac.var_names.get_loc(hit.region)
        if tokens[i, at] == base:
            continue
        mid = (int(atac.var["start"].iloc[i]) + int(atac.var["end"].iloc[i])) // 2
        new = tokens[i].copy()
        new[at] = base
        rows.append(
            {
                "chrom": str(atac.var["chrom"].iloc[i]),
                "pos": mid - width // 2 + at + 1,
                "ref": "ACGT"[tokens[i, at]],
                "alt": "ACGT"[base],
            }
        )
        changed.append(new)
        original.append(tokens[i])
    table = pd.DataFrame(rows)
    keep = ~table.duplicated(["chrom", "pos", "alt"]).to_numpy()
    delta = true_log_rate(mdata, np.array(changed)[keep]) - true_log_rate(mdata, np.array(original)[keep])
    table = table[keep].reset_index(drop=True)
    ctl.tl.variant_effect(mdata, table, n_null=0)
    effects = mdata.uns["ctl"]["variant_effect"]
    wide = effects.pivot_table(index=["chrom", "pos", "alt"], columns="group", values="effect", observed=True)
    found = wide.reindex(pd.MultiIndex.from_frame(table[["chrom", "pos", "alt"]]))
    predicted = found[list(simulation["activity"].index)].to_numpy()
    counted = (np.abs(delta) > 0.25) & np.isfinite(predicted)
    return float((np.sign(predicted) == np.sign(delta))[counted].mean()), int(counted.sum())


def activity_correlation(mdata, seed: int) -> float:
    """Return Pearson's r between planted and read activity over types x factors."""
    activity = mdata.uns["ctl"]["simulation"]["activity"]
    ctl.tl.tf_activity(mdata, seed=seed)
    read = mdata.mod["rna"].obsm["tf_activity"].groupby(mdata.obs["cell_type"].to_numpy(), observed=True).mean()
    read = read.loc[activity.index, activity.columns]
    return float(np.corrcoef(read.to_numpy().ravel(), activity.to_numpy().ravel())[0, 1])


def run(seed: int, n_cells: int, n_regions: int) -> dict[str, float]:
    """Return every number of one simulation."""
    rng = np.random.default_rng(seed)
    fasta = data_dir() / "genome" / "hg19_chr20_chr22.fa.gz"
    mdata = ctl.datasets.simulate_sequence_multiome(fasta, n_cells=n_cells, n_regions=n_regions, seed=seed)
    ctl.pp.split_cells(mdata, seed=seed)
    ctl.pp.split_regions(mdata, by="random", fractions=(0.7, 0.1, 0.2), seed=seed)
    start = time.perf_counter()
    ctl.tl.xchrom(mdata, seed=seed)
    row: dict[str, float] = {"seed": seed, "seconds": time.perf_counter() - start} | ratios(mdata)
    row["ISM AUROC"] = ism_score(mdata, rng)
    row["variant signs"], row["variants x types"] = variant_signs(mdata, rng)
    row["TF activity r"] = activity_correlation(mdata, seed)
    print(row, flush=True)
    return row


def lengths(seed: int, n_cells: int, n_regions: int, towers: list[int], reaches: list[int]) -> pd.DataFrame:
    """Return a row for each reach of the sites and each length of the tower: ratios, and seconds of training."""
    fasta, width = data_dir() / "genome" / "hg19_chr20_chr22.fa.gz", max(towers)
    rows = []
    for reach in reaches or [width]:
        mdata = ctl.datasets.simulate_sequence_multiome(
            fasta, n_cells=n_cells, n_regions=n_regions, width=width, reach=reach, seed=seed
        )
        ctl.pp.split_cells(mdata, seed=seed)
        ctl.pp.split_regions(mdata, by="random", fractions=(0.7, 0.1, 0.2), seed=seed)
        for length in towers:
            part, start = mdata.copy(), time.process_time()
            ctl.tl.xchrom(part, length=length, region_effect=False, seed=seed)
            own = {"reach": reach, "length": length, "seed": seed, "seconds": time.process_time() - start}
            own |= {k: v for k, v in ratios(part).items() if k != "cross-cell" and "," not in k}
            own["share of filters"] = ctl.models.load(part).config["share_of_filters"]
            print(own, flush=True)
            rows.append(own)
    return pd.DataFrame(rows)


def write_lengths(table: pd.DataFrame, n_cells: int, n_regions: int) -> None:
    """Save the table of lengths, the mean over seeds and each of them."""
    width, seeds = table["length"].max(), ", ".join(map(str, sorted(table["seed"].unique())))
    names = ["cross-region", "cross-both"]
    lines = [
        f"# XChrom, preset 'small': {n_cells:,} simulated cells x {n_regions:,} hg19 windows of {width:,} bases",
        "",
        "| sites act within | length | " + " | ".join(names) + " | seconds |",
        "| --- |" + " --- |" * (2 + len(names)),
    ]
    for (reach, length), own in table.groupby(["reach", "length"]):
        cells = [f"{own[n].mean():.3f} ({' '.join(f'{v:.3f}' for v in own[n])})" for n in names]
        lines.append(f"| {reach:,} | {length:,} | " + " | ".join(cells) + f" | {own['seconds'].mean():.0f} |")
    lines += [
        "",
        f"Ratios are of depth-matched AUROC, (A - 0.5) / (A_true - 0.5), on test parts: mean, and in brackets "
        f"each, of seeds {seeds}. Seconds are of the processor, to train and to predict, without the terms of seen "
        "regions. Sites lie anywhere within the bases that the first column says, and a distant one acts as much as a "
        "near one; about 12% of the regions have one of each motif.",
    ]
    save("xchrom_length", "\n".join(lines))


def main() -> None:
    """Run all seeds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=10)
    parser.add_argument("--cells", type=int, default=3000)
    parser.add_argument("--regions", type=int, default=4000)
    parser.add_argument("--lengths", type=int, nargs="+", help="of the tower: compare these alone")
    parser.add_argument("--reach", type=int, nargs="*", help="bases within which sites act, with --lengths")
    args = parser.parse_args()
    ctl.settings.verbosity = 1
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    if args.lengths:
        found = [lengths(s, args.cells, args.regions, args.lengths, args.reach) for s in seeds]
        write_lengths(pd.concat(found), args.cells, args.regions)
        return
    table = pd.DataFrame([run(s, args.cells, args.regions) for s in seeds]).set_index("seed").T
    table["mean"] = table.mean(axis=1)
    lines = [f"# XChrom, preset 'small': {args.cells:,} simulated cells x {args.regions:,} hg19 windows", ""]
    lines += ["| | " + " | ".join(f"seed {c}" if c != "mean" else "mean" for c in table) + " |"]
    lines += ["| --- |" + " --- |" * table.shape[1]]
    lines += [f"| {name} | " + " | ".join(f"{v:.3f}" for v in row) + " |" for name, row in table.iterrows()]
    lines += [
        "",
        "Ratios are of depth-matched AUROC, (A - 0.5) / (A_true - 0.5), on test parts. Seconds are wall time.",
    ]
    save("xchrom_simulated", "\n".join(lines))


if __name__ == "__main__":
    main()
