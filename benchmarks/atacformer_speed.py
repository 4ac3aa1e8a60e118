"""AtacFormer packed against padded: tokens a second and peak memory, at several lengths, in one run.

Usage: python benchmarks/atacformer_speed.py [--preset small] [--threads 2] [--tokens 16384]

Forward and backward of the encoder on the same sentences, twice: packed, as the package does it, and padded to the
longest of the batch with a mask, as `nn.TransformerEncoder` does it; same weights, float32 and, packed, bfloat16. Only
real tokens are counted. Lengths are fixed, or hemato's own, or spread as those are (rescaled to the mean that is named,
then cut at `max_length`). Batches are drawn at random ('padded'), as a plain loader does, or by length ('padded, by
length') as the package's does. Each setting runs in a process of its own, so that its peak memory is its own. Then one
training step of `small` with a vocabulary of 600,000 bins.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from _data import data_dir, save
from torch.nn import functional as F

from chromatell.models.atacformer import PRESETS
from chromatell.models.atacformer._module import AtacFormerConfig, AtacFormerModule
from chromatell.models.atacformer._sentences import Masking, Sentences, TokenBatches
from chromatell.models.atacformer._vocabulary import Vocabulary

N_EOS = 23


def peak() -> float:
    """Largest memory of this process since `reset`, GB."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) / 1e6


def reset() -> float:
    """Forget the peak so far, and return the memory in use, GB."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak()


def padded(module: AtacFormerModule, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """The blocks of the same module on (sentences, longest, d), padding included."""
    mask = torch.arange(x.shape[1])[None] < lengths[:, None]
    for block in module.blocks:
        q, k, v = block.qkv(block.norm_1(x)).unflatten(-1, (3, block.n_heads, -1)).unbind(2)
        y = F.scaled_dot_product_attention(*(t.transpose(1, 2) for t in (q, k, v)), attn_mask=mask[:, None, None])
        x = x + block.out(y.transpose(1, 2).flatten(2))
        x = x + block.down(F.gelu(block.up(block.norm_2(x))))
    return module.norm(x)[mask]


def packed(module: AtacFormerModule, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """The blocks on (tokens, d)."""
    for block in module.blocks:
        x = block(x, lengths.tolist())
    return module.norm(x)


def batches(lengths: np.ndarray, budget: int, how: str) -> list[np.ndarray]:
    """Lengths of the sentences of each batch, about `budget` real tokens a batch."""
    if how == "padded":
        rng = np.random.default_rng(0)
        order, per = rng.permutation(len(lengths)), max(1, round(budget / lengths.mean()))
        return [lengths[order[i : i + per]] for i in range(0, len(order) - per + 1, per)]
    return [np.sort(lengths[rows]) for rows, _ in TokenBatches(lengths, budget, shuffle=True, seed=0)]


def measure(
    how: str, lengths: np.ndarray, config: AtacFormerConfig, budget: int, steps: int, threads: int, clock, out
) -> None:
    """Put (tokens a second, peak GB over what was there before)."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    module = AtacFormerModule(config, {"chrom": torch.zeros(1, dtype=torch.int64)}, torch.zeros(1), 1.0)
    table = torch.randn(int(lengths.max()), config.d)
    start, tokens, seconds = reset(), 0, []
    for i, size in enumerate(batches(lengths, budget, how)[: steps + 1]):
        n = torch.from_numpy(size)
        begin = clock()
        with torch.autocast("cpu", torch.bfloat16, enabled=how.endswith("bfloat16")):
            if how.startswith("packed"):
                x = torch.cat([table[:k] for k in size]).requires_grad_()
                y = packed(module, x, n)
            else:
                x = table[: size.max()].expand(len(size), -1, -1).clone().requires_grad_()
                y = padded(module, x, n)
        y.float().square().mean().backward()
        if i:  # the first warms up
            seconds.append(clock() - begin)
            tokens += int(size.sum())
    out.put((tokens / sum(seconds), peak() - start))


