"""Seconds of Nascent on chr21: the CNN over a chromosome beside single windows, and the trees' route end to end.

    OMP_NUM_THREADS=2 python benchmarks/nascent_speed.py

K562 PRO-seq, hg19: 962,598 bins of 50 bp, windows of 128 kb, four targets. The CNN is untrained: speed is the same.
"""

from __future__ import annotations

import os
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from _data import data_dir, save
from nascent_numbers import load

import chromatell as ctl
from chromatell.data._tracks_inputs import input_values
from chromatell.models.nascent._build import build_network
from chromatell.models.nascent._config import options_for
from chromatell.models.nascent._evaluation import network_predictor

WINDOWS = 512  # of the slow way
CHROM = "chr21"


class Laps:
    """Seconds by the clock and of the processor."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, float, float]] = []
        self.last = time.perf_counter(), time.process_time()

    def lap(self, name: str) -> None:
        """End a step."""
        now = time.perf_counter(), time.process_time()
        self.rows.append((name, now[0] - self.last[0], now[1] - self.last[1]))
        self.last = time.perf_counter(), time.process_time()

    def table(self) -> list[str]:
        """The steps, one a row."""
        rows = [f"| {name} | {wall:.1f} | {cpu:.1f} |" for name, wall, cpu in self.rows]
        return ["| step | seconds | of processor |", "| --- | --- | --- |", *rows]


def inference(tracks: ctl.data.BinnedTracks) -> list[str]:
    """The CNN over the chromosome, and what single windows would take."""
    signal = input_values(tracks, CHROM, tracks.names_of(role="input"))
    n, lines = signal.shape[1], []
    for preset in ("default", "stanford2019"):
        network = build_network(options_for("cnn", preset, 50, {}), 2, 4, [1, 0]).eval()
        predict = network_predictor(network, signal, 2561, torch.device("cpu"), lambda a, b: None)
        start = time.perf_counter(), time.process_time()
        predict(slice(0, n))
        took = time.perf_counter() - start[0], time.process_time() - start[1]
        x = torch.nn.functional.pad(torch.from_numpy(signal), (1280, 1280))
        at = np.linspace(0, n - 1, WINDOWS).astype(int)
        windows = torch.stack([x[:, i : i + 2561] for i in at])
        begin = time.process_time()
        with torch.inference_mode():
            for part in windows.split(64):
                network(part)
        each = (time.process_time() - begin) / WINDOWS
        lines.append(f"| cnn, {preset} | {took[0]:.1f} | {took[1]:.1f} | {each * n / 60:.0f} |")
    return [
        f"One pass over {n:,} bins:",
        "",
        f"| network | seconds | of processor | minutes of processor, window by window (from {WINDOWS}) |",
        "| --- | --- | --- | --- |",
        *lines,
    ]


def route(folder: Path) -> list[str]:
    """BigWigs in, four targets trained and predicted by trees, scored, bigWigs out."""
    laps = Laps()
    tracks = load(folder)
    laps.lap("bin, mask, smooth, split")
    ctl.tl.nascent(tracks, seed=0)
    laps.lap("train four targets, predict the chromosome")
    usable = [tracks.usable(CHROM, "test")]
    for name in tracks.names_of(role="prediction"):
        observed = tracks.values(CHROM, [name.removesuffix("_nascent")])[0]
        ctl.metrics.track_scores([observed], [tracks.values(CHROM, [name])[0]], usable)
    laps.lap("score at 50 bp, 1 kb and 10 kb with intervals")
    with tempfile.TemporaryDirectory() as out:
        ctl.io.bigwig.write(tracks, out, names=tracks.names_of(role="prediction"))
        laps.lap("write four bigWigs")
    total = sum(wall for _, wall, _ in laps.rows), sum(cpu for *_, cpu in laps.rows)
    laps.rows.append(("all", *total))
    return laps.table()


def main() -> None:
    threads = int(os.environ.get("OMP_NUM_THREADS", "2"))
    ctl.settings.n_jobs = threads
    torch.set_num_threads(threads)
    folder = data_dir() / "nascent" / "k562_chr21"
    lines = [
        "# Nascent: speed on chr21",
        "",
        f"`OMP_NUM_THREADS={threads} python benchmarks/nascent_speed.py`, {platform.machine()}, {threads} thread(s), "
        f"other jobs beside it (load {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores), so that seconds by the clock "
        "are more than on a free machine.",
        "",
        "Boosted trees, from bigWig to bigWig:",
        "",
        *route(folder),
        "",
        *inference(load(folder)),
    ]
    save("nascent_speed", "\n".join(lines))


if __name__ == "__main__":
    main()
