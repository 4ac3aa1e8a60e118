"""Vectors of DNA: features against oracles, projections against scikit-learn, blocks and sizes that change nothing."""

from __future__ import annotations

import dataclasses
import itertools
import json

import numpy as np
import pandas as pd
import pytest
import torch

import chromatell as ctl
from chromatell import ChromatellError
from chromatell.genome.kmers import kmer_shares
from chromatell.io import Record
from chromatell.nn import dna_embedding
from chromatell.nn.dna_embedding import KmerEmbedder, Projection, RegionSequences, embed_regions
from chromatell.nn.dna_models import TransformerEmbedder, XChromEmbedder, _tiles, device_of


@pytest.fixture
def tokens(rng):
    found = rng.integers(0, 4, (40, 90)).astype(np.int8)
    found[3, 10:30] = 4
    found[4] = 4
    return found


# projection and streaming


def test_projection_is_that_of_scikit_learn(rng):
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    x = rng.normal(size=(60, 3)) @ rng.normal(size=(3, 8)) + rng.normal(size=(60, 8)) * 0.1
    x[:, 5] = 2.0  # one that does not vary
    found = Projection.fit(x, 4)
    pca = PCA(4).fit(scaled := StandardScaler().fit_transform(x))
    ours, theirs = found(x), pca.transform(scaled)
    for i in range(4):
        assert abs(np.corrcoef(ours[:, i], theirs[:, i])[0, 1]) == pytest.approx(1, abs=1e-4)
    assert found.explained == pytest.approx(pca.explained_variance_ratio_.sum(), rel=1e-6)
    assert (ours**2).mean() == pytest.approx(1, rel=1e-4)
    np.testing.assert_allclose((ours**2).mean(axis=0) / (theirs**2).mean(axis=0), 1 / (theirs**2).mean(), rtol=1e-4)
    assert (found(np.full((1, 8), np.nan)) == 0).all()
    whole = Projection.fit(x, 8)
    np.testing.assert_allclose(whole(x), scaled, atol=1e-5)
    assert whole.explained == 1


def test_training_regions_alone_are_fitted_on(tokens):
    train = np.arange(40) < 25
    table, has, projection = embed_regions(tokens, None, KmerEmbedder(2), n_components=3, train=train)
    assert has.tolist() == [i != 4 for i in range(40)]
    assert (table[4] == 0).all()
    shares = kmer_shares(tokens, 2)
    rows = train & has
    np.testing.assert_allclose(projection.mean, shares[rows].mean(axis=0), rtol=1e-6)
    changed = tokens.copy()
    changed[25:] = tokens[::-1][:15]
    again, _, _ = embed_regions(changed, None, KmerEmbedder(2), n_components=3, train=train)
    np.testing.assert_array_equal(again[:25], table[:25])


def test_half_known_windows(tokens):
    tokens[5, :46] = 4  # 51% of 90
    tokens[6, :45] = 4
    for limit, lacking in ((0.5, [4, 5]), (0.2, [3, 4, 5, 6]), (1, [4])):
        table, has, _ = embed_regions(tokens, None, KmerEmbedder(1), max_unknown=limit)
        assert np.flatnonzero(~has).tolist() == lacking
        assert (table[lacking] == 0).all()
    with pytest.raises(ChromatellError, match="0 of 40 training regions have a sequence with at most 50% N"):
        embed_regions(np.full((40, 90), 4, dtype=np.int8), None, KmerEmbedder(1))
    with pytest.raises(ChromatellError, match="1 of 1 training regions"):
        embed_regions(tokens, None, KmerEmbedder(1), train=np.arange(40) == 0)


@pytest.fixture
def genome(rng, tmp_path):
    path = tmp_path / "a.fa"
    path.write_text(
        "".join(f">{c}\n{''.join(rng.choice(list('ACGT'), n))}\n" for c, n in (("chr1", 4000), ("chr2", 900)))
    )
    return ctl.genome.Genome(path)


