"""``python -m benchmarks NAME ...``: run benchmarks by their names, each in a process of its own."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

COMMANDS = {
    "accuracy": ("benchmarks.accuracy", "each family on each real set, over splits, beside its baselines; resumable"),
    "fuzz": ("benchmarks.fuzz.run", "altered files: same answer, documented difference, or one clear error"),
}
HERE = Path(__file__).parent


def scripts() -> dict[str, str]:
    """Return the scripts of this folder, name -> first line of what they say of themselves."""
    found = {}
    for path in sorted(HERE.glob("[a-z]*.py")):
        said = ast.get_docstring(ast.parse(path.read_text())) or ""
        found[path.stem] = said.splitlines()[0] if said else ""
    return found


def main(argv: list[str]) -> int:
    """Run a command with its options, or scripts one after the other; what follows the last name is handed to it."""
    there = scripts()
    if argv and argv[0] in COMMANDS:
        return importlib.import_module(COMMANDS[argv[0]][0]).main(argv[1:])
    names = list(takewhile(there.__contains__, argv))
    options = argv[len(names) :]
    if not names:
        lines = {name: what for name, (_, what) in COMMANDS.items()} | there
        print("python -m benchmarks NAME ...   or   python -m benchmarks NAME [options]\n")
        print("\n".join(f"  {name:<24} {what}" for name, what in lines.items()))
        return 0 if argv and argv[0] in ("-h", "--help") else 2
    for name in names:
        of_this = options if name == names[-1] else []
        code = subprocess.run([sys.executable, str(HERE / f"{name}.py"), *of_this], cwd=HERE, check=False).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
