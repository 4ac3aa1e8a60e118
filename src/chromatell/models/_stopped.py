"""What the user reads who presses Ctrl-C: what is kept, and how to go on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from chromatell._settings import logger


@contextlib.contextmanager
def says_how_to_go_on(what: str, state: Path | None, option: str = "train(checkpoint_dir=...)") -> Iterator[None]:
    """Say what was stopped and what is kept, once; the KeyboardInterrupt that goes on says it too.

    Parameters
    ----------
    what
        A sentence: 'Training was stopped.'
    state
        The file of the training's state, which need not be there; None where none is kept.
    option
        How the caller is told to keep it.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        if error.args:  # said already, where it was known better
            raise
        if state is None:
            how = f"Nothing is kept; {option} keeps the state after each epoch."
        elif state.exists():
            how = f"The state of training is in {str(state.parent)!r}: the same call goes on from there."
        else:
            how = "No epoch was finished: the same call starts anew."
        logger.warning(f"{what} {how}")
        raise KeyboardInterrupt(f"{what} {how}") from error