def large_step(threads: int, out) -> None:
    """One training step with 600,000 bins: put (seconds, parameters, peak GB of the whole process)."""
    torch.set_num_threads(threads)
    n, rng = 600_000, np.random.default_rng(0)
    regions = pd.DataFrame({"chrom": np.repeat([f"chr{i}" for i in range(1, 24)], n // 23 + 1)[:n]}, index=np.arange(n))
    vocabulary = Vocabulary.of_regions(regions)
    opened = sp.random(64, n, density=5000 / n, format="csr", dtype=np.float32, random_state=0)
    opened.data[:] = 1
    sentences = Sentences(opened, vocabulary, room=4976, frequency=rng.random(n) * 0.02, masking=Masking())
    sizes = {"n_bins": n, "n_tokens": len(vocabulary), "n_eos": vocabulary.n_eos}
    config = AtacFormerConfig(**{**vars(PRESETS["small"].network), **sizes})
    reset()
    module = AtacFormerModule(config, {"chrom": torch.from_numpy(vocabulary.chrom)}, torch.zeros(n), 5000.0)
    optimiser = torch.optim.AdamW(module.parameters(), lr=1e-3)
    begin = time.perf_counter()
    for rows in ([0, 1], [2, 3]):
        loss = module.loss(sentences[np.array(rows), [0]])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    parameters = sum(p.numel() for p in module.parameters())
    out.put(((time.perf_counter() - begin) / 2, parameters, peak()))


def child(target, *args):
    """Run a measurement in a process of its own."""
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=target, args=(*args, queue))
    process.start()
    result = queue.get()
    process.join()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=16_384)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--cpu-time", action="store_true", help="count processor seconds: for a machine that is shared")
    parser.add_argument("--only", default="", help="settings whose name holds this")
    args = parser.parse_args()
    clock = time.process_time if args.cpu_time else time.perf_counter
    config = AtacFormerConfig(**{**vars(PRESETS[args.preset].network), "n_bins": 1, "n_tokens": 1, "n_eos": 1})
    x = anndata.read_h5ad(data_dir() / "scatac" / "hemato_scatac.h5ad").X
    own = np.diff(sp.csr_matrix(x).indptr) + 1 + N_EOS
    settings = {"hemato": own}
    for length in (500, 2000, 5000):
        settings[f"{length} each"] = np.full(200, length)
        spread = (own * length // int(own.mean()))[:2000]
        settings[f"{length} on average, spread as hemato, at most 5000"] = spread.clip(30, 5000)
    settings = {name: lengths for name, lengths in settings.items() if not args.only or args.only in name}
    ways = ("packed", "packed, bfloat16", "padded, by length", "padded")
    lines = [
        f"Preset {args.preset!r} (d {config.d}, {config.n_layers} layers), {args.threads} threads, about "
        f"{args.tokens:,} tokens a batch, {args.steps} steps; encoder forward and backward; "
        f"{'processor' if args.cpu_time else 'wall'} seconds.",
        "",
        "| lengths | way | tokens/s | against padded | peak, GB |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, lengths in settings.items():
        found = {w: child(measure, w, lengths, config, args.tokens, args.steps, args.threads, clock) for w in ways}
        for way, (speed, memory) in found.items():
            ratio = speed / found["padded"][0]
            lines.append(f"| {name} | {way} | {speed:,.0f} | {ratio:.2f} | {memory:.2f} |")
            print(lines[-1], flush=True)
    seconds, parameters, memory = child(large_step, args.threads)
    lines += [
        "",
        f"600,000 bins, `small`: {parameters / 1e6:.1f} M parameters; a training step of two cells with about 5,000 "
        f"open bins took {seconds:.1f} s, and the process {memory:.1f} GB at most.",
    ]
    save(f"atacformer_speed_{args.preset}", "\n".join(lines))


if __name__ == "__main__":
    main()
