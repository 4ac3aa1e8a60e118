"""Files of one stack read by another: all families, all formats, the largest difference of the predictions.

Each stack writes a trained model of each family into an `.h5mu`, an `.h5ad`, `.zarr` stores (of a MuData and of an
AnnData) and an exported folder, beside the data it predicts from and the predictions that it gave. Every stack then
reads what every other wrote, predicts, and writes the data again in the same format (an exported folder: the model),
which must predict the same once more. Stacks are the interpreters that are named, each with the package installed or
on PYTHONPATH.

Run: python benchmarks/cross_reading.py PYTHON PYTHON ...
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

LIMIT = 1e-6
QUICK = {"max_epochs": 2}
PACKAGES = ("anndata", "mudata", "pandas", "numpy", "zarr", "torch", "xgboost")


def dense(ctl: Any) -> Any:
    mdata = ctl.datasets.simulate_multiome(60, 12, 16, seed=0, truth=False)
    ctl.pp.split_cells(mdata, seed=0)
    ctl.tl.dense(mdata, n_hidden=8, n_latent=4, seed=0, train_kwargs=QUICK)
    return mdata


def dense_network(ctl: Any) -> Any:
    """On data this small the network of `dense` has no share in what is predicted."""
    mdata = ctl.datasets.simulate_multiome(60, 12, 16, seed=0, truth=False)
    ctl.pp.split_cells(mdata, seed=0)
    options = {"n_hidden": 8, "n_latent": 4, "stack": False, "key_added": "dense_network"}
    ctl.tl.dense(mdata, **options, seed=0, train_kwargs=QUICK)
    return mdata


def xchrom(ctl: Any) -> Any:
    mdata = ctl.datasets.simulate_sequence_multiome(n_cells=60, n_regions=16, n_genes=12, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    ctl.tl.xchrom(mdata, stem_filters=4, seed=0, train_kwargs=QUICK)
    return mdata


def atacformer(ctl: Any) -> Any:
    mdata = ctl.datasets.simulate_multiome(60, 12, 24, seed=0, truth=False)
    atac = mdata.mod["atac"]
    ctl.pp.split_cells(atac, seed=0)
    ctl.tl.atacformer(atac, labels="cell_type", d=8, n_hidden=8, n_layers=1, n_heads=2, seed=0, train_kwargs=QUICK)
    return mdata


def nascent(ctl: Any) -> Any:
    import numpy as np

    signal = np.random.default_rng(0).poisson(0.3, 400)
    tracks = ctl.data.BinnedTracks({"chr1": [signal, signal > 1]}, ["plus", "mark"], chrom_sizes={"chr1": 20_000})
    tracks.table.loc["plus", "role"] = "input"
    ctl.tl.nascent(tracks, window=5, seed=0, max_depth=2, train_kwargs={"max_epochs": 5})
    return tracks


FAMILIES = {
    "dense": dense,
    "dense_network": dense_network,
    "xchrom": xchrom,
    "atacformer": atacformer,
    "nascent": nascent,
}


def carriers(ctl: Any, family: str, made: Any) -> dict[str, Any]:
    """Return what is written: the data with its model as a MuData, as an AnnData and, of `Nascent`, as tracks."""
    import mudata

    if family == "nascent":
        adata = made.to_anndata("chr1")
        mdata = mudata.MuData({"tracks": adata})
    elif family == "atacformer":
        adata, mdata = made.mod["atac"], made
    else:
        adata, mdata = made.mod["rna"], made
    record = ctl.models.load(made if family != "atacformer" else adata).to_record()
    for data in (adata, mdata):
        if not ctl.io.model_keys(data):
            ctl.io.write_record(data, family, record)
    return {"mdata.h5mu": mdata, "mdata.zarr": mdata, "adata.h5ad": adata, "adata.zarr": adata} | (
        {"tracks.zarr": made} if family == "nascent" else {}
    )


def predict(ctl: Any, family: str, model: Any, data: Any) -> Any:
    """Return what a model predicts, with the data that was written beside it."""
    import numpy as np

    if family == "nascent":
        tracks = data if isinstance(data, ctl.data.BinnedTracks) else ctl.data.BinnedTracks.open(data)
        return np.asarray(model.predict(tracks).values("chr1"))
    if family == "atacformer":
        return np.concatenate([model.embed(data), model.predict(data)], axis=1)
    return np.asarray(model.predict(data))


def write(folder: Path) -> None:
    """Write all families in all formats."""
    import numpy as np

    import chromatell as ctl

    for family, make in FAMILIES.items():
        made = make(ctl)
        place = folder / family
        place.mkdir(parents=True)
        carried = carriers(ctl, family, made)
        for name, data in carried.items():
            save(ctl, data, place / name)
        ctl.io.export_model(carried["adata.h5ad"], family, place / "exported")
        model = ctl.models.load(place / "exported")
        np.save(place / "expected.npy", predict(ctl, family, model, source(ctl, family, carried)))


def save(ctl: Any, data: Any, path: Path) -> None:
    """Write data in the format that its name ends with."""
    if isinstance(data, ctl.data.BinnedTracks):
        data.save(path)
    else:
        ctl.io.write(data, path)


def source(ctl: Any, family: str, carried: dict[str, Any]) -> Any:
    """Return what the expected predictions are made from."""
    return carried["tracks.zarr" if family == "nascent" else "adata.h5ad"]


def read(folder: Path) -> list[dict[str, Any]]:
    """Return, for each family and format, the largest difference from what its writer predicted."""
    import numpy as np

    import chromatell as ctl

    ctl.settings.check_seconds = 0  # no child process for each file of ours
    found = []
    for family in FAMILIES:
        place = folder / family
        expected = np.load(place / "expected.npy")
        tracks = ctl.data.BinnedTracks.open(place / "tracks.zarr") if family == "nascent" else None
        for path in sorted(p for p in place.iterdir() if p.name != "expected.npy"):
            row = {"family": family, "format": path.name}
            try:
                row |= differences(ctl, family, path, expected, tracks)
            except Exception as error:  # noqa: BLE001  # one that is not read is a row of the table
                row["error"] = f"{type(error).__name__}: {str(error)[:200]}"
            found.append(row)
    return found


def differences(ctl: Any, family: str, path: Path, expected: Any, tracks: Any) -> dict[str, Any]:
    """Return the largest difference after reading, and after reading what was then written again."""
    import numpy as np

    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as work:
        for step in ("read", "written again"):
            model = ctl.models.load(path)
            if path.name == "exported":
                data = None
            elif path.name == "tracks.zarr":
                data = ctl.data.BinnedTracks.open(path)
            else:
                data = ctl.io.read(path)
            if tracks is not None:
                query = data if isinstance(data, ctl.data.BinnedTracks) else tracks
            else:
                query = ctl.io.read(path.with_name("adata.h5ad")) if data is None else data
                query = getattr(query, "mod", {}).get("atac" if family == "atacformer" else "rna", query)
            predicted = predict(ctl, family, model, query)
            found[step] = float(np.abs(predicted - expected).max())
            if step == "read":
                path = Path(work) / path.name
                if data is not None:
                    save(ctl, data, path)
                    continue
                model.save(path)
                if tracks is None:  # the data to predict from lie beside it
                    ctl.io.write(query, path.with_name("adata.h5ad"))
    return found


def run(python: str, *arguments: str | Path) -> str:
    """Return what a step prints in the environment of an interpreter."""
    call = [python, "-W", "ignore", __file__, *map(str, arguments)]
    return subprocess.run(call, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ}).stdout


def versions() -> str:
    from importlib.metadata import version
    from platform import python_version

    return ", ".join([f"Python {python_version()}", *(f"{name} {version(name)}" for name in PACKAGES)])


def main(pythons: list[str]) -> int:
    """Write with each interpreter, read with each, and keep the table; 1 where a difference is over the limit."""
    from _table import write_table

    said = {python: run(python, "versions").strip() for python in pythons}
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as work:
        for i, python in enumerate(pythons):
            run(python, "write", Path(work) / str(i))
        for j, reader in enumerate(pythons):
            for i, found in enumerate(json.loads(run(reader, "read", work).splitlines()[-1])):
                rows += [{"writer": f"{i + 1}", "reader": f"{j + 1}", **row} for row in found]
    worst = sum(not (max(row.get("read", 1), row.get("written again", 1)) <= LIMIT) for row in rows)
    note = "\n".join(f"{i + 1}. {said[python]}" for i, python in enumerate(pythons))
    note = f"{__doc__.splitlines()[0]}\nOver {LIMIT:g}, or not read: {worst} of {len(rows)}.\n\n{note}"
    write_table("cross_reading", summary(rows), note)
    return int(worst > 0)


def summary(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Return a row for each writer and reader: the largest difference of a family over its formats, or what failed."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for row in rows:
        line = found.setdefault((row["writer"], row["reader"]), {"writer": row["writer"], "reader": row["reader"]})
        if "error" in row:
            line["not read"] = f"{line.get('not read', '')} {row['family']} {row['format']}: {row['error']};".strip()
            continue
        largest = max(row["read"], row["written again"], float(line.get(row["family"], 0)))
        line[row["family"]] = f"{largest:.1e}"
    return list(found.values())


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command == "write":
        write(Path(sys.argv[2]))
    elif command == "read":
        print(json.dumps([read(folder) for folder in sorted(Path(sys.argv[2]).iterdir(), key=lambda p: int(p.name))]))
    elif command == "versions":
        print(versions())
    elif command:
        sys.exit(main(sys.argv[1:]))
    else:
        sys.exit("Name the interpreters: python benchmarks/cross_reading.py PYTHON PYTHON ...")
