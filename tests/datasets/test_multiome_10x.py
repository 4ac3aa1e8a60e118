import gzip
import hashlib
import http.server
import io
import tarfile
import threading
from functools import partial

import h5py
import mudata
import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp

import chromatell as ctl
from chromatell import ChromatellError, ChromatellWarning

GENES = [
    ("ENSG1", "GeneA", "Gene Expression", "chr1", "29553", "30267"),
    ("ENSG2", "GeneB", "Gene Expression", "chr2", "100", "101"),
    ("ENSG3", "GeneA", "Gene Expression", "", "", ""),
]
PEAKS = [(f"chr1:{s}-{s + 900}", f"chr1:{s}-{s + 900}", "Peaks", "chr1", str(s), str(s + 900)) for s in (9772, 180600)]
PEAKS.append(("KI270728.1:5-10", "KI270728.1:5-10", "Peaks", "KI270728.1", "5", "10"))
FEATURES = [*GENES, *PEAKS]
BARCODES = ["AAAC-1", "AAAG-1", "AAAT-1", "AACC-1"]
COUNTS = np.array([[1, 0, 2, 0, 4, 0], [0, 3, 0, 2, 0, 0], [5, 0, 0, 0, 0, 1], [0, 0, 7, 0, 0, 0]])  # cells x features


def write_h5(path, features=FEATURES, counts=COUNTS):
    csc = sp.csc_matrix(counts.T.astype(np.int32))  # features x cells, as Cell Ranger stores it
    with h5py.File(path, "w") as f:
        g = f.create_group("matrix")
        g["data"], g["indices"], g["indptr"] = csc.data, csc.indices.astype(np.int64), csc.indptr.astype(np.int64)
        g["shape"] = np.array(csc.shape, dtype=np.int32)
        g["barcodes"] = np.array(BARCODES, dtype="S")
        h = g.create_group("features")
        h["id"] = np.array([r[0] for r in features], dtype="S")
        h["name"] = np.array([r[1] for r in features], dtype="S")
        h["feature_type"] = np.array([r[2] for r in features], dtype="S")
        h["genome"] = np.array(["GRCh38"] * len(features), dtype="S")
        h["interval"] = np.array([f"{r[3]}:{r[4]}-{r[5]}" if r[3] else "NA" for r in features], dtype="S")
    return path


def write_folder(folder, features=FEATURES, counts=COUNTS, packed=True):
    folder.mkdir(parents=True)
    opener, suffix = (gzip.open, ".gz") if packed else (open, "")
    text = io.BytesIO()
    scipy.io.mmwrite(text, sp.coo_matrix(counts.T), field="integer")
    with opener(folder / f"matrix.mtx{suffix}", "wb") as f:
        f.write(text.getvalue())
    with opener(folder / f"features.tsv{suffix}", "wt") as f:
        f.writelines("\t".join(r) + "\n" for r in features)
    with opener(folder / f"barcodes.tsv{suffix}", "wt") as f:
        f.writelines(b + "\n" for b in BARCODES)
    return folder


@pytest.fixture
def server(tmp_path):
    """A web server on localhost that serves ``tmp_path / 'www'``."""
    www = tmp_path / "www"
    www.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(www))) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield www, f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()
        thread.join()


def check(mdata):
    rna, atac = mdata.mod["rna"], mdata.mod["atac"]
    assert list(mdata.obs_names) == BARCODES
    np.testing.assert_array_equal(rna.X.toarray(), COUNTS[:, :3])
    np.testing.assert_array_equal(atac.X.toarray(), COUNTS[:, 3:])
    assert rna.X.dtype == atac.X.dtype == np.float32
    assert rna.X.format == atac.X.format == "csr"
    assert list(rna.var_names) == ["GeneA", "GeneB", "GeneA-1"]
    assert list(rna.var["gene_ids"]) == ["ENSG1", "ENSG2", "ENSG3"]
    assert list(rna.var["interval"]) == ["chr1:29553-30267", "chr2:100-101", ""]
    assert set(rna.var["feature_types"]) == {"Gene Expression"}
    assert list(atac.var_names) == ["chr1:9772-10672", "chr1:180600-181500", "KI270728.1:5-10"]
    assert list(atac.var["chrom"]) == ["chr1", "chr1", "KI270728.1"]
    assert list(atac.var["start"]) == [9772, 180600, 5]
    assert list(atac.var["end"]) == [10672, 181500, 10]


