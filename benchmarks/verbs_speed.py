"""Time and peak memory of the verbs that come after a prediction: cortex, 8,763 cells, predictions of `Dense`.

Each verb runs in a process of its own, so that its peak memory is its own: of Python, the libraries and the data (about
1.3 GB) too. Seconds are those of the call, by the clock and of the processor. Motifs: 100, at random in a tenth of the
regions, since no mouse genome is at hand. `write_tracks` also of 20 groups x 200,000 regions.

Run: python benchmarks/verbs_speed.py [folder for the trained file]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from _data import data_dir, load, prepare
from _table import write_table


def genes_file() -> Path:
    return data_dir() / "annotation" / "mm10_genes.tsv.gz"


def gene_activity(ctl, mdata, folder):
    ctl.tl.gene_activity(mdata, genes_file())


def rank_regions(ctl, mdata, folder):
    ctl.tl.rank_regions(mdata, "cell_type", seed=0)


def motif_activity(ctl, mdata, folder):
    regions = ctl.get.prediction(mdata).var_names
    held = np.random.default_rng(0).random((len(regions), 100)) < 0.1
    ctl.tl.motif_activity(mdata, matches=pd.DataFrame(held, index=regions, columns=[f"m{i}" for i in range(100)]))


def link_regions(ctl, mdata, folder):
    ctl.tl.link_regions(mdata, seed=0)


def perturb(ctl, mdata, folder):
    ctl.tl.perturb(mdata, list(mdata.mod["rna"].var_names[:5]), seed=0)


def report(ctl, mdata, folder):
    ctl.io.report(mdata, folder / "report.html")


def uncertainty(ctl, mdata, folder):
    ctl.tl.uncertainty(mdata, "cell_type", seed=0)


def write_tracks(ctl, mdata, folder):
    ctl.io.write_tracks(mdata, "cell_type", folder / "tracks", genome="mm10", hub=True)


def match_regions(ctl, mdata, folder):
    places = mdata.mod["atac"].var[["chrom", "start", "end"]].reset_index(drop=True)
    ctl.pp.match_regions(places.assign(start=np.maximum(places["start"] - 37, 0)), mdata)


def write_tracks_20x200k(ctl, mdata, folder):
    from anndata import AnnData
    from mudata import MuData

    start = 1000 + 700 * np.arange(200_000)
    names = [f"chr1:{s}-{s + 500}" for s in start]
    sizes = {"chr1": int(start[-1]) + 10_000}
    values = np.random.default_rng(0).random((100, 200_000), dtype=np.float32)
    rna = AnnData(np.ones((100, 2), dtype=np.float32))
    small = MuData({"rna": rna, "atac": AnnData(values, var=pd.DataFrame(index=names))})
    small.obs["group"] = [f"g{i % 20}" for i in range(100)]
    ctl.tl.add_prediction(small, values, key="x")
    started = time.perf_counter(), time.process_time()
    ctl.io.write_tracks(small, "group", folder / "large", genome=sizes, what="predicted")
    return started


VERBS = [
    gene_activity, rank_regions, motif_activity, link_regions, uncertainty, perturb, match_regions, report,
    write_tracks, write_tracks_20x200k,
]  # fmt: skip


def one(name: str, file: str, folder: str) -> None:
    """Run one verb; print its seconds and the peak memory of the process."""
    import resource

    import mudata

    import chromatell as ctl

    mudata.set_options(pull_on_update=False)
    mdata = mudata.read_h5mu(file)
    ctl.tl.dense, ctl.models.Dense  # noqa: B018  # what is imported once is not the verb's time
    verb = next(v for v in VERBS if v.__name__ == name)
    started = time.perf_counter(), time.process_time()
    started = verb(ctl, mdata, Path(folder)) or started
    clock, processor = time.perf_counter() - started[0], time.process_time() - started[1]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(f"RESULT {clock:.1f} {processor:.1f} {peak:.1f}")


def main() -> None:
    import mudata

    import chromatell as ctl

    mudata.set_options(pull_on_update=False)
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(sys.argv[1] if len(sys.argv) > 1 else temporary) / "cortex_trained.h5mu"
        if not file.is_file():
            mdata = prepare(load("cortex"), "cortex", 0)
            ctl.tl.dense(mdata, seed=0)
            ctl.pp.link_genes(mdata, genes_file())
            ctl.tl.evaluate(mdata)  # for the report
            mdata.write(file)
        rows, page = [], Path(temporary) / "report.html"
        for verb in VERBS:
            call = [sys.executable, __file__, "--one", verb.__name__, str(file), temporary]
            out = subprocess.run(call, capture_output=True, text=True, check=False)
            found = [line for line in out.stdout.split("\n") if line.startswith("RESULT")]
            if not found:
                sys.exit(out.stderr[-2000:])
            _, clock, processor, peak = found[0].split()
            rows.append({"verb": f"`{verb.__name__}`", "s, clock": clock, "s, processor": processor, "peak, GB": peak})
        size = page.stat().st_size / 1e6
    note = (
        "Verbs after a prediction, each in a process of its own: cortex, 8,763 cells x 5,399 regions; `write_tracks` "
        "of 44 tracks. Peak memory is that of the process, Python, libraries and data included. Where other work ran "
        f"on the machine the clock is an upper bound. `perturb` of 5 genes. The report has {size:.1f} MB."
    )
    write_table("verbs_speed", rows, note)


if __name__ == "__main__":
    if "--one" in sys.argv:
        one(*sys.argv[2:])
    else:
        main()
