"""Files that are safe to open: ``ctl.io``."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from chromatell._lazy import lazy

if TYPE_CHECKING:
    from chromatell.io import bigwig
    from chromatell.io._disk import load_record, save_record
    from chromatell.io._export import export_model, import_model
    from chromatell.io._file import read_record_file
    from chromatell.io._guard import check_file, read, resolve_sibling
    from chromatell.io._record import Record, content_hash
    from chromatell.io._save import write
    from chromatell.io._shuffled import open_cells, write_shuffled
    from chromatell.io._uns_store import model_keys, read_record, write_record
    from chromatell.io._write_tracks import write_tracks
    from chromatell.io._zarr_reader import open_prediction
    from chromatell.io._zarr_writer import PredictionWriter, prediction_reference

# name -> file that defines it
_WHERE = {
    "Record": "_record",
    "content_hash": "_record",
    "write_record": "_uns_store",
    "read_record": "_uns_store",
    "model_keys": "_uns_store",
    "save_record": "_disk",
    "load_record": "_disk",
    "read_record_file": "_file",
    "read": "_guard",
    "write": "_save",
    "open_cells": "_shuffled",
    "write_shuffled": "_shuffled",
    "check_file": "_guard",
    "resolve_sibling": "_guard",
    "export_model": "_export",
    "import_model": "_export",
    "write_tracks": "_write_tracks",
    "PredictionWriter": "_zarr_writer",
    "open_prediction": "_zarr_reader",
    "prediction_reference": "_zarr_writer",
}

__all__ = [
    "PredictionWriter",
    "Record",
    "bigwig",
    "check_file",
    "content_hash",
    "export_model",
    "import_model",
    "load_record",
    "model_keys",
    "open_cells",
    "open_prediction",
    "prediction_reference",
    "read",
    "read_record",
    "read_record_file",
    "report",
    "resolve_sibling",
    "save_record",
    "write",
    "write_record",
    "write_shuffled",
    "write_tracks",
]
_by_name, _names = lazy(__name__, _WHERE)


def __getattr__(name: str) -> Any:
    if name == "report":  # it draws, and so lies above the plots
        return importlib.import_module("chromatell.reporting._report").report
    return importlib.import_module("chromatell.io.bigwig") if name == "bigwig" else _by_name(name)


def __dir__() -> list[str]:
    return sorted([*_names(), "bigwig", "report"])
