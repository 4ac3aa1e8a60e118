"""``chromatell demo``: the main job on the packaged example, without a download."""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chromatell._keys import ATAC_PRED, FISHER, REGION, RNA, SPLIT, TEST, UNS, USES_TARGET_ASSAY
from chromatell.cli._console import libraries_to_stderr, output, step
from chromatell.cli._files import UsageError, check_folder, check_output, write

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mudata import MuData

N_REGIONS = 500
FIGURES = ("leaderboard", "pr_curve", "per_cell_per_region", "calibration")
NOTE = (
    "Read with care: the source of this example smoothed the expression over neighbouring cells, test cells included, "
    "and it has 51 genes. The demo shows how the package works, not how well expression predicts accessibility."
)
SHORT_NOTE = "PBMC example: 51 genes, expression smoothed over neighbours by its source (test cells included)"
SAME = f"""\
import chromatell as ctl
mdata = ctl.datasets.pbmc_example()

ctl.pp.split_cells(mdata); ctl.pp.select_features(mdata, n_regions={N_REGIONS}); ctl.tl.dense(mdata)
ctl.tl.evaluate(mdata, baselines="all"); ctl.tl.fisher(mdata); ctl.io.write(mdata, "demo.h5mu")
query = ctl.tl.predict(mdata["rna"], model="demo.h5mu")
"""


def run(args: argparse.Namespace) -> None:
    """Train, score, print, save, and apply the saved model to expression alone."""
    file = _check(args)
    with step("Load the packages and the example"):
        import chromatell.models.dense  # noqa: F401  torch and scvi-tools, whose import takes seconds
        from chromatell.cli._tables import gains, leaderboard
        from chromatell.datasets import pbmc_example

        mdata = pbmc_example()
    _main_job(mdata)
    console = output()
    rna, pred = mdata.mod[RNA], mdata.mod[ATAC_PRED]
    title = f"PBMC example: {rna.n_obs:,} blood cells, {rna.n_vars} genes, {pred.n_vars} regions; scores on test cells"
    for table in (leaderboard(mdata, title, NOTE), gains(mdata)):
        console.print(table, "")
    _print_odds(mdata)
    with step("Save the data, the model and four figures"):
        write(mdata, file)
        saved = [file, *_save_figures(mdata, args.out)]
    console.print("\nSaved " + ", ".join(str(path) for path in saved) + ".", soft_wrap=True, markup=False)
    with step("Apply the saved model to cells with expression only"):
        line = _rna_only(mdata, file)
    console.print(line, soft_wrap=True, markup=False)
    console.print("\nThe same in Python:\n")
    console.print(textwrap.indent(SAME, "    "), soft_wrap=True, markup=False)


def _check(args: argparse.Namespace) -> Path:
    """Return the file to write, or raise, before any work, where one that is there would be replaced unasked."""
    check_folder(args.out, "--out")
    args.out.mkdir(parents=True, exist_ok=True)
    file: Path = args.out / "demo.h5mu"
    check_output(file, [], overwrite=args.overwrite)
    for name in FIGURES:
        path = args.out / _picture(name)
        if path.exists() and not (args.overwrite and path.is_file()):
            raise UsageError(f"{str(path)!r} is there already. Name another folder with --out, or say --overwrite.")
    return file


def _picture(name: str) -> str:
    return f"demo_{name}.png"


def _main_job(mdata: MuData) -> None:
    from chromatell import pp, tl

    with step(f"Split the cells, select {N_REGIONS} regions"):
        pp.split_cells(mdata)
        pp.select_features(mdata, n_regions=N_REGIONS)
    with step("Train a Dense model, predict every cell"), libraries_to_stderr():
        tl.dense(mdata)
    with step("Fit all baselines, score on the test cells, resample for intervals"):
        tl.evaluate(mdata, baselines="all")
    with step("Test at one threshold (Fisher)"):
        tl.fisher(mdata)


def _print_odds(mdata: MuData) -> None:
    """Print the log odds ratio beside the best one of a baseline at the same share of predicted positives."""
    table = mdata.uns[UNS][FISHER]
    own = table.iloc[0]
    rivals = table[table["is_baseline"].astype(bool) & ~table[USES_TARGET_ASSAY].astype(bool)]
    best = rivals.loc[rivals["log_odds_ratio"].idxmax()]
    output().print(
        f"\nLog odds ratio where the model calls a pair open ({own['share_positive']:.1%} of pairs): "
        f"{own['log_odds_ratio']:.2f} [{own['ci_low']:.2f}, {own['ci_high']:.2f}]; best baseline at the same share: "
        f"{best['log_odds_ratio']:.2f} [{best['ci_low']:.2f}, {best['ci_high']:.2f}], {best['model']}.",
        soft_wrap=True,
        markup=False,
    )


def _save_figures(mdata: MuData, folder: Path) -> list[Path]:
    """Draw on figures that pyplot does not know: no window, no backend to choose, nothing left open."""
    from matplotlib.figure import Figure

    from chromatell import pl
    from chromatell.io._write import sibling

    def figure(width: float, height: float) -> Figure:
        return Figure(figsize=(width, height), layout="constrained")

    board = figure(8.2, 3.8)
    pl.leaderboard(mdata, ax=list(board.subplots(1, 3)))
    figures = {FIGURES[0]: board}
    for name in FIGURES[1:]:
        figures[name] = figure(6.0, 4.2)
        getattr(pl, name)(mdata, ax=figures[name].subplots())
    paths = []
    for name, drawn in figures.items():
        drawn.supxlabel(SHORT_NOTE, fontsize=7, color="#595959")
        path = (folder / _picture(name)).absolute()
        with sibling(path) as temporary:
            drawn.savefig(temporary, format="png", dpi=150)
        paths.append(folder / path.name)
    return paths


def _rna_only(mdata: MuData, file: Path) -> str:
    """Return a line on what the saved model predicts from the expression of the test cells, and nothing else."""
    import numpy as np

    from chromatell.tl import predict

    test = np.flatnonzero((mdata.obs[SPLIT] == TEST).to_numpy())
    query = mdata.mod[RNA][test].copy()
    completed: Any = predict(query, model=file)
    predicted = completed.mod[ATAC_PRED]
    difference = float(np.abs(predicted.X - mdata.mod[ATAC_PRED].X[test]).max())
    cell, best = predicted.obs_names[0], int(np.argmax(predicted.X[0]))
    return (
        f"From expression only, with the model in {file}: {predicted.n_obs} cells x {predicted.n_vars} regions; "
        f"{predicted.var[REGION].iloc[best]} is open in {cell} with probability {predicted.X[0, best]:.2f} "
        f"(largest difference from the run above {difference:.0e})."
    )
