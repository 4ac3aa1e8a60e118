"""Training speed of the published towers beside scvi-tools' SCBASSET, and memory of the cell side.

Usage: python benchmarks/xchrom_speed.py [--threads 2] [--steps 2]

Speed: sequences per second of whole training steps (forward, backward, optimiser), random sequences, 4% of pairs open,
the same filters (288 ... 512, 256, 32), batch of 32, taken in turns; the best of the steps counts. SCBASSET's step is
timed with and without the AUROC of the training batch that its loss computes. Memory: peak of a process that takes one
step at 60,000 cells minus that of the same step at 64 cells, batch of 128 regions, cells alone (a tower of 4 filters).
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from _data import save

WIDTH, BATCH = 1344, 32


def batch_of(n_cells: int, n: int, seed: int = 0):
    """Return a `RegionBatch` of random sequences with 4% open pairs."""
    import scipy.sparse as sp

    from chromatell.data.sequences import RegionBatch
    from chromatell.data.targets import sparse_target

    rng = np.random.default_rng(seed)
    y = sp.random(n, n_cells, 0.04, format="csc", dtype=np.float32, random_state=seed)
    y.data[:] = 1
    target = sparse_target(y.tocsr(), 16_384)
    tokens = torch.from_numpy(rng.integers(0, 4, (n, WIDTH)).astype(np.int8))
    cells = torch.from_numpy(rng.normal(size=(n_cells, 32)).astype(np.float32))
    depth = torch.zeros(n_cells)
    return RegionBatch(tokens=tokens, cells=cells, depth=depth, predicted_depth=depth, target=target), y


def ours(n_cells: int, bf16: bool):
    """Return a function that takes one training step."""
    from dataclasses import replace

    from chromatell.models.xchrom import PRESETS
    from chromatell.models.xchrom._module import XChromModule

    module = XChromModule(replace(PRESETS["xchrom"].network, n_inputs=32)).train()
    optimizer = torch.optim.Adam(module.parameters(), 1e-2)
    batch, _ = batch_of(n_cells, BATCH)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            loss = module.loss(batch)
        loss.backward()
        optimizer.step()

    return step


def scbasset(n_cells: int, bf16: bool, auroc: bool):
    """Return a function that takes one training step of scvi-tools' module."""
    from scvi.external.scbasset._module import ScBassetModule

    module = ScBassetModule(n_cells=n_cells).train()
    optimizer = torch.optim.Adam(module.parameters(), 1e-2)
    batch, y = batch_of(n_cells, BATCH)
    tensors = {"dna_code": batch.tokens.long(), "X": torch.from_numpy(y.toarray())}

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            inferred = module.inference(tensors["dna_code"])
            made = module.generative(**inferred)
            if auroc:
                loss = module.loss(tensors, inferred, made).loss
            else:
                loss = torch.nn.functional.binary_cross_entropy_with_logits(
                    made["reconstruction_logits"].float(), tensors["X"]
                )
        loss.backward()
        optimizer.step()

    return step


def speeds(n_steps: int) -> list[str]:
    """Return the rows of the table of speed."""
    rows, plain = [], 1.0
    for n_cells in (2_000, 12_000):
        for bf16 in (False, True):
            steps = {
                "XChrom": ours(n_cells, bf16),
                "SCBASSET": scbasset(n_cells, bf16, auroc=True),
                "SCBASSET without its AUROC": scbasset(n_cells, bf16, auroc=False),
            }
            best = dict.fromkeys(steps, np.inf)
            for i in range(n_steps + 1):
                for name, step in steps.items():
                    start = time.perf_counter()
                    step()
                    if i:  # the first warms up
                        best[name] = min(best[name], time.perf_counter() - start)
            rate = {name: BATCH / seconds for name, seconds in best.items()}
            ratios = [rate["XChrom"] / rate[name] for name in list(rate)[1:]]
            plain = rate["SCBASSET"] if not bf16 else plain
            ratios.append(rate["XChrom"] / plain)
            cells = [f"{n_cells:,}", "bf16" if bf16 else "float32", *(f"{r:.1f}" for r in rate.values())]
            rows.append("| " + " | ".join([*cells, *(f"{r:.2f}x" for r in ratios)]) + " |")
            print(rows[-1], flush=True)
    return rows


def peak(n_cells: int) -> float:
    """Return the peak memory, MB, of a process that takes one step with so many cells."""
    out = subprocess.run(
        [sys.executable, __file__, "--one-step", str(n_cells)], capture_output=True, text=True, check=True
    )
    return float(out.stdout.split()[-1])


def one_step(n_cells: int) -> None:
    """Take one step and print the peak memory of this process, MB."""
    from chromatell.models.xchrom._module import XChromConfig, XChromModule
    from chromatell.nn.sequence_tower import TowerConfig

    tower = TowerConfig(stem_filters=4, filters=(4,), last_filters=0)
    module = XChromModule(XChromConfig(tower=tower, n_inputs=32, warm_epochs=0, freeze_cells=False)).train()
    batch, _ = batch_of(n_cells, 128)
    module.loss(batch).backward()
    status = Path("/proc/self/status").read_text()  # a child's ru_maxrss would start at its parent's
    print(int(status.split("VmHWM:")[1].split()[0]) / 1024)


def main() -> None:
    """Run and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--one-step", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.one_step:
        one_step(args.one_step)
        return
    head = [
        "cells",
        "precision",
        "XChrom",
        "SCBASSET",
        "SCBASSET without its AUROC",
        "ratio",
        "ratio without AUROC",
        "to its float32",
    ]
    lines = [
        f"# Training sequences per second, published towers, {args.threads} threads ({platform.processor() or 'CPU'})",
        "",
    ]
    lines += ["| " + " | ".join(head) + " |", "| --- |" + " --- |" * (len(head) - 1), *speeds(args.steps)]
    many, few = peak(60_000), peak(64)
    lines += [
        "",
        f"Cell side at 60,000 cells, batch 128: {many:.0f} - {few:.0f} = {many - few:.0f} MB, sparse targets included.",
    ]
    save("xchrom_speed", "\n".join(lines))


if __name__ == "__main__":
    main()
