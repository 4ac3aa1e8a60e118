"""`io.write_tracks`: bigWigs that other readers open, of values worked by hand, and a hub that a parser understands."""

from __future__ import annotations

import json
import logging
import os
import re

import anndata as ad
import mudata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import chromatell as ctl
from chromatell.io import _write_tracks

pybigtools = pytest.importorskip("pybigtools")
SIZES = {"chr1": 10_000, "chr2": 5_000, "chr10": 3_000}
# the first two overlap in 200-300; the fifth lies on a scaffold
REGIONS = ["chr1:100-300", "chr1:200-400", "chr10:0-500", "chr2:4900-5000", "GL1.1:5-9"]
P = np.array([[0.2, 0.4, 0.6, 0.1, 0.5], [0.4, 0.6, 0.2, 0.3, 0.5], [0.9, 0.1, 0.5, 0.7, 0.5]], dtype=np.float32)


@pytest.fixture
def mdata():
    rna = ad.AnnData(np.ones((3, 2), dtype=np.float32))
    atac = ad.AnnData(sp.csr_matrix((P > 0.3).astype(np.float32)), var=pd.DataFrame(index=REGIONS))
    mdata = mudata.MuData({"rna": rna, "atac": atac})
    mdata.obs["type"] = ["B cell", "B cell", "T/NK"]
    ctl.tl.add_prediction(mdata, P, key="mine")
    return mdata


def intervals(path):
    """Return what pybigtools reads."""
    with pybigtools.open(str(path)) as file:
        assert file.chroms() == SIZES
        return {c: [(s, e, round(v, 6)) for s, e, v in file.records(c)] for c in SIZES}


def test_a_bigwig_holds_the_means_of_each_group(mdata, tmp_path):
    files = ctl.io.write_tracks(mdata, "type", tmp_path / "tracks", genome=SIZES)
    names = {"B_cell_predicted.bw", "B_cell_observed.bw", "T_NK_predicted.bw", "T_NK_observed.bw"}
    assert set(files) == names == {p.name for p in (tmp_path / "tracks").iterdir()}
    assert intervals(files["B_cell_predicted.bw"]) == {
        "chr1": [(100, 200, 0.3), (200, 300, 0.4), (300, 400, 0.5)],  # where two overlap, their mean
        "chr10": [(0, 500, 0.4)],
        "chr2": [(4900, 5000, 0.2)],
    }
    assert intervals(files["T_NK_observed.bw"])["chr1"] == [(100, 200, 1.0), (200, 300, 0.5), (300, 400, 0.0)]
    assert intervals(files["B_cell_observed.bw"])["chr10"] == [(0, 500, 0.5)]


def test_other_readers_open_them(mdata, tmp_path):
    pybigwig = pytest.importorskip("pyBigWig")
    files = ctl.io.write_tracks(mdata, "type", tmp_path, genome=SIZES)
    with pybigwig.open(str(files["B_cell_predicted.bw"])) as file:
        assert file.chroms() == SIZES
        assert file.stats("chr1", 100, 400, exact=True) == [pytest.approx(0.4)]
        assert file.values("chr10", 499, 501)[0] == pytest.approx(0.4)
        assert np.isnan(file.values("chr10", 499, 501)[1])
        assert file.stats("chr1", 0, 10_000, type="max", exact=True) == [pytest.approx(0.5)]


def test_deeptools_counts_them(mdata, tmp_path):
    scores = pytest.importorskip("deeptools.getScorePerBigWigBin")
    files = ctl.io.write_tracks(mdata, "type", tmp_path / "tracks", genome=SIZES)
    (tmp_path / "two.bed").write_text("chr1\t100\t200\nchr2\t4900\t5000\n")
    pair = [str(files[f"{name}_predicted.bw"]) for name in ("B_cell", "T_NK")]
    found = scores.getScorePerBin(pair, 50, bedFile=[str(tmp_path / "two.bed")], numberOfProcessors=1)
    np.testing.assert_allclose(np.asarray(found), [[0.3, 0.9], [0.2, 0.7]], rtol=1e-5)


def stanzas(text):
    """A parser of UCSC's settings: blocks divided by empty lines, a name and a value a line."""
    blocks = [block for block in text.split("\n\n") if block.strip()]
    return [dict(line.split(" ", 1) for line in block.strip().split("\n")) for block in blocks]


