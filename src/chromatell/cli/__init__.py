"""``chromatell demo | bin | train | predict | evaluate | report | info | export | variant | ism``."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code of one command: 0 done, 1 the input cannot be used, 2 a mistake in the call, 130 stopped.

    Parameters
    ----------
    argv
        Words after ``chromatell``; None takes those of the process.

    Raises
    ------
    SystemExit
        From argparse: ``--help`` and ``--version`` (0).

    Examples
    --------
    >>> from chromatell.cli import main
    >>> main(["predict", "absent.h5ad", "--model", "absent.h5mu", "-o", "out.h5mu"])
    1
    """
    from chromatell.cli._interrupt import STOPPED, interruptible

    with interruptible() as was_stopped:
        from chromatell.cli._main import run

        return run(argv)
    return STOPPED if was_stopped() else 1
