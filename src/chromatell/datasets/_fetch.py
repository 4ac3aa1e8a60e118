"""``ctl.datasets.fetch``: a file from the web, once, checked by its hash."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from chromatell._arguments import arguments
from chromatell._settings import cache_folder, file_name, logger, settings
from chromatell._validate import ChromatellError, warn

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@arguments
def fetch(url: str, *, sha256: str | None = None, cache: str | Path | None = None) -> Path:
    """Download a file once and return its path; later calls take what was kept, if it still has its hash.

    Parameters
    ----------
    url
        Address, https (or http, which warns).
    sha256
        Hexadecimal SHA-256 of the file. A download without one warns.
    cache
        Folder for downloads. None takes the user's cache folder.

    Returns
    -------
    pathlib.Path
        The file. Its SHA-256 is logged, to be given next time.

    Raises
    ------
    ChromatellError
        No such address, a failed download, or another hash than `sha256`; nothing is kept then.

    Examples
    --------
    >>> import chromatell as ctl
    >>> address = "https://cf.10xgenomics.com/samples/cell-arc/some_filtered_feature_bc_matrix.h5"
    >>> path = ctl.datasets.fetch(address, sha256="...")  # doctest: +SKIP
    >>> mdata = ctl.datasets.multiome_10x(path)  # doctest: +SKIP
    """
    if urlsplit(str(url)).scheme.lower() not in ("http", "https"):
        raise ChromatellError(
            f"{url!r} is no address: it must begin with https:// (or http://). A path needs no fetch."
        )
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        raise ChromatellError(
            f"sha256={sha256!r} is no SHA-256, which has 64 hexadecimal digits. Take it from where the file is "
            "published, or leave it out: the one that was found is logged."
        )
    return _download(str(url), sha256, cache)


def _download(url: str, sha256: str | None, cache: str | Path | None) -> Path:
    import pooch
    import requests

    if sha256 is None:
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
        known = None if sha256 is None else f"sha256:{sha256.lower()}"
        got = pooch.retrieve(url, known, path=folder, downloader=pooch.HTTPDownloader(progressbar=bar, timeout=60))
    except (requests.RequestException, OSError, ValueError) as error:
        raise ChromatellError(
            f"Could not get {url}: {error}. Check the address and sha256, or download it yourself."
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
