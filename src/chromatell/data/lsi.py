"""Latent semantic indexing (LSI) of cells x bins: TF-IDF, then singular vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

_SCALE = 1e4  # shares of a cell's bins are multiplied by it before the logarithm
_NOISE = 1e-5  # a singular value below this share of the first is rounding


def tf_idf(binarized: sp.csr_matrix, idf: np.ndarray) -> sp.csr_matrix:
    """Return log(1 + 10^4 x the bin's share of its cell x `idf`), float32 CSR (cells, bins).

    Parameters
    ----------
    binarized
        CSR (cells, bins): 1 where open, or counts, whose shares are then shares of the cell's counts.
    idf
        float32 (bins,): weight of each bin.
    """
    from sklearn.utils.sparsefuncs import inplace_column_scale, inplace_row_scale

    x = sp.csr_matrix(binarized, dtype=np.float32, copy=True)
    inplace_row_scale(x, np.float32(_SCALE) / np.maximum(np.asarray(x.sum(axis=1)).ravel(), 1))
    inplace_column_scale(x, idf)
    np.log1p(x.data, out=x.data)
    return x


@dataclass(frozen=True)
class Lsi:
    """LSI, fitted on some cells and applied to any.

    The weight of a bin is log(1 + cells / (1 + cells in which it is open)), counted in the cells of the fit; values
    above zero are open. A bin open in none of these has weight 0: nothing was learned of it.

    Attributes
    ----------
    idf
        float32 (bins,): weight of each bin.
    components
        float32 (bins, k): right singular vectors; of bins open in no cell of the fit, zeros.
    singular_values
        float32 (k,).

    Notes
    -----
    Peak memory: a copy of the sparse matrix as float32, and a few times (cells + bins) x k.

    References
    ----------
    Cusanovich et al., Science 2015, and Cell 2018 (LSI of chromatin accessibility, and this weight of a bin); Stuart et
    al., Nature Methods 2021 (the logarithm of the product, as in Signac).
    """

    idf: np.ndarray
    components: np.ndarray
    singular_values: np.ndarray

    @classmethod
    def fit(cls, binarized: sp.csr_matrix, n_components: int, *, seed: int, drop_first: bool = True) -> Lsi:
        """Fit on cells x bins, CSR, 1 where open, or counts.

        Parameters
        ----------
        n_components
            Components that are kept; fewer where there are fewer cells or bins, but never less than one.
        drop_first
            Leave out the first component, which follows depth, where there are others.
        """
        from sklearn.utils.extmath import randomized_svd

        n_cells, n_bins = binarized.shape
        found_in = np.asarray((binarized > 0).sum(axis=0)).ravel()
        idf = np.where(found_in > 0, np.log1p(n_cells / (1 + found_in)), 0).astype(np.float32)
        rank = min(n_components + int(drop_first), n_cells, n_bins)
        if rank == 0:  # no cell or no bin
            return cls(idf, np.zeros((n_bins, 1), dtype=np.float32), np.zeros(1, dtype=np.float32))
        _, s, vt = randomized_svd(tf_idf(binarized, idf), rank, n_iter=5, random_state=seed)
        components = (vt.T * (s > _NOISE * s[0])).astype(np.float32)
        components[found_in == 0] = 0
        kept = slice(1 if drop_first and rank > 1 else 0, None)
        return cls(idf, components[:, kept], s[kept].astype(np.float32))

    def transform(self, binarized: sp.csr_matrix, *, unit_length: bool = True) -> np.ndarray:
        """Return the components of cells, float32 (cells, k), each cell of length 1; zeros for one with no open bin.

        Parameters
        ----------
        binarized
            CSR (cells, bins), the bins of the fit in their order; what the fit was given, 1 where open or counts.
        unit_length
            Divide each cell by its length, so that distances follow cosines; False leaves the components as they are.
        """
        z = np.asarray(tf_idf(binarized, self.idf) @ self.components, dtype=np.float32)
        if not unit_length:
            return z
        length = np.linalg.norm(z, axis=1, keepdims=True)
        return z / np.where(length > 0, length, 1)

    def bin_vectors(self) -> np.ndarray:
        """Return a vector of each bin, float32 (bins, k): right singular vectors by the square root of their values."""
        return self.components * np.sqrt(self.singular_values)
