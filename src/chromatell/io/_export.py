"""A model alone, with a card for people to read: what is shared where the cells must not be."""

from __future__ import annotations

import datetime
import html
import math
import os
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from chromatell._arguments import arguments
from chromatell._keys import EVALUATION, GAINS, UNS
from chromatell._validate import ChromatellError, store_key
from chromatell.io._disk import MODEL_FILE, save_record
from chromatell.io._file import read_record_file
from chromatell.io._record import NEEDS, Record, content_hash
from chromatell.io._replace import CARD_SAYS, check_target
from chromatell.io._uns_store import choose_key, model_keys, read_record, write_record
from chromatell.io._write import sibling

README = "README.md"
# Only these leave with a model: whatever else a card holds could name cells or donors.
CARD_FIELDS = (
    "key",
    "data",
    "split",
    "scores",
    "validation",
    "smoothing",
    "cnn_share",
    "ridge_share",
    "out_of_range",
    "versions",
    NEEDS,
    "date",
    "notes",
    "license",
    "citation",
)
_OF_SCORE = ("split", "pairs", "view", "metric")
_OF_GAIN = ("baseline", "gain", "ahead", "gain_over_ahead")
_SCORE_COLUMNS = (*_OF_SCORE, "value", "ci_low", "ci_high", "n", *_OF_GAIN)
_PACKAGES = ("chromatell", "torch", "scvi-tools", "anndata", "mudata", "numpy")


@arguments
def export_model(
    source: MuData | AnnData | str | os.PathLike[str],
    key: str | None,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
) -> Path:
    """Write one model alone into a folder, with a card, and return the folder.

    The folder holds ``model.safetensors`` (weights, statistics, names of genes and regions, the card) and ``README.md``
    (the card for people). No cell, barcode or label of a cell goes with it; the names of genes and regions do.

    Parameters
    ----------
    source
        The MuData whose ``.uns`` holds the model, or a `.h5mu`, `.h5ad` or `.zarr`.
    key
        Name of the model; None where there is only one.
    path
        The folder to make.
    overwrite
        Replace a model and its card that are there; a README.md of your own stays, and is an error.

    Raises
    ------
    ChromatellError
        No such model, or the folder holds one already, or a README.md that is not a model's card.

    References
    ----------
    Mitchell et al. (2019), Model cards for model reporting, FAT* '19, doi:10.1145/3287560.3287596.

    Examples
    --------
    >>> import tempfile, mudata, anndata, numpy as np
    >>> import chromatell as ctl
    >>> mdata = mudata.MuData({"rna": anndata.AnnData(np.zeros((2, 3), "float32"))})
    >>> ctl.io.write_record(mdata, "dense", ctl.io.Record("dense", 1, {}, {"weights.b": np.zeros(3)}))
    >>> folder = ctl.io.export_model(mdata, "dense", tempfile.mkdtemp() + "/shared")
    >>> sorted(file.name for file in folder.iterdir())
    ['README.md', 'model.safetensors']
    """
    folder = Path(path)
    if folder.is_file() or folder.suffix in (".safetensors", ".h5mu", ".h5ad", ".zarr"):
        raise ChromatellError(
            f"path={str(folder)!r} must be a folder to make, such as 'shared_model'; a file was named."
        )
    if isinstance(source, MuData | AnnData):
        key = choose_key(model_keys(source), key, "mdata.uns['ctl']['models']")
        record = read_record(source, key)
        scores = _scores(source, key)
    else:
        record, scores = read_record_file(source, key), []
    card = {name: record.card[name] for name in CARD_FIELDS if name in record.card}
    trained_with = {"chromatell": str(record.card["package"])} if "package" in record.card else None
    card.setdefault("versions", trained_with or {name: version(name) for name in _PACKAGES})
    card.setdefault("date", datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"))
    if key is not None:
        card["key"] = key
    if scores:
        card["scores"] = scores
    shared = Record(record.family, record.schema, record.config, record.arrays, record.var_names, card, record.manifest)
    check_target(folder / README, "card", overwrite=overwrite)
    save_record(shared, folder / MODEL_FILE, overwrite=overwrite)
    with sibling(folder / README, overwrite=overwrite) as temporary:
        temporary.write_text(_readme(shared), encoding="utf-8")
    return folder


@arguments
def import_model(
    path: str | os.PathLike[str],
    mdata: MuData | AnnData | None = None,
    *,
    key: str | None = None,
    model: str | None = None,
) -> Record:
    """Return a model from a file or folder; with `mdata` it is also written into ``mdata.uns['ctl']['models']``.

    Parameters
    ----------
    path
        What `export_model` wrote, or a `.h5mu`, `.h5ad` or `.zarr` that carries a model.
    mdata
        Where to put it; left out, it is only read.
    key
        Its name there; None keeps the name it had.
    model
        Which model of a file that carries several.

    Returns
    -------
    Record
        The model; ``mdata.uns['ctl']['models'][key]`` : dict, as `write_record` writes it.

    Raises
    ------
    ChromatellError
        The file is refused (see `read_record_file`), or a model of that name is in `mdata` already.

    Examples
    --------
    >>> import tempfile, mudata, anndata, numpy as np
    >>> import chromatell as ctl
    >>> mdata = mudata.MuData({"rna": anndata.AnnData(np.zeros((2, 3), "float32"))})
    >>> record = ctl.io.Record("dense", 1, {}, {"weights.b": np.zeros(3)})
    >>> folder = ctl.io.save_record(record, tempfile.mkdtemp())
    >>> ctl.io.import_model(folder, mdata, key="theirs").family
    'dense'
    >>> ctl.io.model_keys(mdata)
    ['theirs']
    """
    record = read_record_file(path, model)
    if mdata is not None:
        key = store_key(key or model or str(record.card.get("key") or record.family))
        if key in model_keys(mdata):
            raise ChromatellError(
                f"mdata.uns['ctl']['models'] has a model {key!r} already. Give the new one another name: key='{key}_2'."
            )
        write_record(mdata, key, record)
    return record


def _scores(source: MuData | AnnData, key: str) -> list[dict[str, Any]]:
    """Return the scores of a model, with the baseline that it was measured against, as plain values.

    `baseline` is the best on validation data, and `ahead` one that beats it on the scored data.
    """
    own = source.uns.get(UNS, {})
    table, gains = (own.get(name) for name in (EVALUATION, GAINS))
    if not isinstance(table, pd.DataFrame) or "model" not in table:
        return []
    rows = table[table["model"].astype(str) == key]
    if isinstance(gains, pd.DataFrame) and {"model", *_OF_SCORE} <= {*gains} & {*table}:
        gains = gains.loc[gains["model"].astype(str) == key, [c for c in (*_OF_SCORE, *_OF_GAIN) if c in gains]]
        rows = rows.merge(gains, how="left", on=list(_OF_SCORE))
    rows = rows[[c for c in _SCORE_COLUMNS if c in rows]]
    return [{str(k): _plain(v) for k, v in row.items()} for row in rows.to_dict("records")]


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, int | float | bool | None) else str(value)


