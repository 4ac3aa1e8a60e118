"""Where motifs come from: JASPAR, MEME files, arrays; each row is (name, id, matrix)."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from chromatell._settings import logger
from chromatell._validate import ChromatellError, examples, warn

CURE = (
    "Needed: names or ids of JASPAR ('CTCF', 'MA0139.2'), the path of a file in MEME text format, or a dict of name -> "
    "(length, 4) array of probabilities or counts of A, C, G, T."
)
Row = tuple[str, str, Any]
_NAME = re.compile(r"[A-Za-z0-9_.:()+ -]{1,64}")  # a factor's name in JASPAR
_MAX_LENGTH = 256  # bases of a motif
_MAX_MOTIFS = 100_000
_MAX_NAME = 256
_MAX_LINE = 65_536
_MAX_FILE = 256 * 1024**2  # bytes; the whole of JASPAR in MEME format has 6 MB


def looks_like_a_path(text: str) -> bool:
    """Return whether a text names a file and not a motif."""
    return (
        "/" in text or "\\" in text or bool(re.search(r"\.(meme|txt|motifs?|pfm)$", text, re.I)) or Path(text).is_file()
    )


def from_jaspar(names: Iterable[str], release: str | None = None) -> list[Row]:
    """Return the matrices of names and ids of JASPAR, each once."""
    database = _jaspar(release)
    rows: list[Row] = []
    for name in names:
        is_id = re.fullmatch(r"MA\d{4}(\.\d+)?", name)
        motif = None
        if _NAME.fullmatch(name):  # pyjaspar writes names into its SQL
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what is not found is an error, below
                motif = database.fetch_motif_by_id(name) if is_id else _by_name(database, name)
        if motif is None:
            raise ChromatellError(f"{database.release} has no motif {name!r}. {CURE}")
        rows.append((str(motif.name) if is_id else name, str(motif.matrix_id), _counts(motif)))
    # a name and its id, such as CTCF and MA0139, are one motif
    once = {identifier: (name, identifier, matrix) for name, identifier, matrix in reversed(rows)}
    logger.info("Motifs are of %s.", database.release)
    return [once[identifier] for identifier in dict.fromkeys(identifier for _, identifier, _ in rows)]


def of_vertebrates(genes: Iterable[str], release: str | None = None) -> list[Row]:
    """Return one matrix of each factor of vertebrates whose parts are all among some genes, sorted by name."""
    known = {str(g).upper() for g in genes}
    database = _jaspar(release)
    # names first: reading all matrices takes seconds
    names = {str(row[0]) for row in database.conn.execute("SELECT DISTINCT NAME FROM MATRIX WHERE COLLECTION = 'CORE'")}
    wanted = [n for n in names if set(n.upper().split("::")) <= known and _NAME.fullmatch(n)]
    if not wanted:
        return []
    chosen: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # plants' factors of the same name alone: none found
        for motif in database.fetch_motifs(collection="CORE", tax_group=["vertebrates"], tf_name=wanted):
            name = str(motif.name).upper()
            if name not in chosen or motif.matrix_id < chosen[name].matrix_id:
                chosen[name] = motif
    logger.info("Motifs are of %s.", database.release)
    return [(name, str(m.matrix_id), _counts(m)) for name, m in sorted(chosen.items())]


def of_families(release: str | None = None) -> list[Row]:
    """Return one matrix of each family of JASPAR's vertebrate factors, the one that says most, sorted by name."""
    database = _jaspar(release)
    chosen: dict[tuple[str, ...], tuple[float, str, Any]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for motif in database.fetch_motifs(collection="CORE", tax_group=["vertebrates"]):
            family = tuple(motif.tf_family if isinstance(motif.tf_family, list) else [str(motif.tf_family)])
            p = probabilities(_counts(motif), str(motif.name)).astype(np.float64)
            bits = float(np.sum(p * np.log2(np.maximum(p, 1e-12)) + p * 2))  # rows sum to 1: 2 bits less entropy
            if family not in chosen or (bits, str(motif.matrix_id)) > chosen[family][:2]:
                chosen[family] = bits, str(motif.matrix_id), motif
    logger.info("Motifs are of %s.", database.release)
    rows = [(str(m.name), str(m.matrix_id), _counts(m)) for _, _, m in chosen.values()]
    return sorted(rows, key=lambda row: row[:2])


def _jaspar(release: str | None) -> Any:
    """Return the database of a release, such as 'JASPAR2024'; None takes the latest that pyjaspar brings along."""
    try:
        from pyjaspar import jaspardb
    except ImportError as error:
        raise ChromatellError(
            "Motifs of JASPAR need pyjaspar: pip install 'chromatell[sequence]'. Or give a MEME file, or a dict of "
            "name -> (length, 4) array."
        ) from error
    if release is None:
        return jaspardb()
    from pyjaspar import jaspar_releases

    name = f"JASPAR{str(release).upper().removeprefix('JASPAR')}"
    if name not in jaspar_releases:
        raise ChromatellError(
            f"release={release!r} of JASPAR is not there; pyjaspar has {list(jaspar_releases)}. Take one of these."
        )
    return jaspardb(release=name)


def _counts(motif: Any) -> np.ndarray:
    return np.array([motif.counts[base] for base in "ACGT"], dtype=np.float64).T


def _by_name(database: Any, name: str) -> Any:
    """Return the vertebrate matrix with the lowest id, which is the first that was deposited."""
    motifs = [m for m in database.fetch_motifs_by_name(name) if m.collection == "CORE"]
    if not motifs:
        return None
    return min(motifs, key=lambda m: (m.tax_group != "vertebrates", m.matrix_id))


def read_meme(path: Path) -> list[Row]:
    """Return the matrices of a file in MEME text format, whose size and fields are bounded."""
    if not path.is_file():
        raise ChromatellError(f"No motif file at {str(path)!r}. {CURE}")
    if path.stat().st_size > _MAX_FILE:
        raise ChromatellError(f"{str(path)!r} has over {_MAX_FILE // 1024**2} MB; give the motifs that you need.")
    try:
        with path.open(encoding="utf-8") as handle:
            return _parse_meme(handle, str(path))
    except UnicodeDecodeError as error:
        raise ChromatellError(f"{str(path)!r} is not a text file ({error}). {CURE}") from error


def _parse_meme(handle: TextIO, where: str) -> list[Row]:
    lines = _Lines(handle, where)
    first = ""
    for _, line in lines:  # the suite's own programs write a banner, or lines of '#', above it
        first = first or line.strip()
        if line.startswith("MEME version"):
            break
    else:
        raise ChromatellError(f"{where!r} has no line 'MEME version'; it begins {first[:60]!r}. {CURE}")
    rows: list[Row] = []
    name: tuple[str, str] | None = None
    empty: list[str] = []
    for number, line in lines:
        if line.startswith("ALPHABET") and not re.match(r"ALPHABET=?\s*(\"?DNA|ACGT)", line):
            raise ChromatellError(f"{where!r}, line {number}: {line.strip()!r}; only motifs of DNA (ACGT) can be used.")
        if re.match(r"MOTIF\s", line):
            # in meme.txt: MOTIF GGCA MEME-1<tab>width = 4 sites = 9 ...
            fields = re.split(r"\swidth\s*=", line, maxsplit=1)[0].split()[1:]
            if not fields or max(len(f) for f in fields) > _MAX_NAME:
                raise ChromatellError(f"{where!r}, line {number}: a motif without a name, or with too long a one.")
            empty += [] if name is None else [name[1]]
            name = (fields[1] if len(fields) > 1 else fields[0], fields[0])
        elif line.startswith("letter-probability matrix"):
            if name is None:
                raise ChromatellError(f"{where!r}, line {number}: a matrix before any 'MOTIF' line. Mend the file.")
            rows.append((*name, _matrix(lines, line, f"{where!r}, motif {name[1]!r}")))
            name = None
            if len(rows) > _MAX_MOTIFS:
                raise ChromatellError(f"{where!r} holds over {_MAX_MOTIFS} motifs; give those that you need.")
    if not rows:
        raise ChromatellError(f"{where!r} holds no 'letter-probability matrix'. {CURE}")
    empty += [] if name is None else [name[1]]
    if empty:
        warn(f"{where!r}: {len(empty)} motifs (such as {examples(empty)}) have no matrix and are left out.")
    return rows


class _Lines:
    """Lines of bounded length with their numbers; one that was read can be put back."""

    def __init__(self, handle: TextIO, where: str) -> None:
        self._handle, self._where, self._number, self._back = handle, where, 0, ""

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> tuple[int, str]:
        line, self._back = self._back or self._handle.readline(_MAX_LINE + 1), ""
        if not line:
            raise StopIteration
        self._number += 1
        if len(line) > _MAX_LINE or "\x00" in line:
            where = f"{self._where!r}, line {self._number}"
            raise ChromatellError(f"{where}: binary data or over {_MAX_LINE} characters. {CURE}")
        return self._number, line

    def put_back(self, line: str) -> None:
        """Let the line that came last come again."""
        self._back, self._number = line, self._number - 1


def _matrix(lines: _Lines, header: str, where: str) -> np.ndarray:
    """Return the rows below a header, which may tell their number, ``w=``; else they end where numbers do."""
    match = re.search(r"\bw\s*=\s*(\d{1,6})\b", header)
    width = int(match[1]) if match else 0
    if match and not 0 < width <= _MAX_LENGTH:
        raise ChromatellError(f"{where}: its header must give 'w= 1' to 'w= {_MAX_LENGTH}'; found {header.strip()!r}.")
    rows: list[list[float]] = []
    for number, line in lines:
        if not line.strip():
            if rows and not match:
                break
            continue
        try:
            values = [float(v) for v in line.split()]
        except ValueError:
            if rows and not match:
                lines.put_back(line)
                break
            raise ChromatellError(
                f"{where}: line {number}, {line.strip()[:60]!r}, is not a row of numbers; {width or 'some'} rows are "
                f"needed, {len(rows)} found. Mend the file."
            ) from None
        if len(values) != 4:
            raise ChromatellError(f"{where}: line {number} has {len(values)} numbers where 4 are needed (A C G T).")
        rows.append(values)
        if len(rows) == width:
            return np.array(rows)
        if len(rows) > _MAX_LENGTH:
            raise ChromatellError(f"{where}: over {_MAX_LENGTH} rows. Mend the file.")
    if match or not rows:
        raise ChromatellError(
            f"{where}: {len(rows)} rows where {width or 'some'} are needed; the file is cut short. Get it again."
        )
    return np.array(rows)


def _uneven(total: np.ndarray) -> bool:
    """Return whether the sum of a row differs by over 5% from that of most rows."""
    usual = np.median(total)
    return bool((np.abs(total - usual) > 0.05 * usual).any())


def probabilities(matrix: Any, name: str) -> np.ndarray:
    """Return a matrix of probabilities or counts as float32 probabilities, or say what is wrong with it."""
    try:
        p = np.asarray(matrix, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ChromatellError(f"Motif {name!r} is not an array of numbers ({error}). {CURE}") from error
    if p.ndim != 2 or p.shape[1] != 4 or not 0 < len(p) <= _MAX_LENGTH:
        raise ChromatellError(f"Motif {name!r} has shape {p.shape}; (length, 4) is needed, up to {_MAX_LENGTH} bases.")
    total = p.sum(axis=1)
    if not np.isfinite(p).all() or (p < 0).any() or (total <= 0).any():
        raise ChromatellError(
            f"Motif {name!r} holds values that are neither probabilities nor counts (smallest {p.min():.3g}): scores "
            "and NaN cannot be used. Give the counts of A, C, G, T."
        )
    if (np.abs(total - 1) > 0.05).any() and (p.max() < 1 or (p != np.floor(p)).any()) and _uneven(total):
        raise ChromatellError(
            f"Motif {name!r}: its rows add up to {total.min():.3g} to {total.max():.3g}; probabilities add up to 1. "
            "Give probabilities or counts of A, C, G, T."
        )
    return (p / total[:, None]).astype(np.float32)
