"""Docstrings of parameters that mean the same in many functions: written once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping


def completed(doc: str, parameters: Iterable[str], shared: Mapping[str, str]) -> str:
    r"""Return a docstring with the shared parameters that it leaves out, at the end of its section.

    A key of `shared` may name several, such as 'rna, atac'.

    Examples
    --------
    >>> doc = "Draw.\n\nParameters\n----------\nx\n    Data.\n\nReturns\n-------\nAxes"
    >>> completed(doc, ["x", "ax"], {"ax": "Axes to draw on."}).split("\n")[5:9]
    ['    Data.', 'ax', '    Axes to draw on.', '']
    """
    parameters = set(parameters)
    head, mark, tail = doc.partition("\n\nReturns\n")
    said = [key for key in shared if set(key.split(", ")) <= parameters]
    said = [key for key in said if not re.search(rf"^{key}$", head, re.MULTILINE)]
    more = "".join(f"\n{key}\n    {shared[key]}" for key in said)
    return f"{head}{more}{mark}{tail}"