def test_regions_of_several_sizes_are_read_as_they_are(genome):
    start = np.array([0, 100, 100, 850, 700, 50])
    end = np.array([200, 300, 151, 900, 900, 251])
    chrom = ["chr1", "1", "chr1", "chr2", "chr2", "chr3"]
    table = pd.DataFrame({"chrom": chrom, "start": start, "end": end})
    sequences = RegionSequences(genome, table)
    blocks = sequences.blocks(np.arange(6))
    assert sorted(map(tuple, (b.tolist() for b in blocks))) == [(0, 1, 4), (2,), (3,), (5,)]
    for rows in blocks:
        tokens, unknown = sequences.read(rows)
        for row, found in zip(rows, tokens, strict=True):
            if chrom[row] != "chr3":
                np.testing.assert_array_equal(found, genome.fetch(chrom[row], start[row], end[row]))
        assert unknown.tolist() == [float(chrom[row] == "chr3") for row in rows]
    wide, unknown = RegionSequences(genome, table, 300).read(np.array([3]))
    np.testing.assert_array_equal(wide[0], genome.fetch("chr2", 725, 1025))  # with its surroundings, off the end
    assert unknown[0] == pytest.approx(125 / 300)


def test_size_of_blocks_and_of_the_sample_change_nothing(genome, monkeypatch):
    start = np.arange(0, 3800, 40)
    table = pd.DataFrame({"chrom": "chr1", "start": start, "end": start + np.where(start % 80, 150, 151)})
    whole = embed_regions(genome, table, KmerEmbedder(3), n_components=6)[0]
    monkeypatch.setattr(dna_embedding, "_BASES", 700)
    np.testing.assert_allclose(embed_regions(genome, table, KmerEmbedder(3), n_components=6)[0], whole, atol=1e-5)
    train = np.arange(len(start)) % 2 == 0
    half = embed_regions(genome, table, KmerEmbedder(3), n_components=6, train=train)[0]
    monkeypatch.setattr(dna_embedding, "_SAMPLE", int(train.sum()))
    again = embed_regions(genome, table, KmerEmbedder(3), n_components=6, train=train)[0]
    np.testing.assert_allclose(again, half, atol=1e-5)
    monkeypatch.setattr(dna_embedding, "_SAMPLE", 20)
    one, two = (embed_regions(genome, table, KmerEmbedder(3), n_components=6, seed=s)[0] for s in (0, 0))
    np.testing.assert_array_equal(one, two)
    assert not np.allclose(one, whole)


# XChrom


