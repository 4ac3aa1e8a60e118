"""Text files that show bigWigs in a browser: a UCSC track hub, and a session for igv.js."""

from __future__ import annotations

import json
from collections.abc import Sequence

_COLOURS = {"predicted": (0, 114, 178), "observed": (110, 110, 110)}
_SHORT, _LONG = 17, 76  # letters of UCSC's labels


def hub_files(
    tracks: Sequence[tuple[str, str, str]], genome: str, groupby: str, locus: str, email: str
) -> dict[str, str]:
    """Return name of file to text, for bigWigs that lie beside them.

    Parameters
    ----------
    tracks
        (name, label, 'predicted' or 'observed') of each; its file is ``name.bw``.
    genome
        UCSC's name of the build.
    groupby
        What the cells were grouped by.
    locus
        Where a session opens, such as 'chr1:100-200' (1-based).

    Examples
    --------
    >>> from chromatell.io._browser_files import hub_files
    >>> files = hub_files([("B_observed", "B, observed", "observed")], "hg38", "type", "chr1:1-9", "me@example.org")
    >>> print(files["genomes.txt"])
    genome hg38
    trackDb trackDb.txt
    <BLANKLINE>
    """
    return {
        "hub.txt": _stanza(
            hub="chromatell",
            shortLabel="Accessibility",
            longLabel=_label(f"Accessibility by {groupby}: predicted and observed (chromatell)", _LONG),
            genomesFile="genomes.txt",
            email=_line(email),
        ),
        "genomes.txt": _stanza(genome=genome, trackDb="trackDb.txt"),
        "trackDb.txt": _track_db(tracks, groupby),
        "igv_session.json": _session(tracks, genome, locus),
    }


def _track_db(tracks: Sequence[tuple[str, str, str]], groupby: str) -> str:
    parts = [
        _stanza(
            track="chromatell",
            compositeTrack="on",
            type="bigWig 0 1",
            shortLabel="Accessibility",
            longLabel=_label(f"Share of cells with open chromatin, by {groupby}", _LONG),
            visibility="full",
            autoScale="on",
            maxHeightPixels="100:40:11",
        )
    ]
    for i, (name, label, kind) in enumerate(tracks):
        parts.append(
            _stanza(
                track=name,
                parent="chromatell on",
                type="bigWig 0 1",
                bigDataUrl=f"{name}.bw",
                shortLabel=_label(label, _SHORT),
                longLabel=_label(f"{label}: share of cells in which a region is open", _LONG),
                color=",".join(map(str, _COLOURS[kind])),
                autoScale="on",
                visibility="full",
                priority=str(i + 1),
            )
        )
    return "\n".join(parts)


def _session(tracks: Sequence[tuple[str, str, str]], genome: str, locus: str) -> str:
    shown = [
        {
            "name": label,
            "type": "wig",
            "format": "bigwig",
            "url": f"{name}.bw",
            "color": f"rgb({','.join(map(str, _COLOURS[kind]))})",
            "autoscaleGroup": "1",
            "height": 40,
        }
        for name, label, kind in tracks
    ]
    return json.dumps({"genome": genome, "locus": locus, "tracks": shown}, indent=1) + "\n"


def _stanza(**fields: str) -> str:
    return "".join(f"{name} {value}\n" for name, value in fields.items())


def _line(text: str) -> str:
    return " ".join(str(text).split())


def _label(text: str, most: int) -> str:
    text = _line(text)
    return text if len(text) <= most else text[: most - 1].rstrip() + "~"
