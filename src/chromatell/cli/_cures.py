"""What the calls of Python that an error names are on the command line."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Collection, Mapping
from typing import Any

_TRAIN = "chromatell train PAIRED.h5mu -o TRAINED.h5mu"
# a call to what is typed
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
    "ctl.pp.bin_genome": "chromatell bin FRAGMENTS.tsv.gz --chrom-sizes hg38 -o CELLS.h5ad",
    "ctl.pp.bin_tracks": "chromatell train -o T.zarr --family nascent --plus P.bw --minus M.bw --target H3K4me3=X.bw",
    "ctl.tl.predict": "chromatell predict QUERY.h5ad --model TRAINED.h5mu -o PREDICTED.h5mu",
}
_CALL = re.compile(r"ctl\.\w+\.\w+(?=\()")
_VALUE = re.compile(r"""'[^']*'|"[^"]*"|\([^()]*\)|\[[^][]*\]|-?\d+(?:\.\d+)?(?:e-?\d+)?\b""")
_OTHERWISE = {"by": "--split-regions", "holdout": "--test-chromosomes", "out": "--predictions"}  # names that differ
_QUOTED = re.compile(r"'([^'\n]+)'")
_KEYWORD = re.compile(r"(?<![\w.'\"])([a-z]\w*)=(?=[\w'\"(\[{.-])")


def _typed_value(text: str) -> str:
    """Return the value that a text begins with, as it is typed in a shell; '' where it is none."""
    match = _VALUE.match(text)
    if match is None:
        return ""
    try:
        value = ast.literal_eval(match[0])
    except (SyntaxError, ValueError):  # a call, or '...'
        return ""
    parts = value if isinstance(value, tuple | list) else [value] if value not in ("", "...") else []
    return " ".join(shlex.quote(str(part)) for part in parts)


def _given(given: Mapping[str, Any] | None, option: str) -> str:
    """Return the value that an option was given, as it is typed; '' where it was given none."""
    value = (given or {}).get(option.strip("-").replace("-", "_"))
    return "" if value is None else " ".join(map(str, value if isinstance(value, list | tuple) else [value]))


def as_typed(message: str, options: Collection[str], given: Mapping[str, Any] | None = None) -> str:
    r"""Return a line on the first call in a message that has its like on the command line, else on its keywords; or ''.

    Where there is neither, the options are named whose values stand in the message.

    Parameters
    ----------
    options
        Those of the command, such as '--depth-key'.
    given
        Name of each option of the call, such as 'depth_key', and its value.

    Examples
    --------
    >>> from chromatell.cli._cures import as_typed
    >>> as_typed("There is no model in mdata.uns. Train one with ctl.tl.dense(mdata).", [])
    '\nOn the command line: chromatell train PAIRED.h5mu -o TRAINED.h5mu'
    >>> as_typed("The loss became nan. Lower the learning rate: train(lr=...).", ["--lr", "--seed"])
    '\nOn the command line: --lr'
    >>> as_typed("They sum to 0.8. Try fractions=(0.8, 0.1, 0.1), by='blocks'.", ["--fractions", "--split-regions"])
    '\nOn the command line: --fractions 0.8 0.1 0.1, --split-regions blocks'
    """
    typed = [TYPED[match[0]] for match in _CALL.finditer(message) if match[0] in TYPED][:1]
    if not typed:
        named = {}
        for match in _KEYWORD.finditer(message):
            option = _OTHERWISE.get(match[1], "--" + match[1].replace("_", "-"))
            if option in options:  # of several values the last: what was found wrong is told before what would do
                value = _typed_value(message[match.end() :])
                named[option] = "" if value == _given(given, option) else value
        typed = [f"{option} {value}".rstrip() for option, value in named.items()]
    if not typed:
        quoted = set(_QUOTED.findall(message))
        said = ["--" + name.replace("_", "-") for name, value in (given or {}).items() if str(value) in quoted]
        typed = [option for option in said if option in options]
    return f"\nOn the command line: {', '.join(typed)}" if typed else ""
