"""Nascent carried over: other depths and assays on folds of chr21, and PRO-cap of chr22, beside the log signal.

    python benchmarks/nascent_transfer.py [--part folds card carried same] [--models transfer] [--cnn]

K562, hg19; average precision in bins of 200 bp, positive where half and more lies in a peak. There are two lists of
peaks: narrow ones, which cover 0.8 to 6% of chr21 (not of H3K27ac), and wide ones, which cover 9 to 16%; the latter
alone are there on chr22, and also of GM12878. A model is trained on both, a target each.

`folds`: the signal of chr21 as it is, thinned, and changed as PRO-cap and GRO-seq would see it
(`_other_assays.changed`, with seeds that training does not draw; `otherwise` is a simulator of PRO-cap that training
does not have); trained on one half of its 1-Mb blocks, a fifth of which validates, scored on the other, both ways.
`carried`: trained on PRO-seq of chr21, a tenth of which validates, applied to PRO-cap of chr22; and of the bins there
in peaks of one cell line only, whether those of K562 are told from those of GM12878. `not smoothed`: the same model
before its predictions are smoothed; `trees alone`: of one with a CNN, `--cnn`, without it. All are without the stack,
which predicts samples like that of training alone. `card`: which marks cannot
be had from this signal, as the model itself says. `same`: halves of chr22, by its own PRO-cap and signals. r is of
smoothed targets in bins of 50 bp, on either half; `blend=0` is without the log signal. Choose by `folds` alone.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from _data import data_dir, save
from scipy.ndimage import gaussian_filter1d, uniform_filter1d
from sklearn.metrics import average_precision_score, roc_auc_score

import chromatell as ctl
from chromatell.data._other_assays import changed
from chromatell.data._tracks_inputs import input_values
from chromatell.data._tracks_smooth import smooth
from chromatell.models.nascent._carry import Densities, Sample, assays_of, sample_scale

ARTEFACT = {"chr21": ["chr21:9,820,000-9,840,000"]}
STRANDS = ("plus", "minus")
MARKS = ("H3K4me3", "H3K9ac", "H3K27ac", "H3K4me1")
CHANGED = {
    "as it is": ("as it is", 1),
    "10% of reads": ("thin 0.1", 2),
    "3% of reads": ("thin 0.03", 3),
    "as PRO-cap": ("cap", 4),
    "as sharper PRO-cap": ("sites", 6),
    "as PRO-cap, simulated otherwise": ("otherwise", 7),
    "as GRO-seq": ("run-on", 5),
}
WIDE = " wide"  # behind the name of a mark
BINS = 4  # of 50 bp in one that is scored
BLOCK = 20_000  # bins: 1 Mb
Score = dict[str, np.ndarray]  # mark to values (bins,)


def peak_file(name: str) -> Path:
    return data_dir() / "nascent" / "peaks_k562_gm12878" / f"{name}.bed.gz"


def load(chrom: str, targets: dict[str, Path]) -> ctl.data.BinnedTracks:
    folder = data_dir() / "nascent" / f"k562_{chrom}"
    tracks = ctl.pp.bin_tracks({**{s: folder / f"{s}.bw" for s in STRANDS}, **targets}, chroms=chrom)
    ctl.pp.mask_bins(tracks, blacklist=ARTEFACT.get(chrom))
    return tracks


def training_tracks() -> ctl.data.BinnedTracks:
    """PRO-seq of chr21 with the wide lists of four marks, and the narrow ones of three."""
    folder = data_dir() / "nascent" / "k562_chr21"
    narrow = {mark: folder / f"{mark}.bw" for mark in MARKS if mark != "H3K27ac"}
    tracks = load("chr21", {**narrow, **{mark + WIDE: peak_file(f"K562_{mark}") for mark in MARKS}})
    ctl.pp.smooth_tracks(tracks, sigma=10)
    return tracks


def otherwise(values: np.ndarray, read: float, rng: np.random.Generator) -> np.ndarray:
    """PRO-cap as training does not make it: bins far above 10 kb around, by 300 bp of unlike efficiency."""
    reads = values.astype(float) / read
    near, around = (uniform_filter1d(reads, n, axis=1) for n in (7, 201))
    fold = near / (around + 0.05)
    rate = np.where(fold > 4, near * np.log2(np.maximum(fold, 1)), 0) ** 1.2
    shape = len(reads), -(-reads.shape[1] // 6)
    runs = np.exp(rng.normal(0, 1.5, shape)) * (rng.random(shape) < 0.7)
    rate *= np.repeat(runs, 6, axis=1)[:, : reads.shape[1]]
    return rng.poisson(np.minimum(rate * (0.29 * reads.sum() / rate.sum()) + 0.01 * reads, 1e6)).astype(np.float32)


def by_four(values: np.ndarray) -> np.ndarray:
    """Means of four bins, along the last axis."""
    n = values.shape[-1] // BINS * BINS
    return values[..., :n].reshape(*values.shape[:-1], -1, BINS).mean(axis=-1)


def log_signals(tracks: ctl.data.BinnedTracks, chrom: str) -> dict[str, np.ndarray]:
    """The smoothed log signal, as it is and with its highest bins clipped."""
    values, usable = input_values(tracks, chrom, STRANDS), tracks.usable(chrom)
    plain = gaussian_filter1d(values.sum(axis=0, dtype=np.float64), 20)
    assays = assays_of([{"assay": "a", "strand": s} for s in "+-"])
    clipped = Densities(values, assays, Sample(sample_scale([values[:, usable]], assays)), 501)
    return {"log signal": np.log1p(plain / plain[usable].mean()), "clipped": clipped.log_signal(slice(0, plain.size))}


def trained(tracks: ctl.data.BinnedTracks, name: str, options: dict) -> ctl.models.Nascent:
    start = time.process_time()
    model = ctl.models.Nascent(tracks, architecture=name, **options)
    model.train(seed=0)
    print(f"{name}: trained in {time.process_time() - start:.0f} s of the processor", flush=True)
    return model


def plain(model: ctl.models.Nascent, tracks: ctl.data.BinnedTracks, **changes: np.ndarray) -> np.ndarray:
    """Predictions of all targets, (targets, bins), before they are smoothed, of a blend that is changed."""
    module = model.module
    blend, network = module.blend, module.network
    module.blend = replace(blend, width=np.zeros_like(blend.width), **changes)
    module.network = network if module.blend.network.any() else None
    found = model.predict(tracks, depth="predicted").values(tracks.chroms[0])
    module.blend, module.network = blend, network
    return found


def variants(
    model: ctl.models.Nascent, tracks: ctl.data.BinnedTracks, name: str, **more: dict
) -> dict[str, np.ndarray]:
    """Predictions (targets, bins) of 'transfer', as it is, and of a changed blend; not smoothed, also."""
    blend = model.module.blend
    found = {f"{name}, not smoothed": plain(model, tracks)}
    alone = {"trees alone": {"network": np.zeros_like(blend.network)}} if blend.network.any() else {}
    for say, changes in {**alone, **more}.items():
        found[f"{name}, {say}"] = plain(model, tracks, **changes)
    known = np.ones(tracks.n_bins, dtype=bool)

    def smoothed(values: np.ndarray) -> np.ndarray:
        return np.stack([smooth(x, known, w) for x, w in zip(values, blend.width, strict=True)])

    first = f"{name}, not smoothed"
    return {name: smoothed(found[first]), first: found.pop(first), **{k: smoothed(v) for k, v in found.items()}}


def applied(model: ctl.models.Nascent, tracks: ctl.data.BinnedTracks, name: str) -> dict[str, np.ndarray]:
    """Predictions of all targets, (targets, scored bins), of 'transfer' also not smoothed and without its CNN."""
    if not hasattr(model.module, "blend"):
        return {name: by_four(model.predict(tracks, depth="predicted").values(tracks.chroms[0]))}
    return {k: by_four(v) for k, v in variants(model, tracks, name).items()}


def same_sample(model: ctl.models.Nascent, tracks: ctl.data.BinnedTracks, name: str) -> dict[str, list[float]]:
    """Pearson of each target with its smoothed values in the test bins, of all variants."""
    chrom, targets = tracks.chroms[0], tracks.names_of(role="target")
    test, no_signal = tracks.usable(chrom, "test"), {"share": np.zeros(len(targets))}
    sample = tracks.select(STRANDS)
    sample.masks = tracks.masks
    found = variants(model, sample, name, **{"blend=0": no_signal}) if hasattr(model.module, "blend") else {}
    truth = tracks.values(chrom, targets)[:, test]
    return {
        say: [float(np.corrcoef(y, v)[0, 1]) for y, v in zip(truth, value[:, test], strict=True)]
        for say, value in found.items()
    }


def halves_of(tracks: ctl.data.BinnedTracks) -> list[np.ndarray]:
    """The split of each half: its 1-Mb blocks train, a fifth of them validates, the other half is tested."""
    ctl.pp.split_regions(tracks, by="blocks", fractions=(0.4, 0.1, 0.5), seed=0)
    first = tracks.splits[tracks.chroms[0]].copy()
    fifth = (np.arange(first.size) // BLOCK % 5 == 0).astype(first.dtype)
    return [first, np.where(first == 2, fifth, np.where(np.isin(first, (0, 1)), 2, first).astype(first.dtype))]


def correlations(title: str, found: list[dict[str, list[float]]], targets: list[str]) -> list[str]:
    """A table of r, of both halves."""
    rows = {say: {t: [half[say][i] for half in found] for i, t in enumerate(targets)} for say in found[0]}
    return table(title, rows, targets)


def table(title: str, rows: dict[str, dict[str, list[float]]], columns: list[str]) -> list[str]:
    lines = ["", title, "", f"| | {' | '.join(columns)} |", "|" + " --- |" * (len(columns) + 1)]
    for name, values in rows.items():
        lines.append(
            f"| {name} | "
            + " | ".join(" / ".join("-" if np.isnan(v) else f"{v:.3f}" for v in values[c]) for c in columns)
            + " |"
        )
    return lines


def compared(
    found: dict[str, np.ndarray], targets: list[str], truth: dict[str, np.ndarray], kind: str
) -> dict[str, Any]:
    """Scores (truth, value) by predictor and mark: formulas, models by their target of that kind, and the narrow one.

    `truth` has of each mark which bins are positive, in the bins of what is found.
    """
    rows: dict[str, dict[str, list[float]]] = {}
    for name, v in found.items():
        if v.ndim == 1:
            rows[name] = {m: [average_precision_score(y, v)] for m, y in truth.items()}
            continue
        own = {m: m + kind for m in truth}
        rows[name] = {m: [average_precision_score(y, v[targets.index(own[m])])] for m, y in truth.items()}
        if kind:
            there = {m: y for m, y in truth.items() if m in targets}
            few = {m: [average_precision_score(y, v[targets.index(m)])] for m, y in there.items()}
            rows[f"{name}, trained on narrow peaks"] = {m: few.get(m, [np.nan]) for m in truth}
    return rows


def folds(names: list[str], options: dict) -> list[str]:
    """Halves of chr21, each predicted by models of the other."""
    tracks, chrom = training_tracks(), "chr21"
    targets = tracks.names_of(role="target")
    positive = by_four((tracks.values(chrom, targets, layer="raw") > 0).astype(float)) >= 0.5
    halves, correlated = halves_of(tracks), []
    samples = {}
    values = input_values(tracks, chrom, STRANDS)
    read = float(sample_scale([values], assays_of([{"assay": "a", "strand": s} for s in "+-"]))[0, 2])
    for title, (kind, seed) in CHANGED.items():
        sample = tracks.select(STRANDS)
        sample.masks = tracks.masks
        rng = np.random.default_rng([2026, seed])
        own = otherwise(values, read, rng) if kind == "otherwise" else None
        own = changed(values, kind, "+-", read, tracks.bin_size, rng) if own is None else own
        sample.replace({chrom: own}, STRANDS, keep=None)
        samples[title] = sample
    found = {t: {k: by_four(v) for k, v in log_signals(s, chrom).items()} for t, s in samples.items()}
    scored = [by_four((h == 2) & tracks.usable(chrom)) == 1 for h in halves]
    for name in names:
        for half, test in zip(halves, scored, strict=True):
            tracks.splits[chrom] = half
            model = trained(tracks, name, options.get(name, {}))
            print(model.card.get("smoothing"), model.card.get("cnn_share"), flush=True)
            correlated.append(same_sample(model, tracks, name))
            for title, sample in samples.items():
                for say, values in applied(model, sample, name).items():
                    whole = found[title].setdefault(say, np.zeros(positive.shape))
                    whole[:, test] = values[:, test]
    test = scored[0] | scored[1]
    lines = []
    for kind, say in (("", "narrow"), (WIDE, "wide")):
        truth = {m: positive[targets.index(m + kind)][test] for m in MARKS if m + kind in targets}
        for title, of in found.items():
            rows = compared({k: v[..., test] for k, v in of.items()}, targets, truth, kind)
            lines += table(f"chr21, {title}, {say} peaks:", rows, list(truth))
    return lines + correlations("chr21 as it is, r on the first half / on the second:", correlated, targets)


def same(names: list[str], options: dict) -> list[str]:
    """Halves of chr22, each predicted by a model of the other: PRO-cap, and signals of the same cells."""
    folder, found = data_dir() / "nascent" / "k562_chr22", []
    tracks = load("chr22", {t: folder / f"{t}.bw" for t in ("H3K4me3", "H3K27ac", "DNase")})
    ctl.pp.smooth_tracks(tracks, sigma=10)
    for half in halves_of(tracks):
        tracks.splits["chr22"] = half
        found.append(same_sample(trained(tracks, "transfer", options.get("transfer", {})), tracks, "transfer"))
    return correlations("chr22 as it is (PRO-cap), r on either half:", found, tracks.names_of(role="target"))


def carried(names: list[str], options: dict) -> list[str]:
    """From PRO-seq of chr21 to PRO-cap of chr22."""
    tracks = training_tracks()
    targets = tracks.names_of(role="target")
    ctl.pp.split_regions(tracks, by="blocks", fractions=(0.9, 0.1, 0), seed=0)
    cells = ("K562", "GM12878")
    there = load("chr22", {f"{cell}_{m}": peak_file(f"{cell}_{m}") for cell in cells for m in MARKS})
    chrom, usable = "chr22", by_four(there.usable("chr22").astype(float)) == 1
    peaks = {c: by_four(there.values(chrom, [f"{c}_{m}" for m in MARKS])) >= 0.5 for c in cells}
    sample = there.select(STRANDS)
    found = {k: by_four(v) for k, v in log_signals(sample, chrom).items()}
    for name in names:
        found |= applied(trained(tracks, name, options.get(name, {})), sample, name)
    truth = {m: peaks["K562"][i][usable] for i, m in enumerate(MARKS)}
    rows = compared({k: v[..., usable] for k, v in found.items()}, targets, truth, WIDE)
    told: dict[str, dict[str, list[float]]] = {}
    for name, v in found.items():
        told[name] = {}
        for i, m in enumerate(MARKS):
            alone = usable & (peaks["K562"][i] != peaks["GM12878"][i])
            value = v if v.ndim == 1 else v[targets.index(m + WIDE)]
            told[name][m] = [roc_auc_score(peaks["K562"][i][alone], value[alone])]
    return [
        *table("PRO-seq of chr21 -> PRO-cap of chr22, average precision, K562 peaks as truth:", rows, list(MARKS)),
        *table("K562 told from GM12878 in bins in peaks of one cell line alone, AUROC:", told, list(MARKS)),
    ]


def card(names: list[str], options: dict) -> list[str]:
    """What the card of a model says of each mark of chr21, from its validation blocks."""
    marks = (*MARKS, "H3K36me3", "H3K27me3", "H3K9me3", "H4K20me1")
    tracks = load("chr21", {m: peak_file(f"K562_{m}") for m in marks})
    ctl.pp.smooth_tracks(tracks, sigma=10)
    ctl.pp.split_regions(tracks, by="blocks", fractions=(0.6, 0.4, 0), seed=0)
    lines = []
    for name in names:
        said = trained(tracks, name, options.get(name, {})).card["validation"]
        lines += ["", f"What the card of `{name}` says of wide peaks, from 40% of the blocks of chr21:", ""]
        lines += ["| mark | r in validation bins | to be had |", "| --- | --- | --- |"]
        lines += [f"| {m} | {said[m]['pearson']:.3f} | {'yes' if said[m]['predictable'] else 'no'} |" for m in marks]
    return lines


PARTS = {"folds": folds, "card": card, "carried": carried, "same": same}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--models", nargs="+", default=["transfer"])
    parser.add_argument("--max-bins", type=int, help="training bins of trees")
    parser.add_argument("--cnn", action="store_true", help="'transfer' with its CNN")
    parser.add_argument("--name", default="nascent_transfer", help="of the file of results")
    args = parser.parse_args()
    most = {"max_bins": args.max_bins} if args.max_bins else {}
    options = {"transfer": {**most, "cnn": args.cnn, "stack": False}, "xgboost": most}
    lines = ["# Nascent carried over", *("\n" + part.replace("\n", " ") for part in (__doc__ or "").split("\n\n")[2:])]
    for part in args.part:
        lines += PARTS[part](args.models, options)
        save(args.name, "\n".join(lines))


if __name__ == "__main__":
    main()
