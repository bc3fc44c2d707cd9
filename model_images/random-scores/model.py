"""A random number for every cell."""

import zlib

import numpy as np

from czrun_kit import Cells, Job, Scores, main

TASKS = ("anomaly-detection",)


def predict(job: Job, cells: Cells, _model: None) -> Scores:
    """Draw a score for each cell, for each view anew; nothing but their number matters."""
    rng = np.random.default_rng([job.seed, zlib.crc32(cells.view.encode())])
    return Scores(rng.random(len(cells), dtype=np.float32))


if __name__ == "__main__":
    main(predict=predict, tasks=TASKS)
