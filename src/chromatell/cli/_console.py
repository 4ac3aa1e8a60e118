"""Where the commands write: results to stdout, everything else to stderr."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stdout

from rich.console import Console
from rich.logging import RichHandler
from rich.text import Text

from chromatell._settings import logger, settings

_WIDTH = 100  # where nobody watches, so that tables in log files are whole


def output() -> Console:
    """Return the console of results, stdout."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_WIDTH)


def messages() -> Console:
    """Return the console of log lines, stderr: shared with the logger, so that a spinner and a line do not collide."""
    for handler in logger.handlers:
        if isinstance(handler, RichHandler):
            return handler.console
    return Console(stderr=True)


def say_error(text: str, title: str = "Error") -> None:
    """Write a message to stderr as it is: not wrapped, so that it can be searched, and without markup."""
    shown = Text.assemble((f"{title}: ", "bold red" if title == "Error" else "bold yellow"), text)
    Console(stderr=True, highlight=False).print(shown, soft_wrap=True)


def libraries_to_stderr() -> AbstractContextManager:
    """Send what libraries print to stdout, such as scvi-tools on early stopping, to stderr; nowhere where -q asked."""
    return redirect_stdout(sys.stderr if settings.verbosity >= 2 else io.StringIO())


@contextmanager
def step(text: str) -> Iterator[None]:
    """Show a spinner while the block runs and its time after; nothing where stderr is not a terminal."""
    console = messages()
    if not console.is_terminal:
        yield
        return
    started = time.perf_counter()
    with console.status(text):
        yield
    console.print(Text.assemble("  ", text, (f"  {time.perf_counter() - started:.1f} s", "dim")), highlight=False)
