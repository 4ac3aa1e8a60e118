"""What the calls of Python that an error names are on the command line."""

from __future__ import annotations

import re

_TRAIN = "chromatell train PAIRED.h5mu -o TRAINED.h5mu"
# a call, or a keyword of one, to what is typed
TYPED = {
    "ctl.tl.dense": _TRAIN,
    "ctl.tl.xchrom": f"{_TRAIN} --family xchrom --fasta GENOME.fa",
    "ctl.tl.atacformer": f"{_TRAIN} --family atacformer",
    "ctl.tl.nascent": "chromatell train TRACKS.zarr -o TRAINED.zarr --family nascent",
    "ctl.pp.split_cells": "the option --split-by of chromatell train, which splits the cells",
    "ctl.pp.split_regions": f"{_TRAIN} --family xchrom --split-regions chromosome",
    "ctl.pp.select_features": f"{_TRAIN} --n-genes 5000 --n-regions 20000",
    "ctl.pp.add_sequence": "the option --fasta GENOME.fa",
    "ctl.tl.evaluate": "chromatell evaluate TRAINED.h5mu",
    "ctl.tl.predict": "chromatell predict QUERY.h5ad --model TRAINED.h5mu -o PREDICTED.h5mu",
    "key=": "the option --key NAME",
}
_CALL = re.compile(r"ctl\.\w+\.\w+(?=\()|(?<![\w.])key=")


def as_typed(message: str) -> str:
    r"""Return a line on the first call or keyword in a message that has its like on the command line, or ''.

    Examples
    --------
    >>> from chromatell.cli._cures import as_typed
    >>> as_typed("There is no model in mdata.uns. Train one with ctl.tl.dense(mdata).")
    '\nOn the command line: chromatell train PAIRED.h5mu -o TRAINED.h5mu'
    """
    named = next((TYPED[found[0]] for found in _CALL.finditer(message) if found[0] in TYPED), None)
    return "" if named is None else f"\nOn the command line: {named}"