@pytest.fixture(scope="module", params=["motifs", "basset", "covariates"])
def xchrom(request):
    mdata = ctl.datasets.simulate_sequence_multiome(n_cells=60, n_regions=40, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    mdata.mod["rna"].obsm["X_few"] = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    ctl.models.XChrom.setup_mudata(mdata, embedding="X_few")
    size = {"stem_filters": 6, "n_embed": 5, "sequence_length": 96, "covariate_length": 0}
    if request.param == "covariates":
        size |= {"sequence_length": 80, "covariate_length": 96, "motifs": {"TGA": np.eye(4)[[3, 2, 0]]}}
    if request.param == "basset":
        size |= {"kind": "basset", "filters": (6, 6), "last_filters": 4}
    model = ctl.models.XChrom(mdata, **size)
    model.train(max_epochs=1, seed=0)
    return model


def test_the_vectors_of_an_xchrom(xchrom, rng, tmp_path):
    tokens = rng.integers(0, 4, (7, 96)).astype(np.int8)
    wanted = xchrom.region_vectors(tokens)[:, :5]
    xchrom.save(tmp_path / "model")
    for source in (xchrom, xchrom.to_record(), tmp_path / "model"):
        embedder = XChromEmbedder(source, device="cpu")
        assert (embedder.name, embedder.n_features, embedder.window) == ("XChrom", 5, 96)
        np.testing.assert_allclose(embedder.embed(tokens), wanted, atol=1e-5)


def test_the_place_of_a_region_counts(xchrom, rng):
    """Where the model holds start sites, as in its own vectors."""
    if xchrom.module.covariates is None:
        pytest.skip("it reads none")
    tokens, record = rng.integers(0, 4, (3, 96)).astype(np.int8), xchrom.to_record()
    places = pd.DataFrame({"chrom": "chr1", "start": [0, 5_000, 90_000], "end": [100, 5_200, 90_500]})
    arrays = {**record.arrays, "sites.first": np.array([0, 2]), "sites.positions": np.array([100, 6_000])}
    weight = arrays["weights.covariates.weight"].copy()
    weight[0] = np.arange(1, weight.shape[1] + 1)  # of proximity
    arrays["weights.covariates.weight"] = weight
    config = {**record.config, "covariates": {**record.config["covariates"], "chromosomes": ["chr1"]}}
    record = dataclasses.replace(record, config=config, arrays=arrays)
    model = ctl.models.XChrom.from_record(record)
    found = XChromEmbedder(record, device="cpu").embed(tokens, places)
    np.testing.assert_allclose(found, model.region_vectors(tokens, places)[:, :5], atol=1e-5)
    near = 1 / (1 + np.array([50, 900, 84_250]) / 1000)  # from the middle to the nearest site
    without = XChromEmbedder(record, device="cpu").embed(tokens)
    np.testing.assert_allclose(found - without, np.outer(near, [1, 2, 3, 4, 5]), rtol=1e-3)


def test_long_and_half_known_regions(xchrom, rng):
    tokens = rng.integers(0, 4, (4, 230)).astype(np.int8)
    tokens[1, :96] = 4  # its first window has no base
    tokens[2] = 4
    tokens[3, 60:90] = 4
    embedder = XChromEmbedder(xchrom, device="cpu")
    found = embedder.embed(tokens)
    starts = [0, 67, 134]  # three windows of 96 in 230
    assert _tiles(tokens, 96).shape == (4, 3, 96)
    each = np.stack([xchrom.region_vectors(tokens[:, s : s + 96])[:, :5] for s in starts])
    np.testing.assert_allclose(found[0], each[:, 0].mean(axis=0), atol=1e-5)
    known = [(tokens[1, s : s + 96] < 4).mean() for s in starts]
    weight = np.array([w if w >= 0.5 else 0 for w in known])
    np.testing.assert_allclose(found[1], weight @ each[:, 1] / weight.sum(), atol=1e-5)
    assert weight[0] == 0
    assert np.isnan(found[2]).all()
    short = embedder.embed(tokens[:, 100:160])
    padded = np.full((4, 96), 4, dtype=np.int8)
    padded[:, 18:78] = tokens[:, 100:160]
    np.testing.assert_allclose(short[[0, 1, 3]], xchrom.region_vectors(padded)[[0, 1, 3], :5], atol=1e-5)


def test_models_that_are_no_xchrom(xchrom):
    record = xchrom.to_record()
    with pytest.raises(ChromatellError, match="this is a 'dense' model"):
        XChromEmbedder(Record("dense", 1, {}, {"weights.a": np.zeros(1)}))
    with pytest.raises(ChromatellError, match="got int"):
        XChromEmbedder(5)
    arrays = dict(record.arrays)
    name = next(n for n in arrays if n.startswith("weights.tower.") and arrays[n].ndim == 3)
    for broken in ({name: arrays[name][:, :2]}, {name: np.full_like(arrays[name], np.nan)}):
        with pytest.raises(ChromatellError, match="does not fit its own description"):
            XChromEmbedder(Record("xchrom", 1, record.config, {**arrays, **broken}, record.var_names))
    with pytest.raises(ChromatellError, match="device='nowhere' cannot be used"):
        device_of("nowhere")


# Nucleotide Transformer: a tiny one of the same build, saved here


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    pytest.importorskip("transformers")
    from transformers import EsmConfig, EsmForMaskedLM, EsmTokenizer

    folder = tmp_path_factory.mktemp("nt")
    special = ["<unk>", "<pad>", "<mask>", "<cls>", "<eos>", "<bos>"]
    vocabulary = [*special, *("".join(w) for w in itertools.product("ATCG", repeat=6)), *"ATCGN"]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    EsmTokenizer(str(folder / "vocab.txt"), eos_token=None, model_max_length=1000).save_pretrained(folder)
    config = EsmConfig(
        vocab_size=len(vocabulary), hidden_size=12, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=22, pad_token_id=1, mask_token_id=2, token_dropout=False,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        EsmForMaskedLM(config).eval().save_pretrained(folder)
    return folder


@pytest.fixture
def offline(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def test_a_nucleotide_transformer_word_by_word(tiny, offline, rng):
    from transformers import AutoModel, AutoTokenizer

    embedder = TransformerEmbedder(tiny, device="cpu")
    assert (embedder.k, embedder.n_features, embedder.n_words) == (6, 12, 19)  # 20 positions, one of them <cls>
    tokens = rng.integers(0, 4, (5, 64)).astype(np.int8)
    tokens[2, 50:] = 4
    tokens[3, 20:23] = 4
    tokens[4] = 4
    found = embedder.embed(tokens)
    tokenizer, model = AutoTokenizer.from_pretrained(tiny), AutoModel.from_pretrained(tiny).eval()
    for i in (0, 1, 2):
        text = ctl.genome.decode(tokens[i]).rstrip("N")
        inputs = tokenizer(text, return_tensors="pt")
        assert inputs["input_ids"][0, 1:].tolist() == embedder.words(tokens[i]).tolist()
        with torch.no_grad():
            hidden = model(**inputs).last_hidden_state[0, 1:]  # without <cls>
        np.testing.assert_allclose(found[i], hidden.mean(dim=0), atol=1e-5)
    text = [tokenizer(t)["input_ids"][1:] for t in ctl.genome.decode(tokens[3]).split("NNN")]
    assert embedder.words(tokens[3]).tolist() == sum(text, [])  # words do not span an N, which is left out
    assert np.isnan(found[4]).all()
    for i in range(4):  # alone as among others
        np.testing.assert_allclose(embedder.embed(tokens[i : i + 1])[0], found[i], atol=1e-5)


def test_long_sequences_are_read_in_even_parts(tiny, offline, rng):
    embedder = TransformerEmbedder(tiny, device="cpu")
    tokens = rng.integers(0, 4, (2, 6 * 50)).astype(np.int8)  # 50 words: 17, 17 and 16
    found = embedder.embed(tokens)
    parts = [embedder.embed(tokens[:, 6 * a : 6 * b]) for a, b in ((0, 17), (17, 34), (34, 50))]
    np.testing.assert_allclose(found, (17 * parts[0] + 17 * parts[1] + 16 * parts[2]) / 50, atol=1e-5)


def test_nothing_of_a_models_own_is_run(tiny, offline, tmp_path):
    import shutil

    def copy(name):
        shutil.copytree(tiny, folder := tmp_path / name)
        return folder

    code = copy("code")
    config = json.loads((code / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "modeling.Evil", "AutoConfig": "modeling.EvilConfig"}
    (code / "config.json").write_text(json.dumps(config))
    (code / "modeling.py").write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\nclass EvilConfig: pass\n"
    )
    with pytest.raises(ChromatellError, match="comes with code of its own.*which is not run"):
        TransformerEmbedder(code)
    config["model_type"] = "unheard_of"
    (code / "config.json").write_text(json.dumps(config))
    with pytest.raises(ChromatellError, match="cannot be loaded"):
        TransformerEmbedder(code)
    assert not (tmp_path / "ran").exists()

    pickled = copy("pickled")
    from safetensors.torch import load_file

    torch.save(load_file(pickled / "model.safetensors"), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    with pytest.raises(ChromatellError, match="cannot be loaded.*safetensors"):
        TransformerEmbedder(pickled)

    other = copy("other")  # as version 2, whose layers have other shapes
    config = json.loads((tiny / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(ChromatellError, match="do not fit its architecture, EsmModel.*'encoder.layer.2"):
        TransformerEmbedder(other)
    (other / "config.json").write_text(json.dumps({**config, "intermediate_size": 32}))
    with pytest.raises(ChromatellError, match="6 are missing, too many or of another shape"):
        TransformerEmbedder(other)

    with pytest.raises(ChromatellError, match="cannot be loaded"):
        TransformerEmbedder(tmp_path / "nothing")
    words = copy("words")
    text = (words / "vocab.txt").read_text().replace("\nATTCTG\n", "\nATTCTX\n")
    (words / "vocab.txt").write_text(text)
    with pytest.raises(ChromatellError, match="are not k-mers of DNA"):
        TransformerEmbedder(words)
