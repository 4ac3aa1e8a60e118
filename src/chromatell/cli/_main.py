"""The entry point: parse, run, and turn what the user can mend into one line and an exit code."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from chromatell._errors import ChromatellError, ChromatellWarning
from chromatell._settings import settings
from chromatell.cli._config import as_toml, with_config
from chromatell.cli._console import say_error
from chromatell.cli._cures import as_typed
from chromatell.cli._parser import UsageError, build_parser, commands_of
from chromatell.cli._pipes import files_of_pipes

OK, UNUSABLE, USAGE = 0, 1, 2


def run(argv: Sequence[str] | None = None) -> int:
    """Return the exit code of one command, see `chromatell.cli.main`."""
    parser = build_parser()
    try:
        args = with_config(parser, sys.argv[1:] if argv is None else argv)
    except UsageError as error:
        say_error(str(error))
        return USAGE
    if args.command is None:
        parser.print_help()
        return USAGE
    if args.print_config:
        sys.stdout.write(as_toml(parser, args))
        return OK
    before = settings.verbosity
    settings.verbosity = min(3, max(0, args.verbosity + args.verbose - args.quiet))
    try:
        with _readable_warnings(), files_of_pipes(args):
            _command(args.command)(args)
        sys.stdout.flush()
    except UsageError as error:
        say_error(f"{error}\nSee: chromatell {args.command} --help")
        return USAGE
    except BrokenPipeError:  # what reads the output, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains at its end
    except (ChromatellError, OSError, FloatingPointError) as error:
        options = commands_of(parser)[args.command]._option_string_actions
        say_error(str(error) + as_typed(str(error), options, vars(args)))
        return UNUSABLE
    finally:
        settings.verbosity = before
    return OK


def _command(name: str) -> Callable[[Any], None]:
    """Return the function of a command; only here are torch and scvi-tools about to be loaded."""
    # OpenMP threads that wait by spinning take the cores from each other: on a busy node training is 5x slower
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return importlib.import_module(f"chromatell.cli._{name}").run


@contextmanager
def _readable_warnings() -> Iterator[None]:
    """Show this package's own warnings as one line; those of libraries, on which nobody here can act, only with -v."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        own = issubclass(category, ChromatellWarning)
        say_error(str(message) if own else f"{category.__name__}: {message} ({filename}:{lineno})", "Warning")

    with warnings.catch_warnings():
        warnings.simplefilter("default" if settings.verbosity == 3 else "ignore")
        warnings.simplefilter("always" if settings.verbosity else "ignore", ChromatellWarning)
        warnings.showwarning = show
        yield
