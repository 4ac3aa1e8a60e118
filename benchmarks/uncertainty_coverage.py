"""Do the intervals of `tl.uncertainty` hold what was measured: cortex, PBMC and bone marrow, test cells, by cell type.

Calibrated on validation cells, by both kinds of draws. Bone marrow has 500 cells: half of them train, a quarter each
validates and tests, and types of under ten cells in a split are left out.

Run: python benchmarks/uncertainty_coverage.py
"""

from __future__ import annotations

import mudata
from _data import data_dir, load, prepare, save

import chromatell as ctl

SETS = {"cortex": "cell_type", "pbmc": "cell_type", "bone marrow": "cell_type"}


def prepared(name: str, seed: int) -> mudata.MuData:
    if name != "bone marrow":
        return prepare(load(name), name, seed)
    mdata = mudata.read_h5mu(data_dir() / "multiome" / "bmmc_500cells.h5mu")
    ctl.pp.split_cells(mdata, fractions=(0.5, 0.25, 0.25), seed=seed)
    return mdata


def main() -> None:
    mudata.set_options(pull_on_update=False)
    rows = []
    for name, groupby in SETS.items():
        mdata = prepared(name, 0)
        ctl.tl.dense(mdata, seed=0)
        for method in ("members", "dropout"):
            ctl.tl.uncertainty(mdata, groupby, method=method, seed=0)
            result = mdata.uns["ctl"]["uncertainty"]
            table = result["coverage"]
            test = table[table["split"] == "test"].set_index("level")
            shares = " | ".join(f"{test.loc[level, 'covered']:.1%}" for level in (0.5, 0.8, 0.9, 0.95))
            width, n = test.loc[0.9, "width"], int(test["n"].iloc[0])
            groups = result["table"]["group"].nunique()
            rows.append(f"| {name} | {method} | {groups} | {n:,} | {shares} | {width:.3f} |")
    lines = [
        "# Intervals of pseudobulk accessibility on test cells: share that hold the measured value",
        "",
        "Made by `benchmarks/uncertainty_coverage.py`; Dense with 2 members, calibrated on validation cells.",
        "",
        "| data | draws | types | types x regions | nominal 50% | 80% | 90% | 95% | mean width at 90% |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        *rows,
    ]
    save("uncertainty_coverage", "\n".join(lines))


if __name__ == "__main__":
    main()