def test_h5(tmp_path):
    mdata = ctl.datasets.multiome_10x(write_h5(tmp_path / "filtered_feature_bc_matrix.h5"))
    check(mdata)
    assert set(mdata.mod["atac"].var["genome"]) == {"GRCh38"}
    check(ctl.datasets.multiome_10x(tmp_path))  # the folder above it


@pytest.mark.filterwarnings("ignore:Variable names are not unique:UserWarning")  # scanpy's, of GeneA
def test_h5_as_scanpy_reads_it(tmp_path):
    import scanpy as sc

    path = write_h5(tmp_path / "x.h5")
    mdata, other = ctl.datasets.multiome_10x(path), sc.read_10x_h5(path, gex_only=False)
    both = np.hstack([mdata.mod[m].X.toarray() for m in ("rna", "atac")])
    np.testing.assert_array_equal(both, other.X.toarray())
    assert [*mdata.mod["rna"].var["gene_ids"], *mdata.mod["atac"].var_names] == list(other.var["gene_ids"])


@pytest.mark.parametrize("packed", [True, False])
def test_folder(tmp_path, packed):
    folder = write_folder(tmp_path / "outs" / "filtered_feature_bc_matrix", packed=packed)
    check(ctl.datasets.multiome_10x(folder))
    check(ctl.datasets.multiome_10x(str(tmp_path / "outs")))


def test_features_in_any_order_and_other_types_left_out(tmp_path):
    order = [4, 0, 3, 2, 5, 1]
    features = [FEATURES[i] for i in order] + [("CD3", "CD3", "Antibody Capture", "", "", "")]
    counts = np.hstack([COUNTS[:, order], np.full((4, 1), 9)])
    mdata = ctl.datasets.multiome_10x(write_h5(tmp_path / "x.h5", features, counts))
    assert list(mdata.mod["rna"].var["gene_ids"]) == ["ENSG1", "ENSG3", "ENSG2"]
    np.testing.assert_array_equal(mdata.mod["rna"].X.toarray(), COUNTS[:, [0, 2, 1]])
    np.testing.assert_array_equal(mdata.mod["atac"].X.toarray(), COUNTS[:, [4, 3, 5]])


def test_download_h5_with_hash_and_from_cache(server, tmp_path):
    www, address = server
    path = write_h5(www / "f.h5")
    sha = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.warns(ChromatellWarning, match="plain http"):
        check(ctl.datasets.multiome_10x(f"{address}/f.h5", sha256=sha, cache=tmp_path / "cache"))
    path.unlink()  # the second time it is there
    with pytest.warns(ChromatellWarning, match="plain http"):
        check(ctl.datasets.multiome_10x(f"{address}/f.h5", sha256=sha.upper(), cache=tmp_path / "cache"))


def test_download_of_an_archive_warns_without_hash(server, tmp_path):
    www, address = server
    folder = write_folder(tmp_path / "filtered_feature_bc_matrix")
    with tarfile.open(www / "f.tar.gz", "w:gz") as archive:
        archive.add(folder, arcname="filtered_feature_bc_matrix")
    with pytest.warns(ChromatellWarning, match="without a known hash"):
        check(ctl.datasets.multiome_10x(f"{address}/f.tar.gz", cache=tmp_path / "cache"))


def test_progress_bar(server, tmp_path, monkeypatch):
    www, address = server
    write_h5(www / "f.h5")
    monkeypatch.setattr(type(ctl.settings), "progress", property(lambda self: True))
    with pytest.warns(ChromatellWarning, match="hash"):
        check(ctl.datasets.multiome_10x(f"{address}/f.h5", cache=tmp_path / "cache"))


