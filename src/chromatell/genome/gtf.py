"""Lines of GTF: nine fields, 1-based and closed, and attributes whose values may hold any character within quotes."""

from __future__ import annotations

_FIELDS = 9
_STRANDS = {"+": "+", "-": "-", ".": ".", "?": "."}  # NCBI writes '?' for genes spliced from both strands
_NAMES = ("gene_name", "gene_symbol", "gene")  # GENCODE and Ensembl, FlyBase, NCBI
_TYPES = ("gene_type", "gene_biotype")


def gtf_fields(line: str) -> list[str] | None:
    r"""Return the fields of a line, its strand '+', '-' or '.'; None where it is no line of GTF.

    Examples
    --------
    >>> from chromatell.genome.gtf import gtf_fields
    >>> gtf_fields('1\tx\tgene\t5\t9\t.\t?\t.\tgene_id "a";')[3:7]
    ['5', '9', '.', '.']
    """
    fields = line.split("\t")
    if len(fields) != _FIELDS or fields[6] not in _STRANDS or not (is_whole(fields[3]) and is_whole(fields[4])):
        return None
    if not 1 <= int(fields[3]) <= int(fields[4]):
        return None
    fields[6] = _STRANDS[fields[6]]
    return fields


def looks_like_gtf(fields: list[str]) -> bool:
    """Return whether a first line is one of GTF, be its positions as they may."""
    return len(fields) == _FIELDS and fields[6] in _STRANDS and is_whole(fields[3]) and is_whole(fields[4])


def is_whole(text: str) -> bool:
    """Return whether a text is a whole number that a position can be."""
    return text.strip().isascii() and text.strip().isdigit() and len(text) < 12


def attribute(text: str, key: str) -> str:
    """Return one attribute of a GTF line; ``''`` where it is not there.

    Examples
    --------
    >>> from chromatell.genome.gtf import attribute
    >>> attribute('gene_id "G1"; description "binds; gene_name of others"; gene_name "A;B";', "gene_name")
    'A;B'
    """
    at = text.find(key + " ")
    while at >= 0:
        # within the quotes of another value it is no key
        if (at == 0 or text[at - 1] in " ;\t") and text.count('"', 0, at) % 2 == 0:
            value = text[at + len(key) :].lstrip()
            return (value[1:].split('"', 1)[0] if value.startswith('"') else value.split(";", 1)[0]).strip()
        at = text.find(key + " ", at + 1)
    return ""


def gene_name(text: str) -> str:
    """Return the gene's name, as whoever wrote the file calls it."""
    return next((name for key in _NAMES if (name := attribute(text, key))), "")


def gene_type(text: str) -> str:
    """Return the type of the gene."""
    return next((name for key in _TYPES if (name := attribute(text, key))), "")
