import logging

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from chromatell import ChromatellError
from chromatell.genome.regions import normalise_chrom, parse_regions, region_table, same_names


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("chr1:100-600", ("chr1", 100, 600)),
        ("chr1-100-600", ("chr1", 100, 600)),
        ("chr1_100_600", ("chr1", 100, 600)),
        ("1:100-600", ("1", 100, 600)),
        ("chrX:1,000-2,000", ("chrX", 1000, 2000)),
        ("GL000205.2:63210-64083", ("GL000205.2", 63210, 64083)),
        ("chr1_KI270706v1_random:5-10", ("chr1_KI270706v1_random", 5, 10)),
        ("chr1_KI270706v1_random_5_10", ("chr1_KI270706v1_random", 5, 10)),
        ("HLA-DRB1-5-10", ("HLA-DRB1", 5, 10)),
        ("peak_17", ("", -1, -1)),
        ("chr1:100", ("", -1, -1)),
        ("chr1:-5-10", ("", -1, -1)),
        ("", ("", -1, -1)),
        ("chr1:,-,", ("", -1, -1)),
        ("chr1:99999999999999999999-5", ("", -1, -1)),
    ],
)
def test_parse(name, wanted):
    assert tuple(parse_regions([name]).iloc[0]) == wanted


def regions(names, **var):
    return AnnData(np.ones((2, len(names)), np.float32), var=pd.DataFrame(var, index=names))


def test_table_from_columns_of_any_name_and_type():
    atac = regions(["a", "b"], seqnames=pd.Categorical(["chr1", "2"]), Start=["5", "7"], End=[10.0, 20.0])
    table = region_table(atac)
    assert table.to_dict("list") == {"chrom": ["chr1", "2"], "start": [5, 7], "end": [10, 20]}
    assert list(table.index) == ["a", "b"]
    assert table["start"].dtype == table["end"].dtype == np.int64


def test_table_from_interval_and_from_names():
    assert region_table(regions(["a"], interval=["chr1:5-10"])).iloc[0].tolist() == ["chr1", 5, 10]
    assert region_table(regions(["chr1:5-10"])).index.tolist() == ["chr1:5-10"]
    atac = regions(["chr1:5-10"], chrom=["chr9"], start=[1], end=[2])  # columns win over the name
    assert region_table(atac).iloc[0].tolist() == ["chr9", 1, 2]


@pytest.mark.parametrize(
    "atac",
    [
        regions(["chr1:5-10", "peak_2"]),
        regions(["x", "peak_2"], chrom=["chr1", "chr1"], start=[1, np.nan], end=[2, 5]),
        regions(["x", "peak_2"], chrom=["chr1", "chr1"], start=[1, 7], end=[2, 7]),
        regions(["x", "peak_2"], chrom=["chr1", np.nan], start=[1, 7], end=[2, 9]),
    ],
)
def test_regions_without_coordinates(atac):
    before = atac.var.copy()
    with pytest.raises(ChromatellError, match="1 of 2 regions (have no coordinates|end where they start).*'peak_2'"):
        region_table(atac)
    pd.testing.assert_frame_equal(atac.var, before)


def test_chromosome_names_meet():
    names = pd.Series(["1", "chr1", "Chr1", "X", "chrx", "MT", "chrM", "M", "GL000205.2", "chrUn_KI270742v1", "22"])
    wanted = ["chr1"] * 3 + ["chrX"] * 2 + ["chrM"] * 3 + ["GL000205.2", "chrUn_KI270742v1", "chr22"]
    assert normalise_chrom(names).tolist() == wanted
    assert normalise_chrom(pd.Series(pd.Categorical(["1", "2"]))).tolist() == ["chr1", "chr2"]


def test_two_spellings_of_a_chromosome_are_one(caplog):
    logging.getLogger("chromatell").propagate = True
    with caplog.at_level("INFO", logger="chromatell"):
        assert same_names(["chr1", "chr2"], ["chr1", "chr3"], "a.gtf") == {}
        assert caplog.text == ""
        assert same_names(["1", "MT", "GL000205.2", "II"], ["chr1", "chrM", "chr2"], "a.gtf") == {
            "1": "chr1",
            "MT": "chrM",
        }
        assert "2 chromosomes have another name in a.gtf than in the regions (1, chr1)" in caplog.text
        assert same_names(["chr1", "1"], ["chr1"], "a.gtf") == {}  # the file has both: its own chr1 is meant
        assert same_names(["chrX"], ["X"], "a.gtf") == {"chrX": "X"}
    logging.getLogger("chromatell").propagate = False
