"""The encoder against padded attention of PyTorch itself, the decoder's two ways, and the loss's corrections."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.models.atacformer.tiny_module import N_BINS, N_EOS, N_TOKENS, batch_of, tiny_config, tiny_module
from torch import nn

from chromatell.models.atacformer._decoders import N_STATES
from chromatell.models.atacformer._module import attend, attend_jagged


def make_module(**options):
    torch.manual_seed(0)
    config = tiny_config(**options)
    tables = {"chrom": torch.arange(N_BINS) % N_EOS}
    if config.n_dna:
        tables["dna"] = torch.randn(N_BINS, config.n_dna)
    return tiny_module(config, tables)


def padded_reference(module, batch):
    """The same network with padding and `nn.MultiheadAttention`, sentence lengths as a mask."""
    lengths = batch.lengths.tolist()
    x = nn.utils.rnn.pad_sequence(list(module.tokens(batch.tokens).split(lengths)), batch_first=True)
    mask = torch.arange(x.shape[1])[None] >= batch.lengths[:, None]
    if batch.context is not None:
        x[:, 1] += module.context(batch.context)
    c = module.config
    for block in module.blocks:
        attention = nn.MultiheadAttention(c.d, c.n_heads, batch_first=True)
        attention.in_proj_weight, attention.in_proj_bias = block.qkv.weight, block.qkv.bias
        attention.out_proj.weight, attention.out_proj.bias = block.out.weight, block.out.bias
        y = block.norm_1(x)
        x = x + attention(y, y, y, key_padding_mask=mask, need_weights=False)[0]
        x = x + block.down(nn.functional.gelu(block.up(block.norm_2(x))))
    return [row[:n] for row, n in zip(module.norm(x), lengths, strict=True)]


@pytest.mark.parametrize("context", [False, True])
def test_packed_equals_padded_attention(context, rng):
    module = make_module(n_context=5 if context else 0, n_dna=4)
    sentences = [rng.choice(N_BINS, n, replace=False) for n in (0, 1, 5, 5, 5, 17, 2, 17)]
    batch = batch_of(sentences, torch.randn(len(sentences), 5) if context else None)
    encoded = module.encode(batch)
    want = padded_reference(module, batch)
    torch.testing.assert_close(encoded.hidden, torch.cat(want), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(encoded.cls, torch.stack([w[0] for w in want]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(encoded.eos, torch.stack([w[-N_EOS:] for w in want]), atol=1e-5, rtol=1e-5)


def test_gradients_equal_those_of_padded_attention(rng):
    module = make_module()
    batch = batch_of([rng.choice(N_BINS, n, replace=False) for n in (3, 3, 9)])
    weight = torch.randn(int(batch.lengths.sum()), 16)
    grads = []
    for hidden in (module.encode(batch).hidden, torch.cat(padded_reference(module, batch))):
        grads.append(torch.autograd.grad((hidden * weight).sum(), module.tokens.table.weight)[0])
    torch.testing.assert_close(grads[0], grads[1], atol=1e-4, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")  # PyTorch of itself, on a CPU alone
def test_jagged_attention_as_on_cuda_is_the_same():
    lengths = [3, 9, 9, 1, 4]
    q, k, v = torch.randn(3, sum(lengths), 2, 8, requires_grad=True)
    want, found = attend(q, k, v, lengths), attend_jagged(q, k, v, lengths)
    torch.testing.assert_close(found, want, atol=1e-5, rtol=1e-5)
    for x in (q, k, v):
        grads = [torch.autograd.grad((y**2).sum(), x, retain_graph=True)[0] for y in (found, want)]
        torch.testing.assert_close(*grads, atol=1e-5, rtol=1e-5)


def test_a_cell_is_read_the_same_alone_and_among_others(rng):
    module = make_module()
    sentences = [rng.choice(N_BINS, n, replace=False) for n in (4, 4, 11, 0)]
    together = module.encode(batch_of(sentences)).cls
    alone = torch.cat([module.encode(batch_of([s])).cls for s in sentences])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_the_order_of_bins_means_nothing(rng):
    module = make_module()
    bins = rng.choice(N_BINS, 12, replace=False)
    pair = module.encode(batch_of([bins, rng.permutation(bins)])).cls
    torch.testing.assert_close(pair[0], pair[1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_under_autocast_is_done_in_float32_on_cpu(dtype):
    q, k, v = torch.randn(3, 10, 2, 4).to(dtype)
    with torch.autocast("cpu", torch.bfloat16):
        found = attend(q, k, v, [4, 6])
    assert found.dtype == dtype
    score = torch.einsum("qhd,khd->hqk", q[:4].float(), k[:4].float()) / 2
    want = torch.einsum("hqk,khd->qhd", score.softmax(-1), v[:4].float())
    torch.testing.assert_close(found[:4].float(), want, atol=2e-2 if dtype == torch.bfloat16 else 1e-5, rtol=1e-2)


@pytest.mark.parametrize("n_dna", [0, 4])
def test_the_grid_of_a_decoder_equals_its_pairs(n_dna, rng):
    module = make_module(n_dna=n_dna)
    batch = batch_of([rng.choice(N_BINS, n, replace=False) for n in (0, 3, 8)])
    encoded = module.encode(batch)
    bins = torch.from_numpy(rng.permutation(N_BINS)[:25])
    grid = module.decoder.grid(encoded, bins)
    assert grid.shape == (3, 25, N_STATES)
    cell = torch.arange(3).repeat_interleave(25)
    torch.testing.assert_close(grid.flatten(0, 1), module.decoder(encoded, cell, bins.repeat(3)), atol=1e-5, rtol=1e-5)


def test_logits_are_raw_and_their_prior_is_frequency_times_depth():
    module = make_module()
    with torch.no_grad():
        module.depth_weight.fill_(1)
    bins = torch.tensor([3, 9])
    prior = module.prior(bins, torch.tensor([6.5, 6.5]), torch.tensor([6.5, 13.5]))
    np.testing.assert_allclose(prior[:, 0].detach(), 0)
    np.testing.assert_allclose(prior[:, 1].detach(), module.bias[bins].detach(), atol=1e-6)  # as many as the mean
    np.testing.assert_allclose((prior[1, 2] - module.bias[9]).detach(), np.log(2), atol=1e-6)
    encoded = module.encode(batch_of([[0, 1, 2], [5]]))
    grid = module.grid(encoded, bins, torch.ones(2), torch.ones(2))
    assert (grid < 0).any()  # no ReLU: the network can say no


def test_dna_is_nothing_to_special_tokens():
    module = make_module(n_dna=4)
    special = torch.arange(N_BINS, N_TOKENS)
    torch.testing.assert_close(module.tokens.vector(special), module.tokens.table(special))
    bins = torch.arange(N_BINS)
    want = module.tokens.table(bins) + module.tokens.dna @ module.tokens.from_dna.weight.T
    torch.testing.assert_close(module.tokens.vector(bins), want)
