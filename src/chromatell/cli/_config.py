"""Options of a command in a file: ``--config run.toml``, and ``--print-config``, which writes such a file.

Words of the file go through the parser of the command, so that types, choices and errors are those of the command line.
"""

from __future__ import annotations

import argparse
import json
import os
import tomllib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from chromatell._nearest import did_you_mean
from chromatell._settings import settings
from chromatell.cli._parser import Parser, UsageError, commands_of

COMMAND = "command"
_LEFT_OUT = frozenset({COMMAND, "config", "print_config", "help", "verbosity"})
_MAX_BYTES = 1024**2


def with_config(parser: Parser, argv: Sequence[str]) -> argparse.Namespace:
    """Return the arguments of a call; what ``--config FILE`` says holds where the command line says nothing.

    Raises
    ------
    UsageError
        The file cannot be read, is of another command, or names an option that there is not.
    """
    command, path = _named(parser, argv)
    if command is None or path is None:
        return parser.parse_whole(argv)
    own = commands_of(parser)[command]
    actions = {a.dest: a for a in own._actions if a.dest not in _LEFT_OUT}
    said = _read(path, command, actions)
    last = sorted(said, key=lambda name: not actions[name].option_strings)  # after "--" nothing is an option
    words = [word for name in last for word in _words(actions[name], said[name], path)]
    for action in actions.values():
        action.required = False
        if not action.option_strings and action.nargs is None:
            action.nargs = "?"
    from_file = own.parse_args(words)
    for name in said:  # absent, then, where the command line does not name it
        actions[name].default = argparse.SUPPRESS if actions[name].option_strings else None
    args = parser.parse_whole(argv)
    for name in said:
        if getattr(args, name, None) is None:
            setattr(args, name, getattr(from_file, name))
    needed = _required(command) - {n for n, value in vars(args).items() if value is not None}
    if needed:
        raise UsageError(f"Neither {str(path)!r} nor the command line says {', '.join(sorted(needed))}.")
    return args


def as_toml(parser: argparse.ArgumentParser, args: argparse.Namespace) -> str:
    """Return the options of a call as a file for ``--config``: those left out too, but for ones without a default."""
    lines = [
        f"# chromatell {version('chromatell')}; run it: chromatell {args.command} --config THIS.toml",
        "# Paths are relative to the folder in which the command is run.",
        f"{COMMAND} = {_value(args.command)}",
    ]
    for action in commands_of(parser)[args.command]._actions:
        if action.dest in _LEFT_OUT:
            continue
        value = getattr(args, action.dest, None)
        if action.dest == "seed" and value is None:
            value = settings.resolve_seed(None)
        unset = value is None or (action.nargs == 0 and not value and not _two_ways(action))
        if not unset:
            lines.append(f"{action.dest} = {_value(value)}")
    return "\n".join(lines) + "\n"


def _two_ways(action: argparse.Action) -> bool:
    return any(o.startswith("--no-") for o in action.option_strings)


def _required(command: str) -> set[str]:
    """Return the names of what a command cannot do without."""
    from chromatell.cli._parser import build_parser

    actions = commands_of(build_parser())[command]._actions
    return {a.dest for a in actions if a.required and a.dest not in _LEFT_OUT}


def _named(parser: argparse.ArgumentParser, argv: Sequence[str]) -> tuple[str | None, Path | None]:
    """Return the command of a call and the path of its ``--config``."""
    command = next((word for word in argv if not word.startswith("-")), None)
    if command not in commands_of(parser):
        return None, None
    small = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    small.add_argument("--config", type=Path, default=None)
    try:
        return command, small.parse_known_args([w for w in argv if w not in ("-h", "--help")])[0].config
    except SystemExit:  # --config without a file: the whole parser says so
        return None, None


def _read(path: Path, command: str, actions: dict[str, argparse.Action]) -> dict[str, Any]:
    if not path.exists() or path.is_dir():  # a pipe will do
        raise UsageError(f"The file of --config, {str(path)!r}, {'is a folder' if path.is_dir() else 'is not there'}.")
    if path.stat().st_size > _MAX_BYTES:
        raise UsageError(f"The file of --config, {str(path)!r}, is over 1 MB: it is no list of options.")
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"The file of --config, {str(path)!r}, is not TOML ({error}).") from error
    named = said.pop(COMMAND, command)
    if named != command:
        raise UsageError(f"{str(path)!r} is of 'chromatell {named}', and this is 'chromatell {command}'.")
    said = {str(name).replace("-", "_"): value for name, value in said.items()}
    for name in said:
        if name not in actions:
            meant = did_you_mean(name, actions)
            raise UsageError(f"{str(path)!r} names {name!r}, which is no option of 'chromatell {command}'.{meant}")
    return said


def _words(action: argparse.Action, value: Any, path: Path) -> list[str]:
    """Return a value of the file as the words of a command line."""
    name = action.dest
    option = next((o for o in action.option_strings if o.startswith("--")), None)
    if isinstance(value, dict):
        value = [f"{k}={v}" for k, v in value.items()]
    if action.nargs == 0:
        if isinstance(action, argparse._CountAction) and isinstance(value, int) and not isinstance(value, bool):
            return [str(option)] * value
        if not isinstance(value, bool):
            raise UsageError(f"{str(path)!r}: {name} = {value!r} must be true or false.")
        negative = next((o for o in action.option_strings if o.startswith("--no-")), None)
        return [str(option)] if value else [negative] if negative else []
    values = value if isinstance(value, list) else [value]
    if any(isinstance(v, bool | dict | list) or not isinstance(v, str | int | float) for v in values):
        raise UsageError(f"{str(path)!r}: {name} = {value!r} must be text, a number, or a list of these.")
    words = [str(v) for v in values]
    if option is None:
        return ["--", *words] if len(words) == 1 else [*words]
    if isinstance(action, argparse._AppendAction):
        return [f"{option}={word}" for word in words]
    if isinstance(action.nargs, int):
        return [option, *words]
    return [f"{option}={','.join(words)}"]


def _value(value: Any) -> str:
    """Return a value as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, os.PathLike):
        return _value(os.fspath(value))
    if isinstance(value, tuple) and len(value) == 2:  # NAME=VALUE
        return _value(f"{value[0]}={value[1]}")
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_value(str(name))} = {_value(v)}" for name, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
