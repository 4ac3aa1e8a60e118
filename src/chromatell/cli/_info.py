"""``chromatell info``: what data, models, predictions and scores a file holds."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from rich.text import Text

from chromatell._keys import ATAC_PRED, EVALUATION, PROVENANCE, SPLIT, SPLITS, UNS, USES_TARGET_ASSAY
from chromatell.cli._console import output
from chromatell.cli._files import check_data

_MOST = 40  # rows of scores
_NUMBERS = ("value", "ci_low", "ci_high", "n", "is_baseline", USES_TARGET_ASSAY)  # shown together, or in --json alone
_ALWAYS = ("model", "view", "metric")


def run(args: argparse.Namespace) -> None:
    """Print it, as tables or as JSON; matrices stay on disk."""
    check_data(args.input, model=True)
    contents = about(args.input)
    if args.json:
        json.dump(contents, sys.stdout, indent=1, ensure_ascii=False, allow_nan=False)
        sys.stdout.write("\n")
        return
    console = output()
    console.print(Text(f"{args.input}: {contents['kind']}", style="bold"))
    for title, name in (("Data", "data"), ("Split", "split"), ("Models", "models"), ("Predictions", "predictions")):
        _print(console, title, [_short(row) for row in contents[name]])
    scores = contents["scores"]
    _print(console, *_short_scores(scores, _MOST))
    if len(scores) > _MOST:
        console.print(Text(f"... and {len(scores) - _MOST} more; --json lists all.", style="dim"))


def about(path: Path) -> dict[str, Any]:
    """Return what a file holds as plain values: `kind`, and rows of data, split, models, predictions and scores."""
    from chromatell.data._tracks_store import is_tracks_store
    from chromatell.io._disk import MODEL_FILE

    if path.suffix == ".safetensors" or (path / MODEL_FILE).is_file():
        from chromatell.io import read_record_file

        record = read_record_file(path)
        return {
            "kind": "an exported model",
            "data": [],
            "split": [],
            "models": [_model(str(record.card.get("key", record.family)), record)],
            "predictions": [],
            "scores": [_plain(row) for row in record.card.get("scores", []) if isinstance(row, dict)],
        }
    if is_tracks_store(path):
        from chromatell.data import BinnedTracks

        return _of_tracks(BinnedTracks.open(path))
    from chromatell.io import open_cells

    return _of_cells(open_cells(path))


def _of_cells(data: Any) -> dict[str, Any]:
    from mudata import MuData

    whole = isinstance(data, MuData)
    mods = dict(data.mod) if whole else {"": data}
    rows = [
        {
            **({"modality": name} if whole else {}),
            "cells": a.n_obs,
            "variables": a.n_vars,
            "obs": ", ".join(map(str, a.obs.columns)),
            "obsm": ", ".join(map(str, a.obsm)),
        }
        for name, a in mods.items()
    ]
    split = []
    if SPLIT in data.obs:
        of = data.obs[SPLIT].astype(str)
        split = [{"part": part, "cells": int((of == part).sum())} for part in SPLITS]
    pred = mods.get(ATAC_PRED)
    sources = {} if pred is None else dict(pred.uns.get(UNS, {}).get(PROVENANCE, {}))
    predictions = [{"key": key, **_said(said)} for key, said in sources.items()]
    kind = "a MuData" if whole else "an AnnData"
    return {"kind": kind, "data": rows, "split": split, **_models(data), "predictions": predictions, **_scores(data)}


def _of_tracks(tracks: Any) -> dict[str, Any]:
    columns = ["assay", "strand", "role", "sample"]
    rows = [{"track": str(n), **{c: str(tracks.table.loc[n, c]) for c in columns}} for n in tracks.table.index]
    split = []
    if tracks.splits:
        counts = {part: sum(int(tracks.usable(c, part).sum()) for c in tracks.chroms) for part in SPLITS}
        split = [{"part": part, "bins": n} for part, n in counts.items()]
    sources = tracks.uns.get(UNS, {}).get("predictions", {})
    predictions = [{"key": key, **_said(said)} for key, said in sources.items()]
    kind = f"tracks in bins of {tracks.bin_size} bp on {len(tracks.chroms)} chromosomes"
    return {
        "kind": kind,
        "data": rows,
        "split": split,
        **_models(tracks),
        "predictions": predictions,
        **_scores(tracks),
    }


def _models(data: Any) -> dict[str, list[dict[str, Any]]]:
    from chromatell.io import model_keys, read_record

    return {"models": [_model(key, read_record(data, key)) for key in model_keys(data)]}


def _model(key: str, record: Any) -> dict[str, Any]:
    from chromatell.io import content_hash

    return {
        "key": key,
        "family": record.family,
        "schema": record.schema,
        "date": str(record.card.get("date", "")),
        "made by": str(record.card.get("package", "")),
        **{f"{name} in use": len(names) for name, names in record.var_names.items()},
        "MB": round(sum(a.nbytes for a in record.arrays.values()) / 1e6, 3),
        "hash": content_hash(record),
    }


def _said(said: Any) -> dict[str, Any]:
    """Return what is known of a prediction, without its long arrays."""
    names = ("family", "depth", USES_TARGET_ASSAY, "seed", "date")
    return {name: _one(said[name]) for name in names if isinstance(said, dict) and name in said}


def _scores(data: Any) -> dict[str, list[dict[str, Any]]]:
    import pandas as pd

    table = data.uns.get(UNS, {}).get(EVALUATION)
    rows = table.to_dict("records") if isinstance(table, pd.DataFrame) else []
    return {"scores": [_plain(row) for row in rows]}


def _plain(row: dict[Any, Any]) -> dict[str, Any]:
    return {str(name): _one(value) for name, value in row.items()}


def _one(value: Any) -> Any:
    """Return a value that JSON has; None for NaN."""
    import math

    value = value.item() if hasattr(value, "item") and getattr(value, "size", 1) == 1 else value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, int | float | bool | None) else str(value)


def _short(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with the day of a date and the first digits of a hash; --json has them whole."""
    cut = {"date": 10, "hash": 8}
    return {name: value[: cut[name]] if name in cut else value for name, value in row.items()}


