"""Decoders against explicit loops, their two ways against each other, and what they do with classes of regions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score
from tests.models.atacformer.tiny_module import N_BINS, N_EOS, N_TOKENS, TINY, batch_of, tiny_config, tiny_module
from torch.nn.functional import gelu

import chromatell as ctl
from chromatell import ChromatellError
from chromatell.models.atacformer._cross_attention import cross_attend, cross_attend_jagged
from chromatell.models.atacformer._decoders import DECODERS, class_mixture
from chromatell.models.atacformer._fitted import Fitted

EOS = ("inside", "outside", "both")


def make_module(**options):
    torch.manual_seed(0)
    config = tiny_config(**options)
    fractions = torch.rand(N_BINS, N_EOS) * (torch.rand(N_BINS, 1) < 0.8)
    tables = {"chrom": torch.arange(N_BINS) % N_EOS, "region_class": fractions}
    return tiny_module(config, tables)


def some_sentences(rng, lengths=(0, 3, 8, 8, 1)):
    return [rng.choice(N_BINS, n, replace=False) for n in lengths]


def meet(meeting, state, vector):
    """The logits of one pair, term by term."""
    k = len(state)
    logits = meeting.out(gelu(meeting.state_up(state) + meeting.bin_up(vector)))
    factors = meeting.product(state)
    extra = [torch.zeros(())] + [factors[i * k : (i + 1) * k] @ vector / k**0.5 for i in range(meeting.n_products)]
    return logits + torch.stack(extra)


def close(a, b):
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


# ---- values


def test_the_mixture_of_classes_is_that_worked_by_hand():
    fractions = torch.tensor([[0.5, 0.25], [0.8, 0.8], [0.0, 0.0], [1.0, 0.0], [1.0, 0.25]])
    want = [[0.5, 0.25, 0.25], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.8, 0.2, 0.0]]
    close(class_mixture(fractions), torch.tensor(want))


def test_chromosome_reads_the_eos_of_the_bins_chromosome():
    module = make_module()
    encoded, decoder = module.encode(batch_of([[1, 5], [7]])), module.decoder
    found = decoder(encoded, torch.tensor([1, 0]), torch.tensor([4, 9]))
    for row, (cell, bin) in zip(found, [(1, 4), (0, 9)], strict=True):
        state = decoder.from_eos(encoded.eos[cell, bin % N_EOS]) + decoder.from_cls(encoded.cls[cell])
        close(row, meet(decoder.meeting, state, module.tokens.table.weight[bin]))


def test_region_class_reads_the_mixture_of_its_classes():
    module = make_module(decoder="region_class")
    encoded, decoder = module.encode(batch_of([[1, 5], [7]])), module.decoder
    for bin in range(12):
        found = decoder(encoded, torch.tensor([1]), torch.tensor([bin]))[0]
        weight = decoder.mixture[bin]
        state = decoder.from_cls(encoded.cls[1])  # the weights sum to 1: <cls> comes in whole
        for c in range(N_EOS):
            state = state + weight[c] * decoder.from_eos(encoded.eos[1, c])
        close(found, meet(decoder.meeting, state, module.tokens.table.weight[bin]))


def test_a_bin_without_a_class_is_read_from_cls_alone():
    module = make_module(decoder="region_class")
    none = torch.nonzero(module.decoder.mixture[:, -1] == 1).flatten()
    some = torch.nonzero(module.decoder.mixture[:, -1] < 0.9).flatten()
    assert len(none)
    assert len(some)
    encoded = module.encode(batch_of([[1, 5]]))
    before = module.decoder.grid(encoded, torch.arange(N_BINS))
    encoded.eos = encoded.eos + 1
    after = module.decoder.grid(encoded, torch.arange(N_BINS))
    close(after[:, none], before[:, none])
    assert (after[:, some] - before[:, some]).abs().amax(dim=(0, 2)).min() > 1e-3


def test_cross_attention_is_a_softmax_over_the_tokens_of_the_cell():
    module = make_module(decoder="cross_attention")
    decoder, batch = module.decoder, batch_of([[1, 5], [7, 8, 9, 2]])
    encoded = module.encode(batch)
    bins = torch.tensor([3, 30, 7])
    found = decoder(encoded, torch.ones(3, dtype=torch.long), bins)
    hidden = encoded.hidden[int(batch.lengths[0]) :]  # of the second cell
    k, v = decoder.kv(hidden).chunk(2, dim=1)
    heads, width = decoder.n_heads, 8 // decoder.n_heads
    for row, bin in zip(found, bins.tolist(), strict=True):
        vector = module.tokens.table.weight[bin]
        q = decoder.query(decoder.norm(vector))
        read = []
        for h in range(heads):
            at = slice(h * width, (h + 1) * width)
            weight = torch.stack([q[at] @ key[at] / width**0.5 for key in k]).softmax(0)
            read.append(sum(w * value[at] for w, value in zip(weight, v, strict=True)))
        close(row, meet(decoder.meeting, torch.cat(read), vector))


def test_eos_outside_asks_the_sentence_and_no_token_sees_it():
    module = make_module(eos="outside")
    batch = batch_of([[1, 5], [7, 8, 9]], eos="outside")
    encoded, outside = module.encode(batch), module.outside
    tokens = module.tokens(torch.arange(N_TOKENS - N_EOS, N_TOKENS))
    for cell, hidden in enumerate(encoded.hidden.split(batch.lengths.tolist())):
        k, v = outside.kv(hidden).chunk(2, dim=1)
        for i in range(N_EOS):
            q = outside.query(outside.norm(tokens[i]))
            read = []
            for at in (slice(h * 4, h * 4 + 4) for h in range(4)):
                weight = (k[:, at] @ q[at] / 2).softmax(0)
                read.append(weight @ v[:, at])
            want = outside.norm_out(tokens[i] + outside.out(torch.cat(read)))
            close(encoded.eos[cell, i], want)
    with torch.no_grad():
        module.tokens.table.weight[-N_EOS:] += 1
    again = module.encode(batch)
    close(again.hidden, encoded.hidden)
    assert (again.eos - encoded.eos).abs().min(dim=-1).values.max() > 1e-4


def test_eos_both_is_the_sum_of_inside_and_outside(rng):
    module = make_module(eos="both")
    batch = batch_of(some_sentences(rng))
    x, end = module.encode(batch).hidden, batch.lengths.cumsum(0)
    inside = torch.stack([x[e - N_EOS : e] for e in end])
    outside = module.outside(module.tokens(torch.arange(N_TOKENS - N_EOS, N_TOKENS)), x, batch.lengths)
    close(module.encode(batch).eos, inside + outside)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")  # PyTorch of itself, on a CPU alone
@pytest.mark.parametrize("n_queries", [[2, 2, 0, 3], [1, 1, 1, 1], [0, 0, 5, 0]])
def test_queries_of_a_cell_read_its_own_tokens_only(n_queries):
    torch.manual_seed(0)
    lengths = [4, 4, 2, 1]
    q, k, v = (torch.randn(sum(n), 2, 4) for n in (n_queries, lengths, lengths))
    found = cross_attend(q, k, v, n_queries, lengths)
    want = []
    for a, b, c in zip(q.split(n_queries), k.split(lengths), v.split(lengths), strict=True):
        weight = (torch.einsum("qhd,khd->hqk", a, b) / 2).softmax(-1)
        want.append(torch.einsum("hqk,khd->qhd", weight, c))
    close(found, torch.cat(want))
    close(cross_attend_jagged(q, k, v, n_queries, lengths), found)  # as on CUDA


# ---- two ways, and batches


@pytest.mark.parametrize("eos", EOS)
@pytest.mark.parametrize("decoder", list(DECODERS))
def test_asked_pairs_and_the_grid_give_the_same_numbers(decoder, eos, rng):
    module = make_module(decoder=decoder, eos=eos)
    encoded = module.encode(batch_of(some_sentences(rng), eos=eos))
    bins = torch.from_numpy(rng.permutation(N_BINS)[:25])
    grid = module.decoder.grid(encoded, bins)
    assert grid.shape == (5, 25, 3)
    pairs = torch.from_numpy(rng.permutation(5 * 25)[:60])  # in no order; pairs of the third cell are not asked
    pairs = pairs[pairs // 25 != 2]
    found = module.decoder(encoded, pairs // 25, bins[pairs % 25])
    close(found, grid.flatten(0, 1)[pairs])


@pytest.mark.parametrize("eos", EOS)
@pytest.mark.parametrize("decoder", list(DECODERS))
def test_a_cell_is_told_the_same_alone_and_among_others(decoder, eos, rng):
    module = make_module(decoder=decoder, eos=eos)
    sentences, bins = some_sentences(rng), torch.arange(N_BINS)

    def told(which):
        batch = batch_of([sentences[i] for i in which], eos=eos)
        return module.probability(module.encode(batch), bins, batch.n_seen, batch.n_removed)

    together = told(range(5))
    close(together, torch.cat([told([i]) for i in range(5)]))
    order = [3, 0, 4, 2, 1]
    close(together[order], told(order))


@pytest.mark.parametrize("decoder", list(DECODERS))
def test_gradients_of_pairs_equal_those_of_the_grid(decoder, rng):
    module = make_module(decoder=decoder, eos="both")
    batch, bins = batch_of(some_sentences(rng)), torch.arange(N_BINS)
    weight = torch.randn(5, N_BINS, 3)
    grads = []
    for way in ("pairs", "grid"):
        encoded = module.encode(batch)
        cell = torch.arange(5).repeat_interleave(N_BINS)
        found = module.decoder(encoded, cell, bins.repeat(5)) if way == "pairs" else module.decoder.grid(encoded, bins)
        grads.append(torch.autograd.grad((found.view(5, N_BINS, 3) * weight).sum(), module.tokens.table.weight)[0])
    torch.testing.assert_close(grads[0], grads[1], atol=1e-3, rtol=1e-3)


# ---- the user's class


@pytest.fixture(scope="module")
def annotated(cells):
    """Two classes that are those of the bins which the two types open, on part of the bins; the rest has none."""
    data = cells.copy()
    truth = data.layers["truth"]
    kind = (data.obs["kind"] == "b").to_numpy()
    groups = np.column_stack([truth[kind].mean(0) > 0.3, truth[~kind].mean(0) > 0.3]).astype(np.float32)
    data.varm["region_class_fraction"] = pd.DataFrame(groups * 0.75, index=data.var_names, columns=["mine", "other"])
    return data


@pytest.fixture(scope="module", params=["region_class", "cross_attention", "chromosome-outside"])
def decoded(request, annotated, fit):
    decoder, _, eos = request.param.partition("-")
    return fit(annotated, decoder=decoder, eos=eos or "inside")


def test_it_learns_which_bins_a_cell_opens(decoded, annotated):
    p, truth = decoded.predict(annotated), annotated.layers["truth"]
    test = (annotated.obs["ctl_split"] == "test").to_numpy()
    frequency = np.broadcast_to(np.asarray(annotated.X[~test].mean(axis=0)), p.shape)
    by_frequency = roc_auc_score((truth[test] > 0.3).ravel(), frequency[test].ravel())
    found = roc_auc_score((truth[test] > 0.3).ravel(), p[test].ravel())
    assert found > 0.95 > by_frequency


def test_its_record_says_the_same_and_uses_the_stored_classes(decoded, annotated, tmp_path):
    want = decoded.predict(annotated)
    again = ctl.models.load(decoded.to_record())
    np.testing.assert_allclose(again.predict(annotated), want, atol=1e-6)
    decoded.save(tmp_path / "model")
    bare = annotated[:, ::-1].copy()
    del bare.varm["region_class_fraction"]
    loaded = ctl.models.AtacFormer.load(tmp_path / "model")
    np.testing.assert_allclose(loaded.predict(bare), want, atol=1e-6)
    assert loaded.content_hash == decoded.content_hash


def test_classes_of_the_bins_in_use_are_stored_and_checked(annotated, fit):
    data = annotated.copy()
    data.var["ctl_selected"] = np.arange(data.n_vars) % 2 == 0
    model = fit(data, decoder="region_class", train={"max_epochs": 1})
    record = model.to_record()
    table = annotated.varm["region_class_fraction"]
    np.testing.assert_array_equal(record.arrays["bins.region_class"], table.to_numpy()[::2])
    assert record.config["eos_names"] == ["mine", "other"]
    good = record.arrays["bins.region_class"]
    for bad in (good[:-1], good[:, :1], good.astype("int32"), good - 1, good * 3, good * np.nan):
        record.arrays["bins.region_class"] = bad
        with pytest.raises(ChromatellError):
            ctl.models.load(record)


def test_a_record_whose_eos_are_not_its_chromosomes_is_refused(trained):
    record = trained.to_record()
    record.config["eos_names"] = record.config["eos_names"][:-1]
    record.config["network"] = {**record.config["network"], "n_eos": 2}
    with pytest.raises(ChromatellError, match="do not fit their 90 names"):
        ctl.models.load(record)


def test_a_pretrained_model_keeps_the_eos_of_each_class_by_name(annotated, fit):
    old = fit(annotated, decoder="region_class", train={"max_epochs": 1})
    data = annotated.copy()
    data.varm["region_class_fraction"] = data.varm["region_class_fraction"][["other", "mine"]].assign(new=0.1)
    model = fit(data, pretrained=old, train={"max_epochs": 1, "lr": 1e-12, "weight_decay": 1e-30})
    assert model.network.decoder == "region_class"
    table, before = (m.module.tokens.table.weight.detach() for m in (model, old))
    close(table[model.fitted.vocabulary.eos[:2]], before[old.fitted.vocabulary.eos[[1, 0]]])


def test_eos_outside_leaves_more_room_for_bins(cells, fit):
    model = fit(cells, eos="outside", max_length=2, train={"max_epochs": 1})
    assert model.fitted.room(2) == 1
    with pytest.raises(ChromatellError, match="max_length=4 leaves no room for bins: 4 tokens of a sentence"):
        fit(cells, max_length=4)


def test_the_verb_passes_decoder_contrast_and_eos_on(paired_cells, annotated):
    mdata = paired_cells.copy()
    mdata["atac"].varm["region_class_fraction"] = annotated.varm["region_class_fraction"]
    options = {"decoder": "region_class", "eos": "both", "contrastive": {"temperature": 0.2}, **TINY}
    ctl.tl.atacformer(mdata, context="X_own", train_kwargs={"max_epochs": 1}, **options)
    model = ctl.models.load(mdata)
    network = model.network
    assert (network.decoder, network.eos, model.config["contrastive"]["temperature"]) == ("region_class", "both", 0.2)
    query = mdata["rna"].copy()  # nothing of the bins, and nothing of their classes
    found = ctl.tl.predict(query, model=mdata)
    np.testing.assert_allclose(found["atac_pred"].X, mdata["atac_pred"].X, atol=1e-5)


# ---- bad input


def test_region_class_before_annotate_regions_says_what_to_run(cells):
    data = cells.copy()
    ctl.models.AtacFormer.setup_anndata(data)
    with pytest.raises(ChromatellError, match=r"ctl\.pp\.annotate_regions\(data, annotation\) first"):
        ctl.models.AtacFormer(data, decoder="region_class")
    before = set(cells.uns)
    with pytest.raises(ChromatellError, match=r"varm\['region_class_fraction'\], which is not there"):
        ctl.tl.atacformer(cells, decoder="region_class")
    assert set(cells.uns) == before
    assert "X_atacformer" not in cells.obsm


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (np.ones((90, 2), dtype=np.float32), "a table with a column for each class is needed"),
        (pd.DataFrame(np.full((90, 2), 1.5), columns=["a", "b"]), "no shares between 0 and 1"),
        (pd.DataFrame(np.full((90, 2), np.nan), columns=["a", "b"]), "no shares between 0 and 1"),
        (pd.DataFrame({"a": ["x"] * 90}), "no shares between 0 and 1"),
    ],
)
def test_classes_that_are_no_shares_are_refused(cells, table, message):
    data = cells.copy()
    if isinstance(table, pd.DataFrame):
        table.index = data.var_names
    data.varm["region_class_fraction"] = table
    ctl.models.AtacFormer.setup_anndata(data)
    with pytest.raises(ChromatellError, match=message):
        ctl.models.AtacFormer(data, decoder="region_class")


def test_unknown_decoders_and_places_of_eos_are_named(cells):
    data = cells.copy()
    ctl.models.AtacFormer.setup_anndata(data)
    with pytest.raises(ChromatellError, match=r"decoder.*cross_attention"):
        ctl.models.AtacFormer(data, decoder="gene")
    with pytest.raises(ChromatellError, match=r"eos.*outside"):
        ctl.models.AtacFormer(data, eos="above")


@pytest.mark.filterwarnings("error")
def test_tables_that_must_not_be_written_to_are_copied():
    """As pandas 3 hands them out; torch warns of a tensor on such memory."""
    table = np.arange(6.0).reshape(3, 2)
    table.flags.writeable = False
    fitted = Fitted(vocabulary=None, frequency=None, mean_open=1.0, labels={}, tables={"region_class": table})
    tensor = fitted.tensors()["region_class"]
    tensor += 1
    np.testing.assert_array_equal(table, np.arange(6.0).reshape(3, 2))
    np.testing.assert_array_equal(tensor.numpy(), table + 1)
