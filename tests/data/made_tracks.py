"""Sizes of the tracks that tests of this folder make, and what makes two of them the same."""

from __future__ import annotations

import numpy as np
import pandas as pd

SIZES = {"chr1": 1000, "chr2": 430}  # 20 and 9 bins of 50 bp
BINS = {"chr1": 20, "chr2": 9}


def same(one, other):
    assert one.names == other.names
    assert one.chrom_sizes == other.chrom_sizes
    pd.testing.assert_frame_equal(one.table, other.table, check_index_type=False)
    assert one.layers == other.layers
    for chrom in one.chroms:
        np.testing.assert_array_equal(one.values(chrom), other.values(chrom))
        for layer in one.layers:
            np.testing.assert_array_equal(one.values(chrom, layer=layer), other.values(chrom, layer=layer))
    for kind in ("masks", "splits"):
        mine, theirs = getattr(one, kind), getattr(other, kind)
        assert mine.keys() == theirs.keys()
        for chrom, array in mine.items():
            np.testing.assert_array_equal(array, theirs[chrom])
            assert array.dtype == theirs[chrom].dtype