def _short_scores(rows: list[dict[str, Any]], most: int) -> tuple[str, list[dict[str, Any]]]:
    """Return a title with what all rows share, and `most` rows that 80 characters hold; --json has them whole."""
    ids = [name for name in dict.fromkeys(name for row in rows for name in row) if name not in _NUMBERS]
    shared = [name for name in ids if name not in _ALWAYS and len({row.get(name) for row in rows}) == 1]
    title = ", ".join(["Scores", *(f"{name} {_shown(rows[0].get(name))}" for name in shared if rows[0].get(name))])
    short = []
    for row in rows[:most]:
        low, high = row.get("ci_low"), row.get("ci_high")
        interval = "" if low is None or high is None else f"{low:.4f} to {high:.4f}"
        value = row.get("value")
        numbers = {"value": "" if value is None else f"{value:.4f}", "95% interval": interval}
        short.append({name: row.get(name) for name in ids if name not in shared} | numbers)
    return title, short


def _print(console: Any, title: str, rows: list[dict[str, Any]]) -> None:
    if not rows:
        console.print(Text(f"\n{title}: none", style="bold"))
        return
    columns = list(dict.fromkeys(name for row in rows for name in row))
    columns = [name for name in columns if any(row.get(name) not in ("", None) for row in rows)]
    from chromatell.cli._tables import new_table

    table = new_table(f"\n{title}", "")
    for name in columns:
        number = all(isinstance(row.get(name), int | float | None) for row in rows)
        one_word = not number and not any(" " in str(row.get(name)) for row in rows)
        table.add_column(Text(name), justify="right" if number else "left", overflow="fold", no_wrap=one_word)
    for row in rows:
        table.add_row(*(Text(_shown(row.get(name))) for name in columns))
    console.print(table)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else "" if value is None else str(value)
