"""Progress bars: shown in a terminal or a notebook at ``settings.verbosity`` of 2 and more, silent elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from threading import current_thread, main_thread

from chromatell._settings import settings


@contextlib.contextmanager
def progress(what: str, total: int, unit: str) -> Iterator[Callable[..., None]]:
    """Show how much of `total` is done, how fast it goes and what is left; yields a function that adds to what is done.

    That function also takes a text, which stands before the bar from then on.

    Examples
    --------
    >>> with progress("Predicting", total=3, unit="cells") as advance:
    ...     for _ in range(3):
    ...         advance(1)
    """
    if not settings.progress or current_thread() is not main_thread():  # two bars cannot be drawn at once
        yield lambda n, text="": None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining
    from rich.text import Text

    class Speed(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text("" if task.speed is None else f"{task.speed:,.4g} {unit}/s")

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Speed(), Remaining())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)

        def advance(n: int, text: str = "") -> None:
            bar.update(task, advance=n, description=text or None)

        yield advance
