"""Ctrl-C at any moment of a command, also while libraries are loaded, which may make another error of it."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

STOPPED = 130


@contextlib.contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """End the block where the user presses Ctrl-C, with a word on stderr; yields whether that was so."""
    pressed = False

    def press(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        raise KeyboardInterrupt

    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT)
    if main and before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, press)
    try:
        yield lambda: pressed
    except BaseException as error:
        if not pressed and not isinstance(error, KeyboardInterrupt):
            raise
        pressed = True
        print("Error: Stopped; no output was written.", file=sys.stderr)
    finally:
        if main:
            signal.signal(signal.SIGINT, before)