def test_download_errors(server, tmp_path):
    www, address = server
    write_h5(www / "f.h5")
    for url, sha, message in (
        ("f.h5", "0" * 64, "Could not get .*SHA256"),
        ("absent.h5", "0" * 64, "Could not get .*404"),
    ):
        with pytest.warns(ChromatellWarning), pytest.raises(ChromatellError, match=message):
            ctl.datasets.multiome_10x(f"{address}/{url}", sha256=sha, cache=tmp_path / "cache")
    with pytest.raises(ChromatellError, match="must begin with https"):
        ctl.datasets.multiome_10x("ftp://127.0.0.1/f.h5")


def test_archive_cannot_write_outside(tmp_path):
    folder = write_folder(tmp_path / "filtered_feature_bc_matrix")
    path = tmp_path / "evil.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name in ("matrix.mtx.gz", "features.tsv.gz", "barcodes.tsv.gz"):
            archive.add(folder / name, arcname=f"../../escaped/{name}")
        archive.add(folder / "barcodes.tsv.gz", arcname="/etc/anything")
    check(ctl.datasets.multiome_10x(path))
    assert not list(tmp_path.parent.rglob("escaped"))
    link = tarfile.TarInfo("matrix.mtx")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(link)
    with pytest.raises(ChromatellError, match=r"holds no matrix.mtx"):
        ctl.datasets.multiome_10x(path)


def test_files_that_are_not_multiome(tmp_path):
    def refused(path, match, **kwargs):
        with pytest.raises(ChromatellError, match=match):
            ctl.datasets.multiome_10x(path, **kwargs)

    refused(tmp_path / "absent.h5", "Nothing at")
    refused(write_h5(tmp_path / "rna.h5", GENES, COUNTS[:, :3]), r"no 'Peaks' features, only \{'Gene Expression': 3\}")
    refused(write_h5(tmp_path / "atac.h5", PEAKS, COUNTS[:, 3:]), "no 'Gene Expression' features")
    folder = write_folder(tmp_path / "m")
    (folder / "barcodes.tsv.gz").unlink()
    refused(folder, r"holds no barcodes.tsv\(.gz\)")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "holds no matrix.mtx")
    (tmp_path / "text.h5").write_text("not hdf5")
    refused(tmp_path / "text.h5", "neither an HDF5 file nor a tar archive")
    whole = write_h5(tmp_path / "whole.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
    refused(tmp_path / "cut.h5", "cut short|cannot be read")
    ctl.datasets.simulate_multiome(10, 5, 5, seed=0).mod["rna"].write_h5ad(tmp_path / "other.h5")
    refused(tmp_path / "other.h5", "has no 'matrix/features'")
    refused(tmp_path / "whole.h5", "has sha256", sha256="0" * 64)
    unnamed = [*GENES, ("peak1", "peak1", "Peaks", "", "", ""), *PEAKS[1:]]
    refused(write_h5(tmp_path / "unnamed.h5", unnamed), "1 peaks have no coordinates .*peak1")


def test_matrix_that_does_not_fit(tmp_path):
    folder = write_folder(tmp_path / "m")
    with gzip.open(folder / "barcodes.tsv.gz", "wt") as f:
        f.write("AAAC-1\n")
    with pytest.raises(ChromatellError, match="4 cells x 6 features, with 1 barcodes and 6 features"):
        ctl.datasets.multiome_10x(folder)
    path = write_h5(tmp_path / "x.h5")
    with h5py.File(path, "r+") as f:
        f["matrix/indices"][0] = 600
    with pytest.raises(ChromatellError, match="does not fit itself: an index is 600, outside the 6"):
        ctl.datasets.multiome_10x(path)


def test_data_of_another_file_is_refused(tmp_path):
    path, other = write_h5(tmp_path / "x.h5"), write_h5(tmp_path / "secret.h5")
    with h5py.File(path, "r+") as f:
        del f["matrix/barcodes"]
        f["matrix/barcodes"] = h5py.ExternalLink(str(other), "matrix/barcodes")
    with pytest.raises(ChromatellError, match="matrix/barcodes"):
        ctl.datasets.multiome_10x(path)


def test_survives_a_round_trip(tmp_path):
    mdata = ctl.datasets.multiome_10x(write_h5(tmp_path / "x.h5"))
    mdata.write(tmp_path / "m.h5mu")
    check(mudata.read_h5mu(tmp_path / "m.h5mu"))
