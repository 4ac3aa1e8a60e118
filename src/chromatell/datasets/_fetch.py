"""``ctl.datasets.fetch``: a file from the web, once, checked by its hash."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from chromatell._arguments import arguments
from chromatell._nearest import did_you_mean
from chromatell._settings import cache_folder, file_name, logger, settings
from chromatell._validate import ChromatellError, warn
from chromatell.datasets._public_files import PUBLIC_FILES

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@arguments
def fetch(url: str, *, sha256: str | None = None, cache: str | Path | None = None) -> Path:
    """Download a file once and return its path; later calls take what was kept, if it still has its hash.

    Parameters
    ----------
    url
        Address, https (or http, which warns); or the name of a public file, whose address and hash are known:
        'pbmc10k_multiome', 'pbmc10k_fragments', 'pbmc10k_fragments_index', 'hg38', 'hg19', 'mm10', 'mm39',
        'jaspar2024'. A genome is kept unpacked (3 GB), beside what was downloaded.
    sha256
        Hexadecimal SHA-256 of the file. A download without one warns.
    cache
        Folder for downloads. None takes the user's cache folder.

    Returns
    -------
    pathlib.Path
        The file. Its SHA-256 is logged, to be given next time; of a public file, the call that reads it.

    Raises
    ------
    ChromatellError
        No such address or name, a failed download, or another hash than the one that is known; nothing is kept then.

    Notes
    -----
    The hashes of the public files are those under which GLUE (Cao & Gao 2022, https://doi.org/10.1038/s41587-022-01284-4)
    and SnapATAC2 (Zhang et al. 2024, https://doi.org/10.1038/s41592-023-02139-9) use them; an MD5 where no SHA-256 was
    published.

    Examples
    --------
    >>> import chromatell as ctl
    >>> path = ctl.datasets.fetch("pbmc10k_multiome")  # doctest: +SKIP
    >>> mdata = ctl.datasets.multiome_10x(path)  # doctest: +SKIP
    """
    known = PUBLIC_FILES.get(url)
    if known is not None:
        if sha256 is not None:
            raise ChromatellError(f"The hash of {url!r} is known; leave sha256= out, or give the address of your file.")
        path = _download(known.url, known.digest, cache, unpack=known.unpack)
        logger.info("%s: %s. Read it by %s.", url, known.holds, known.read_by)
        return path
    if urlsplit(str(url)).scheme.lower() not in ("http", "https"):
        raise ChromatellError(
            f"{url!r} is no address, which begins with https:// (or http://), and no name of a public file; names: "
            f"{', '.join(PUBLIC_FILES)}.{did_you_mean(url, PUBLIC_FILES) or ' A path needs no fetch.'}"
        )
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        raise ChromatellError(
            f"sha256={sha256!r} is no SHA-256, which has 64 hexadecimal digits. Take it from where the file is "
            "published, or leave it out: the one that was found is logged."
        )
    return _download(str(url), None if sha256 is None else f"sha256:{sha256.lower()}", cache)


def _download(url: str, digest: str | None, cache: str | Path | None, *, unpack: bool = False) -> Path:
    import pooch
    import requests

    if digest is None:
        warn(
            f"{url} is downloaded without a known hash: nothing tells whether it is what its author published. "
            "Give sha256=."
        )
    elif urlsplit(url).scheme == "http":
        warn(f"{url} is plain http: who reads along knows what you read. Its content is checked by its hash.")
    bar = _Progress() if settings.progress else False
    folder = Path(cache).expanduser() if cache is not None else cache_folder()
    quiet = pooch.get_logger()
    level = quiet.level
    quiet.setLevel("WARNING")
    try:
        get = pooch.HTTPDownloader(progressbar=bar, timeout=60)
        processor = pooch.Decompress(method="gzip") if unpack else None
        got = pooch.retrieve(url, digest, path=folder, downloader=get, processor=processor)
    except (requests.RequestException, OSError, ValueError) as error:
        raise ChromatellError(
            f"Could not get {url}: {error}. Check the address and its hash, or download it yourself."
        ) from error
    finally:
        quiet.setLevel(level)
    logger.info("%s -> %s (sha256 %s)", url, file_name(got), pooch.file_hash(got))
    logger.debug("It is in %s.", got)
    return Path(got)


class _Progress:
    """A rich progress bar with the four things that pooch asks for."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

        self.total = 0
        self._bar = Progress(BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=Console(stderr=True))
        self._task: Any = None

    def update(self, n: int) -> None:
        if self._task is None:
            self._bar.start()
            self._task = self._bar.add_task("", total=self.total or None)
        self._bar.update(self._task, advance=n)

    def reset(self) -> None:
        if self._task is not None:
            self._bar.reset(self._task)

    def close(self) -> None:
        self._bar.stop()
