"""Variants by their names, as people write them: 'chr1:2250:C>G', 'chr1:g.2250C>G', 'chr1-2250-C-G'."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pandas as pd

from chromatell._errors import ChromatellError
from chromatell._keys import CHROM
from chromatell._nearest import examples

FORM = "'chr1:2250:C>G' or 'chr1-2250-C-G' (chromosome, 1-based position, REF and ALT)"
_NAME = re.compile(r"(.*[^:-])[:-](?:g\.)?([0-9]{1,18})[:-]?([A-Za-z]+)[>:-]([A-Za-z]+(?:,[A-Za-z]+)*)")


def is_variant_name(text: str) -> bool:
    """Return whether a text names a variant."""
    return _NAME.fullmatch(text.strip()) is not None


def named_variants(names: Iterable[str]) -> pd.DataFrame:
    """Return a row a name: `chrom`, `pos` (1-based), `id` (the name), `ref` and `alt`; raise for other names."""
    names = [str(name) for name in names]
    parts = [_NAME.fullmatch(name.strip()) for name in names]
    odd = [name for name, match in zip(names, parts, strict=True) if match is None]
    if odd:
        raise ChromatellError(
            f"{len(odd)} of {len(names)} variants are not named as is needed (such as {examples(odd)}; names such as "
            f"'rs123' are not looked up). Needed: {FORM}, a VCF, or a table: "
            "pd.DataFrame({'chrom': ['chr1'], 'pos': [2250], 'ref': ['C'], 'alt': ['G']})."
        )
    table = pd.DataFrame([match.groups() for match in parts if match], columns=[CHROM, "pos", "ref", "alt"])
    return table.assign(pos=pd.to_numeric(table["pos"]), id=names)
