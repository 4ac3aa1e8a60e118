"""``chromatell completion SHELL``: a script that completes commands, options and their choices."""

from __future__ import annotations

import argparse
import sys

from chromatell.cli._parser import build_parser

_BASH = """\
# chromatell completion for bash; put this into ~/.bashrc:  source <(chromatell completion bash)
_chromatell() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} command="" word
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case $word in {commands}) command=$word; break ;; esac
    done
    case $command:$previous in
{choices}
    esac
    case $command in
{options}
    *) COMPREPLY=($(compgen -W "{words} --help --version" -- "$current")) ;;
    esac
}}
complete -o bashdefault -o default -F _chromatell chromatell
"""


def run(args: argparse.Namespace) -> None:
    """Write the script to stdout."""
    commands = _commands(build_parser())
    sys.stdout.write(_fish(commands) if args.shell == "fish" else _bash(commands, zsh=args.shell == "zsh"))


def _commands(parser: argparse.ArgumentParser) -> dict[str, tuple[str, argparse.ArgumentParser]]:
    """Return the help and the parser of each command."""
    subparsers = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    helps = {a.dest: str(a.help) for a in subparsers._choices_actions}
    return {name: (helps[name], one) for name, one in subparsers.choices.items()}


def _bash(commands: dict[str, tuple[str, argparse.ArgumentParser]], *, zsh: bool) -> str:
    choices, options = [], []
    for name, (_, parser) in commands.items():
        words = [o for a in parser._actions for o in a.option_strings if o.startswith("--")]
        words += [str(c) for a in parser._actions if not a.option_strings and a.choices for c in a.choices]
        options.append(f'    {name}) COMPREPLY=($(compgen -W "{" ".join(words)}" -- "$current")) ;;')
        for action in parser._actions:
            if action.choices and action.option_strings:
                pattern = "|".join(f"{name}:{o}" for o in action.option_strings)
                of = " ".join(map(str, action.choices))
                choices.append(f'    {pattern}) COMPREPLY=($(compgen -W "{of}" -- "$current")); return ;;')
    script = _BASH.format(
        commands="|".join(commands), choices="\n".join(choices), options="\n".join(options), words=" ".join(commands)
    )
    if not zsh:
        return script
    lines = script.split("\n")
    first = "# chromatell completion for zsh; put this into ~/.zshrc:  source <(chromatell completion zsh)"
    return "\n".join(
        [first, "autoload -U +X compinit && compinit", "autoload -U +X bashcompinit && bashcompinit", *lines[1:]]
    )


def _fish(commands: dict[str, tuple[str, argparse.ArgumentParser]]) -> str:
    lines = ["# chromatell completion for fish; put this into ~/.config/fish/completions/chromatell.fish"]
    for name, (about, parser) in commands.items():
        lines.append(f"complete -c chromatell -n __fish_use_subcommand -f -a {name} -d {_quoted(about)}")
        for action in parser._actions:
            long = [o.removeprefix("--") for o in action.option_strings if o.startswith("--")]
            short = [o.removeprefix("-") for o in action.option_strings if not o.startswith("--")]
            if not long:
                continue
            parts = [f"complete -c chromatell -n '__fish_seen_subcommand_from {name}'"]
            parts += [f"-s {s}" for s in short] + [f"-l {one}" for one in long]
            parts += [f"-x -a {_quoted(' '.join(map(str, action.choices)))}"] if action.choices else []
            parts += ["-r"] if action.nargs != 0 and not action.choices else []
            lines.append(" ".join([*parts, f"-d {_quoted(str(action.help).replace('%%', '%'))}"]))
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
