"""Changes of every base in 200 of each region: ``tl.ism``'s part for a model, beside tangermeme's, in turn."""

from __future__ import annotations

import time
import warnings

import numpy as np
import torch
from _table import write_table

import chromatell as ctl
from chromatell.tl._ism import saturation
from chromatell.tl._sequences import one_hot_of

WORK = {"small": ("the default", 100, 5), "xchrom": ("as published", 2, 5)}  # preset: what it is, regions, pairs


def trained(preset: str) -> ctl.models.XChrom:
    """Return a model of a preset's sizes after one epoch: time does not depend on the weights."""
    mdata = ctl.datasets.simulate_sequence_multiome(n_cells=200, n_regions=200, width=1344, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    ctl.models.XChrom.setup_mudata(mdata)
    model = ctl.models.XChrom(mdata, preset=preset)
    model.train(max_epochs=1, seed=0)
    return model


def main() -> None:
    from tangermeme.saturation_mutagenesis import saturation_mutagenesis

    ctl.settings.verbosity = 1
    torch.set_num_threads(1)
    rows = []
    for preset, (what, n, pairs) in WORK.items():
        model = trained(preset)
        module, length = model.sequence_module(), model.sequence_length
        tokens = np.random.default_rng(0).integers(0, 4, (n, length)).astype(np.int8)
        part = slice(length // 2 - 100, length // 2 + 100)
        seconds, results = {}, {}

        def peer(tokens=tokens, module=module, part=part):
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")  # says which of its two ways it takes
                before, after = saturation_mutagenesis(
                    module, one_hot_of(tokens), start=part.start, end=part.stop, batch_size=64, raw_outputs=True
                )
            return (after - before[:, None, None]).numpy()

        ways = {"chromatell": lambda t=tokens, m=module, p=part: saturation(m, t, p, 64), "tangermeme": peer}
        for _ in range(pairs):
            for name, one in ways.items():
                start = time.process_time()
                results[name] = one()
                seconds.setdefault(name, []).append(time.process_time() - start)
        apart = np.abs(results["chromatell"] - results["tangermeme"]).max() / np.abs(results["tangermeme"]).max()
        for name, took in ((name, np.array(took)) for name, took in seconds.items()):
            ratio = np.array(seconds["tangermeme"]) / took
            rows.append(
                {
                    "model": f"preset {preset!r}, {what}",
                    "regions": n,
                    "by": name,
                    "s": f"{np.median(took):.2f} ({took.min():.2f}-{took.max():.2f})",
                    "times as fast as tangermeme": f"{np.median(ratio):.1f} ({ratio.min():.1f}-{ratio.max():.1f})",
                    "apart, of the largest": f"{apart:.0e}",
                }
            )
    note = (
        "All changes of the central 200 bases; seconds of the processor, one thread, median and range of 5 runs in "
        "turn. tangermeme's `saturation_mutagenesis` at its defaults, so that it recomputes only what a change reaches "
        "where the job would take over 30 s and that is faster."
    )
    write_table("ism_speed", rows, note)


if __name__ == "__main__":
    main()
