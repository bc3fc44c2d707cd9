"""Inputs on which cz-benchmarks' scores go wrong; NumPy only, as `parity_inputs`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from parity_inputs import N_DIMS, Cells, Perturbed, perturbed, synthetic

N_CELLS = 400
N_LEAKY_DONORS = 60
_CELLS_PER_DONOR = 20


def sound() -> Cells:
    """Return a few cells with nothing wrong about them: what the others are compared with."""
    return synthetic(N_CELLS)


def constant() -> Cells:
    """Put all cells in one place."""
    cells = sound()
    return replace(cells, embedding=np.ones_like(cells.embedding))


def all_nan() -> Cells:
    """Give no cell a place."""
    cells = sound()
    return replace(cells, embedding=np.full_like(cells.embedding, np.nan))


def one_nan_cell() -> Cells:
    """Give all cells but one a place."""
    cells = sound()
    embedding = cells.embedding.copy()
    embedding[7] = np.nan
    return replace(cells, embedding=embedding)


def equal_times() -> Cells:
    """Take all cells at one time."""
    cells = sound()
    return replace(cells, times=np.full_like(cells.times, 3.0))


def one_nan_time() -> Cells:
    """Forget when one cell was taken."""
    cells = sound()
    times = cells.times.copy()
    times[7] = np.nan
    return replace(cells, times=times)


def shuffled_rows() -> Cells:
    """Keep the cells' annotations in order, and their places in another one."""
    cells = sound()
    return replace(cells, embedding=cells.embedding[::-1].copy())


def leaky_donors() -> Cells:
    """Place cells by their donor alone, and make half of the donors, chosen by lot, ill.

    Nothing that holds of one donor's cells says anything of another donor's illness.
    """
    rng = np.random.RandomState(5)
    donor = np.repeat(np.arange(N_LEAKY_DONORS), _CELLS_PER_DONOR)
    ill = rng.permutation(N_LEAKY_DONORS) % 2
    places = rng.normal(size=(N_LEAKY_DONORS, N_DIMS))[donor] + 0.5 * rng.normal(size=(len(donor), N_DIMS))
    diseases = np.array(["healthy", "ill"])[ill[donor]]
    return Cells(
        embedding=places.round(3).astype(np.float32),
        labels=diseases,
        batches=np.array(["batch_00", "batch_01"])[donor % 2],
        donors=np.array([f"donor_{code:02d}" for code in donor]),
        organisms=np.array(["human", "mouse"])[donor % 2],
        diseases=diseases,
        times=np.zeros(len(donor)),
    )


def absent_class() -> Cells:
    """Take the mice's cells of one type away."""
    cells = synthetic(1000)
    keep = (cells.organisms == "human") | (cells.labels != "type_00")
    arrays = {name: getattr(cells, name)[keep] for name in cells.__dataclass_fields__}
    return Cells(**arrays)


def nested_batches() -> Cells:
    """Let batches mix in pairs, and lay the pairs far apart: each batch has one near batch, and one alone."""
    cells = sound()
    rng = np.random.RandomState(6)
    batch = np.arange(N_CELLS) % 4
    embedding = rng.normal(size=cells.embedding.shape)
    # Off the origin, so that the pairs part in direction as well: BRAS takes cosines.
    embedding[:, 0] += np.where(batch < 2, 20.0, -20.0)
    return replace(
        cells,
        embedding=embedding.round(3).astype(np.float32),
        labels=np.full(N_CELLS, "type_00"),
        batches=np.array([f"batch_{code:02d}" for code in batch]),
    )


def one_nan_prediction() -> Perturbed:
    """Predict no number for one gene of one treated cell of condition 1."""
    inputs = perturbed()
    predicted = inputs.predicted.copy()
    gene = inputs.target_genes[inputs.target_conditions == "condition_1"][0]
    cell = np.flatnonzero(inputs.cell_conditions == "condition_1")[0]
    predicted[cell, np.flatnonzero(inputs.genes == gene)[0]] = np.nan
    return replace(inputs, predicted=predicted)


def unchanging_prediction() -> Perturbed:
    """Predict the same for all cells and genes: there are no fold changes to correlate."""
    inputs = perturbed()
    return replace(inputs, predicted=np.ones_like(inputs.predicted))
