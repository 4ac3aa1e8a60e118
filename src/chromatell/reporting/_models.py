"""The cards of the models in a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from chromatell._keys import ATAC_PRED, PROVENANCE, UNS
from chromatell.io._record import Record, content_hash
from chromatell.io._uns_store import model_keys, read_record
from chromatell.reporting._html import WIDTH, Html, join, pairs, picture, tag

_OTHER = ("key", "data", "split", "versions", "scores", "package", "date")  # parts that are shown by themselves
_MOST = 12  # values of a list


def models(data: Any) -> Html:
    """Return the card of each model in `.uns`, with its history, and where each other prediction came from."""
    keys = model_keys(data)
    out = [_model(data, key) for key in keys]
    pred = getattr(data, "mod", {}).get(ATAC_PRED)
    sources = {} if pred is None else pred.uns.get(UNS, {}).get(PROVENANCE, {})
    if sources:
        rows = [(key, _line(said)) for key, said in sources.items()]
        out += [tag("h3", "Where the predictions in atac_pred came from"), pairs(rows)]
    if not keys:
        out.insert(
            0,
            tag(
                "p",
                "These data carry no model: ctl.tl.dense(mdata), or the verb of another family, stores one.",
                class_="note",
            ),
        )
    return join(out)


def _model(data: Any, key: str) -> Html:
    from chromatell import pl

    record = read_record(data, key)
    card = pairs([*_facts(record)])
    shown = [card]
    if any(name.startswith("history.") for name in record.arrays):
        about = f"Loss of {key} against epoch"
        shown.append(
            picture(lambda ax: pl.history(data, key, ax=ax), about, size=(WIDTH, 2.5), caption="Loss in training")
        )
    return join([tag("h3", key), tag("div", *shown, class_="grid")])


def _facts(record: Record) -> list[tuple[str, Any]]:
    card = record.card
    facts: list[tuple[str, Any]] = [("family", f"{record.family} (schema {record.schema})")]
    facts += [(f"{name} in use", len(names)) for name, names in record.var_names.items()]
    facts += [(name, card[name]) for name in ("date",) if name in card]
    if "package" in card:
        facts.append(("made by", f"chromatell {card['package']}"))
    for name in ("data", "split", "versions"):
        if name in card:
            facts.append((name, _line(card[name])))
    facts += [(str(name), _line(value)) for name, value in card.items() if name not in _OTHER]
    weights = sum(a.size for name, a in record.arrays.items() if name.startswith("weights."))
    facts.append(
        ("weights", f"{weights:,} numbers, {sum(a.nbytes for a in record.arrays.values()) / 1e6:.3g} MB in all")
    )
    facts += [(str(name), _line(value)) for name, value in record.config.items()]
    facts.append(("content hash (SHA-256)", tag("code", content_hash(record))))
    return facts


def _line(value: Any) -> str:
    """Return a value, or nested values, as one line."""
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {_line(v)}" for name, v in value.items())
    if isinstance(value, np.ndarray):
        return _line(value.tolist()) if value.size <= _MOST else f"{value.size:,} values"
    if isinstance(value, list | tuple):
        more = ", ..." if len(value) > _MOST else ""
        return ", ".join(_line(v) for v in value[:_MOST]) + more
    return "none" if value is None or value == "" else f"{value:.4g}" if isinstance(value, float) else str(value)