def test_the_hub_refers_to_files_that_are_there(mdata, tmp_path):
    files = ctl.io.write_tracks(mdata, "type", tmp_path, genome="GRCh38", hub=True)
    read = {name: path.read_text() for name, path in files.items() if not name.endswith(".bw")}
    (hub,), (genomes,) = stanzas(read["hub.txt"]), stanzas(read["genomes.txt"])
    assert set(hub) == {"hub", "shortLabel", "longLabel", "genomesFile", "email"}
    assert (tmp_path / hub["genomesFile"]).is_file()
    assert genomes == {"genome": "hg38", "trackDb": "trackDb.txt"}
    parent, *tracks = stanzas(read["trackDb.txt"])
    assert parent["compositeTrack"] == "on"
    assert len(tracks) == 4
    for track in tracks:
        assert (tmp_path / track["bigDataUrl"]).is_file()
        assert track["parent"].split()[0] == parent["track"]
        assert (track["autoScale"], track["type"]) == ("on", "bigWig 0 1")
        assert track["track"].replace("_", "").isalnum()
        assert len(track["shortLabel"]) <= 17
        assert len(track["longLabel"]) <= 80
    assert len({t["track"] for t in [parent, *tracks]}) == 5
    session = json.loads(read["igv_session.json"])
    assert session["genome"] == "hg38"
    assert [t["name"] for t in session["tracks"]] == [
        "B cell, predicted", "B cell, observed", "T/NK, predicted", "T/NK, observed",
    ]  # fmt: skip
    assert all((tmp_path / t["url"]).is_file() and t["format"] == "bigwig" for t in session["tracks"])


def test_labels_of_one_line_and_groups_of_like_names(mdata, tmp_path):
    mdata.obs["odd"] = ["a+", "a-", "A\nx genomesFile other"]
    files = ctl.io.write_tracks(mdata, "odd", tmp_path, genome="hg38", what="predicted", hub=True, email="a@b\nhub x")
    tracks = [name for name in files if name.endswith(".bw")]
    assert len({name.lower() for name in tracks}) == 3
    for name in ("hub.txt", "trackDb.txt"):
        for block in stanzas(files[name].read_text()):
            assert not {"x", "hub x"} & set(block) - {"hub"}
    assert stanzas(files["hub.txt"].read_text())[0]["hub"] == "chromatell"


def test_groups_that_files_are_named_alike_for_are_told(mdata, tmp_path, caplog):
    mdata.obs["odd"] = ["T+", "T-", "B"]
    logging.getLogger("chromatell").addHandler(caplog.handler)
    files = ctl.io.write_tracks(mdata, "odd", tmp_path, genome=SIZES, what="predicted")
    logging.getLogger("chromatell").removeHandler(caplog.handler)
    assert set(files) == {"B_predicted.bw", "T_predicted.bw", "T_2_predicted.bw"}
    told = dict(re.findall(r"(\w+): '(.*?)'", caplog.text))
    assert told == {"T": "T+", "T_2": "T-"}
    for name, group in told.items():  # each holds the values of the group that is told
        cell = list(mdata.obs["odd"]).index(group)
        assert intervals(files[f"{name}_predicted.bw"])["chr10"] == [(0, 500, pytest.approx(P[cell, 2]))]


def test_names_without_chr_are_the_same_chromosome(mdata, tmp_path):
    mdata.mod["atac"].var_names = [n.removeprefix("chr") for n in REGIONS]
    mdata.mod["atac_pred"].var["region"] = list(mdata.mod["atac"].var_names)
    files = ctl.io.write_tracks(mdata, "type", tmp_path, genome=SIZES, what="predicted")
    assert intervals(files["B_cell_predicted.bw"])["chr10"] == [(0, 500, 0.4)]