def _readme(record: Record) -> str:
    """Return the card as Markdown; every value is escaped, since it may come from somebody else's file."""
    card = record.card
    sizes = ", ".join(f"{len(names)} {_safe(modality)}" for modality, names in record.var_names.items()) or "none"
    lines = [
        f"# {_safe(card.get('key', record.family))}",
        "",
        f"{CARD_SAYS} `{_code(record.family)}` (schema {record.schema}). "
        "It holds weights and names of genes and regions, no cells.",
        "",
        "```python",
        "import chromatell as ctl",
        "",
        'predicted = ctl.tl.predict(rna, model="path/to/this/folder")',
        "```",
        "",
        f"- variables: {sizes}",
        f"- arrays: {len(record.arrays)}, {sum(a.nbytes for a in record.arrays.values()) / 1e6:.3g} MB",
        f"- content hash (SHA-256; shows that nothing changed, not who wrote it): `{content_hash(record)}`",
    ]
    for name in CARD_FIELDS:
        if name not in ("key", "scores") and name in card:
            lines += _section(name, card[name])
    lines += _score_table(card.get("scores"))
    return "\n".join(lines) + "\n"


def _section(name: str, value: Any) -> list[str]:
    lines = ["", f"## {_safe(name.capitalize())}", ""]
    if isinstance(value, dict):
        return lines + [f"- {_safe(k)}: {_plain_text(v)}" for k, v in value.items()]
    return lines + [f"- {_safe(v)}" for v in (value if isinstance(value, list) else [value])]


def _score_table(scores: Any) -> list[str]:
    rows = [row for row in scores if isinstance(row, dict)] if isinstance(scores, list) else []
    if not rows:
        return []
    columns = [c for c in _SCORE_COLUMNS if any(c in row for row in rows)]
    lines = ["", "## Scores", "", f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    for row in rows:
        cells = [f"{v:.4g}" if isinstance(v := row.get(c), float) else _safe("" if v is None else v) for c in columns]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _plain_text(value: Any) -> str:
    """Return a value, or a dict of values in one line."""
    if isinstance(value, dict):
        return ", ".join(f"{_safe(k)} {_safe(v)}" for k, v in value.items())
    return _safe(value)


def _safe(value: Any) -> str:
    """Return text that neither Markdown nor HTML takes for its own."""
    text = " ".join(str(value).split())[:500]
    # Markdown first: an escape in front of a character of an HTML entity would break the entity
    text = re.sub(r"([\\`*_{}\[\]()#+!|~:@-])", r"\\\1", text)
    return html.escape(text, quote=False)


def _code(value: Any) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "", str(value))[:100]
