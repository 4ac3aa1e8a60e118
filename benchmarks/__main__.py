"""``python -m benchmarks NAME ...``: run a benchmark by its name."""

from __future__ import annotations

import importlib
import sys

COMMANDS = {"fuzz": ("benchmarks.fuzz.run", "altered files: same answer, documented difference, or one clear error")}


def main(argv: list[str]) -> int:
    if not argv or argv[0] not in COMMANDS:
        print("python -m benchmarks NAME [options]\n")
        print("\n".join(f"  {name:<8} {what}" for name, (_, what) in COMMANDS.items()))
        return 0 if argv and argv[0] in ("-h", "--help") else 2
    return importlib.import_module(COMMANDS[argv[0]][0]).main(argv[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