def test_a_query_without_atac_has_predicted_tracks_alone(mdata, tmp_path):
    query = mudata.MuData({"rna": mdata.mod["rna"], "atac_pred": mdata.mod["atac_pred"]})
    query.obs["type"] = mdata.obs["type"]
    files = ctl.io.write_tracks(query, "type", tmp_path, genome=SIZES)
    assert set(files) == {"B_cell_predicted.bw", "T_NK_predicted.bw"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"genome": None}, r"Which genome the regions lie on is not known. Name it: genome='hg38'"),
        ({"genome": "hg99"}, "neither a file nor one of the builds"),
        ({"genome": {"chr1": 350}}, r"1 regions end beyond their chromosome \(such as 'chr1:200-400'\)"),
        ({"genome": {"chr7": 350}}, "No region lies on a chromosome of the genome"),
        ({"what": "expected"}, r"choose one of \['predicted', 'observed'\]"),
        ({"what": []}, "names nothing to write"),
        ({"key": "other"}, "No prediction 'other'"),
        ({"groupby": "kind"}, "Did not find mdata.obs"),
        ({"hub": True}, "hub=True needs a genome that UCSC knows by name"),
    ],
)
def test_what_cannot_be_written_leaves_nothing(mdata, tmp_path, arguments, message):
    arguments = {"groupby": "type", "genome": SIZES, **arguments}
    with pytest.raises(ctl.ChromatellError, match=message):
        ctl.io.write_tracks(mdata, path=tmp_path / "new", **arguments)
    assert not (tmp_path / "new").exists()


def test_all_files_take_their_names_together_or_none_does(mdata, tmp_path, monkeypatch):
    """One group after the other did: a write that failed, or was killed, left new beside old ones."""
    ctl.io.write_tracks(mdata, "type", tmp_path, genome="hg38", hub=True)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    write, seen = _write_tracks.write_intervals, []

    def fails(path, *args):
        seen.append([p.name for p in tmp_path.rglob("*.bw") if not p.parent.name.startswith(".")])
        if len(seen) == 4:
            raise OSError(28, "No space left on device", str(path))
        write(path, *args)

    monkeypatch.setattr(_write_tracks, "write_intervals", fails)
    ctl.tl.add_prediction(mdata, P / 2, key="half")
    with pytest.raises(ctl.ChromatellError, match="there is no room left on the disk. Nothing was changed there"):
        ctl.io.write_tracks(mdata, "type", tmp_path, genome="hg38", hub=True, key="half", overwrite=True)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    assert all(sorted(names) == sorted(n for n in before if n.endswith(".bw")) for names in seen)
    monkeypatch.setattr(_write_tracks, "write_intervals", lambda *args: os._exit(0))
    if (child := os.fork()) == 0:
        ctl.io.write_tracks(mdata, "type", tmp_path, genome="hg38", overwrite=True)
    os.waitpid(child, 0)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()} == before
    assert len(list(tmp_path.iterdir())) == len(before) + 1
    monkeypatch.setattr(_write_tracks, "write_intervals", write)
    ctl.io.write_tracks(mdata, "type", tmp_path, genome="hg38", overwrite=True)  # sweeps what the killed one left
    assert {p.name for p in tmp_path.iterdir()} == set(before)


def test_a_file_of_another_kind_is_never_replaced(mdata, tmp_path):
    (tmp_path / "B_cell_predicted.bw").write_text("notes of the user's")
    with pytest.raises(ctl.ChromatellError, match=r"B_cell_predicted.bw.* is not"):
        ctl.io.write_tracks(mdata, "type", tmp_path, genome=SIZES, overwrite=True)
    assert (tmp_path / "B_cell_predicted.bw").read_text() == "notes of the user's"


def test_files_that_are_there_stay_unless_they_are_to_be_replaced(mdata, tmp_path):
    ctl.io.write_tracks(mdata, "type", tmp_path, genome=SIZES, what="predicted")
    before = (tmp_path / "B_cell_predicted.bw").read_bytes()
    with pytest.raises(ctl.ChromatellError, match=r"holds 'B_cell_predicted.bw'.*overwrite=True"):
        ctl.io.write_tracks(mdata, "type", tmp_path, genome=SIZES)
    assert {p.name for p in tmp_path.iterdir()} == {"B_cell_predicted.bw", "T_NK_predicted.bw"}
    ctl.tl.add_prediction(mdata, P / 2, key="half")
    ctl.io.write_tracks(mdata, "type", tmp_path, genome=SIZES, what="predicted", key="half", overwrite=True)
    assert (tmp_path / "B_cell_predicted.bw").read_bytes() != before
    (tmp_path / "file").write_text("x")
    with pytest.raises(ctl.ChromatellError, match="is a file; a folder is needed"):
        ctl.io.write_tracks(mdata, "type", tmp_path / "file", genome=SIZES)
