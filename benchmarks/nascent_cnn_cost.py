"""What `cnn=True` of Nascent costs beside the trees alone: seconds and memory, to train and to predict.

    OMP_NUM_THREADS=1 python benchmarks/nascent_cnn_cost.py

K562 PRO-seq of chr21, 962,598 bins of 50 bp, the seven targets of `nascent_transfer`; all options as they are. Each
model has a process of its own. Trees alone run twice, first and last, which says how much of a difference is chance.
"""

from __future__ import annotations

import importlib
import multiprocessing
import time
import warnings
from typing import Any

from _table import write_table
from memory import LIBRARIES, measured
from nascent_transfer import training_tracks

import chromatell as ctl

KINDS = {"trees alone": False, "trees and CNN, `cnn=True`": True, "trees alone, again": False}


def child(cnn: bool, answer: Any) -> None:
    """Send what training and prediction took."""
    tracks = training_tracks()
    ctl.pp.split_regions(tracks, by="blocks", fractions=(0.9, 0.1, 0), seed=0)
    sample = tracks.select(tracks.names_of(role="input"))
    sample.masks = tracks.masks
    model = ctl.models.Nascent(tracks, cnn=cnn)
    found = {}
    for step, work in (("train", lambda: model.train(seed=0)), ("predict", lambda: model.predict(sample))):
        start = time.process_time()
        found[step] = {**measured(work), "processor": time.process_time() - start}
    record = sum(a.nbytes for a in model.to_record().arrays.values())
    answer.send((found, record / 1e6))


def run(cnn: bool) -> tuple[dict[str, dict[str, float]], float]:
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    process = context.Process(target=child, args=(cnn, there))
    process.start()
    there.close()
    found = here.recv()
    process.join()
    return found


def main() -> None:
    """Print and keep the table."""
    for name in LIBRARIES:
        importlib.import_module(name)
    warnings.simplefilter("ignore")
    ctl.settings.verbosity = 0
    rows = []
    for name, cnn in KINDS.items():
        found, record = run(cnn)
        row: dict[str, Any] = {"model": name}
        for step, of in found.items():
            row[f"{step}: s of processor"] = f"{of['processor']:.0f}"
            row[f"{step}: s"] = f"{of['s']:.0f}"
            row[f"{step}: +MB"] = f"{of['added']:.0f}"
        rows.append({**row, "record, MB": f"{record:.2f}"})
        print(rows[-1], flush=True)
    write_table(
        "nascent_cnn_cost",
        rows,
        "Nascent 'transfer' on K562 PRO-seq of chr21 (962,598 bins of 50 bp, seven targets), trained on nine tenths of "
        "its 1-Mb blocks and applied to all of it. +MB: the most that a step adds to what its process held before it.",
    )


if __name__ == "__main__":
    main()
