"""The bundled sample: 700 real cells that need no download and no anndata."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from czrun.cells import Genes, RowBlock, Texts
from czrun.contract.job import XKind
from czrun.errors import DatasetError


class SampleCells:
    """The bundled sample as a cell source. Importing anndata would take longer than reading it."""

    def __init__(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as arrays:
            self._arrays = {name: arrays[name] for name in arrays.files}
        self.x = XKind.LOG1P
        self.notes: tuple[str, ...] = ()
        self.n_obs = len(self._arrays["obs_names"])
        self.n_vars = len(self._arrays["genes"])
        self.columns = ("bulk_labels", "phase", "louvain")

    def column(self, key: str) -> Texts:
        """Return one obs column, shape (n_obs,)."""
        if key not in self.columns:
            raise DatasetError(
                f"The sample has no obs column {key!r}.", f"It has: {', '.join(self.columns)}."
            )
        texts: Texts = self._arrays[f"obs_{key}"].astype(object)
        return texts

    def obs_names(self) -> Texts:
        """Return the barcodes, shape (n_obs,)."""
        texts: Texts = self._arrays["obs_names"].astype(object)
        return texts

    def genes(self) -> Genes:
        """Return the gene symbols, shape (n_vars,)."""
        return Genes(self._arrays["genes"].astype(object), {})

    def row_nnz(self) -> npt.NDArray[np.int64]:
        """Return how many values each row stores, shape (n_obs,)."""
        indptr: npt.NDArray[np.int64] = self._arrays["indptr"].astype(np.int64)
        return np.diff(indptr)

    def blocks(self) -> Iterator[RowBlock]:
        """Yield all rows at once: they are few."""
        arrays = self._arrays
        yield RowBlock(
            0, arrays["data"], arrays["indices"].astype(np.int32), arrays["indptr"].astype(np.int64)
        )

    def close(self) -> None:
        """Do nothing: the arrays are in memory."""
