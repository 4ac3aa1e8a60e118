"""Altered inputs, read one at a time in a child process; outcomes are counted, and what is none of the three is listed.

``python -m benchmarks fuzz --seconds 600 [--kinds model.h5mu,regions.bed] [--inputs 300] [--seed 0]``

Input i of a kind depends on the seed and i alone, so that any can be made again: ``--only model.h5mu:1234`` prints what
comes of it. A child that ends or does not answer is counted (crash, hang) and the next input goes on in a new one.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SELF = (sys.executable, "-m", "benchmarks.fuzz.run")
GOOD = ("same", "documented", "refused")
HANG_SECONDS = 30
_GIB = 1024**3


def kinds() -> dict[str, Any]:
    from benchmarks.fuzz import kinds as files
    from benchmarks.fuzz import rehashed, texts

    own = (
        files.ModelH5, files.ModelSafetensors, files.ModelZarr, files.DataH5ad, files.DataH5mu, files.DataZarr,
        files.Tracks, files.Predictions, files.Signal,
    )  # fmt: skip
    return {kind.name: kind for kind in (*own, *texts.KINDS, *rehashed.KINDS)}


def outcome(kind: Any, seed: int, number: int, position: int) -> tuple[str, str]:
    """Return the class of one input, and what was said."""
    import numpy as np

    from chromatell import ChromatellError

    rng = np.random.default_rng([seed, position, number])
    try:
        try:
            kind.alter(rng)
        except Exception as error:  # noqa: BLE001  the alteration could not be made: the sound library refuses it
            return "skipped", f"{type(error).__name__}: {error}"
        try:
            return kind.judge(kind.read()), ""
        except ChromatellError as error:
            return "refused", str(error)
    except MemoryError as error:
        return "fault", f"MemoryError: {error}"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        where = traceback.extract_tb(error.__traceback__)
        own = [f for f in where if "chromatell" in f.filename] or where
        return "fault", f"{type(error).__name__}: {str(error)[:200]} at {Path(own[-1].filename).name}:{own[-1].lineno}"
    finally:
        kind.restore()


def worker(name: str, seed: int, first: int, last: int, seeds: Path) -> None:
    """Read inputs and print one line of JSON each."""
    import resource
    import warnings

    warnings.simplefilter("ignore")
    import chromatell as ctl

    ctl.settings.verbosity = 0
    if hasattr(ctl.settings, "check_seconds") and not os.environ.get("FUZZ_GUARD"):
        ctl.settings.check_seconds = 0  # this is a child process already
    say = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    with tempfile.TemporaryDirectory() as folder:
        known = kinds()
        kind = known[name](seeds, Path(folder))
        kind.start()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what libraries print of damaged files
        resource.setrlimit(resource.RLIMIT_AS, (12 * _GIB, 12 * _GIB))
        print(json.dumps("ready"), file=say, flush=True)
        position = list(known).index(name)
        for number in range(first, last):
            print(json.dumps([number, *outcome(kind, seed, number, position)]), file=say, flush=True)


def together(names: list[str], seed: int, inputs: int, seeds: Path) -> None:
    """Read inputs of several kinds in this one process and print the counts as JSON: what the test suite runs."""
    import warnings

    warnings.simplefilter("ignore")
    import chromatell as ctl

    ctl.settings.verbosity = ctl.settings.check_seconds = 0
    make_seeds(names, seeds)
    found: dict[str, Any] = {}
    position = list(kinds())
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            kind = kinds()[name](seeds, Path(folder))
            kind.start()
            begin = time.process_time()
            rows = [[i, *outcome(kind, seed, i, position.index(name))] for i in range(inputs)]
            bad = [row for row in rows if row[1] not in (*GOOD, "skipped")]
            found[name] = {"count": Counter(row[1] for row in rows), "bad": bad, "seconds": time.process_time() - begin}
    print(json.dumps(found))


def supervise(name: str, seed: int, first: int, last: int, seeds: Path, until: float, guard: bool = False) -> list:
    """Return [number, class, message] of inputs `first` to `last`, as many as there is time for."""
    found: list[list] = []
    number = first
    while number < last and time.monotonic() < until:
        call = [
            sys.executable,
            "-m",
            "benchmarks.fuzz.run",
            "--worker",
            name,
            str(seed),
            str(number),
            str(last),
            str(seeds),
        ]
        environment = {**os.environ, **({"FUZZ_GUARD": "1"} if guard else {})}
        child = subprocess.Popen(
            call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, env=environment, start_new_session=True
        )
        assert child.stdout is not None
        ended, ready = "", False
        while number < last and time.monotonic() < until:
            limit = HANG_SECONDS * (5 if not ready or guard else 1)
            if not select.select([child.stdout], [], [], limit)[0]:
                ended = "hang"
                break
            line = child.stdout.readline()
            if not line.endswith(b"\n"):
                ended = "crash"
                break
            said = json.loads(line)
            ready = True
            if said != "ready":
                found.append(said)
                number = said[0] + 1
        child.kill()
        trouble = child.communicate()[1].decode(errors="replace")
        if ended and not ready:
            raise RuntimeError(f"{name}: the child did not start.\n{trouble[-2000:]}")
        if ended:
            found.append([number, ended, f"exit code {child.returncode}"])
            if not guard:  # does the guard of the package, a child process of its own, turn it into an error?
                with_guard = supervise(name, seed, number, number + 1, seeds, until, guard=True)
                if with_guard and with_guard[0][1] in GOOD:
                    found[-1] = [number, with_guard[0][1], f"by the guard, a {ended} otherwise"]
            number += 1
    return found


def make_seeds(names: list[str], folder: Path) -> None:
    """Write the sound files of all kinds, in one process."""
    import warnings

    warnings.simplefilter("ignore")
    import chromatell as ctl

    ctl.settings.verbosity = 0
    for name in names:
        kind = kinds()[name](folder, folder)
        if not kind.seed.exists():
            kind.make()


def table(found: dict[str, list], seconds: float) -> str:
    """Return the counts of outcomes as Markdown."""
    classes = ["same", "documented", "refused", "skipped", "fault", "silent", "crash", "hang"]
    lines = [f"| kind | inputs | {' | '.join(classes)} | by the guard |", "|" + " --- |" * (len(classes) + 3)]
    total: Counter = Counter()
    for name, rows in found.items():
        count = Counter(row[1] for row in rows)
        count["guard"] = sum(row[2].startswith("by the guard") for row in rows)
        total += count
        lines.append(f"| {name} | {len(rows):,} | {' | '.join(str(count[c]) for c in classes)} | {count['guard']} |")
    inputs = sum(map(len, found.values()))
    lines.append(f"| all | {inputs:,} | {' | '.join(str(total[c]) for c in classes)} | {total['guard']} |")
    return "\n".join(lines) + f"\n\n{inputs:,} inputs in {seconds:.0f} s.\n"


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks fuzz", description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60, help="in all (default: 60)")
    parser.add_argument("--inputs", type=int, default=10**9, help="of each kind, at most")
    parser.add_argument("--kinds", help="names, divided by commas; default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--seeds", type=Path, help="folder of sound files, made where they are not there")
    parser.add_argument("--out", type=Path, help="write the table, and every fault as a line of JSON beside it")
    parser.add_argument("--only", help="KIND:NUMBER, one input, in this process")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    args = parse(argv)
    names = list(kinds()) if args.kinds is None else args.kinds.split(",")
    unknown = sorted(set(names) - kinds().keys())
    if unknown:
        print(f"Unknown kinds: {unknown}; there are {list(kinds())}.")
        return 2
    seeds = args.seeds or Path(tempfile.mkdtemp())
    seeds.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    try:
        if args.only:
            name, number = args.only.rsplit(":", 1)
            make_seeds([name], seeds)
            kind = kinds()[name](seeds, Path(tempfile.mkdtemp()))
            kind.start()
            print(outcome(kind, args.seed, int(number), list(kinds()).index(name)), kind.path)
            return 0
        subprocess.run(
            [sys.executable, "-m", "benchmarks.fuzz.run", "--make", str(seeds), *names], cwd=ROOT, check=True
        )
        found: dict[str, list] = {name: [] for name in names}
        start = time.monotonic()
        for i, name in enumerate(names):
            share = (begin + args.seconds - time.monotonic()) / (len(names) - i)
            last = args.first + args.inputs
            found[name] = supervise(name, args.seed, args.first, last, seeds, time.monotonic() + share)
            count = Counter(row[1] for row in found[name])
            print(f"{name:<26}{len(found[name]):>8}  {dict(count)}", flush=True)
        text = table(found, time.monotonic() - start)
        bad = [[name, *row] for name, rows in found.items() for row in rows if row[1] not in (*GOOD, "skipped")]
        print(f"\n{text}\n" + "\n".join(f"{name}:{n} {what} {said}" for name, n, what, said in bad[:60]))
        if args.out is not None:
            versions = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in ("anndata", "h5py", "numpy", "zarr"))
            args.out.write_text(f"Seed {args.seed}, inputs from {args.first} on; {versions}.\n\n{text}")
            guarded = [
                [name, *row] for name, rows in found.items() for row in rows if row[2].startswith("by the guard")
            ]
            args.out.with_suffix(".jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*bad, *guarded]))
        return 1 if bad else 0
    finally:
        if args.seeds is None:
            shutil.rmtree(seeds, ignore_errors=True)


if __name__ == "__main__":
    if sys.argv[1] == "--make":
        make_seeds(sys.argv[3:], Path(sys.argv[2]))
    elif sys.argv[1] == "--together":
        together(sys.argv[5:], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
    else:
        worker(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]), Path(sys.argv[6]))
