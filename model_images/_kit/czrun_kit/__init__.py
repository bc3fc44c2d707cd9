"""Write a czrun model in Python: read the job and its cells, write what it asks for.

A model gives two functions and hands them to `main`::

    def fit(job: Job, cells: Cells) -> dict[str, np.ndarray]: ...
    def predict(job: Job, cells: Cells, model: dict[str, np.ndarray]) -> Prediction: ...

    if __name__ == "__main__":
        main(fit=fit, predict=predict)

`cells` are `Images` where the data are images. The answer is a `Prediction`, an `Embedding`, `Scores` or an
`Expression`, as the task has it; `main` writes those of its files that the job lists.

The kit is a convenience. An image may ignore it: the contract is the files, not this code. It needs numpy
and h5py; SciPy is imported when a model first asks for `Cells.X`.
"""

from czrun_kit.answers import (
    Answer,
    Embedding,
    Expression,
    Prediction,
    Scores,
    write_answer,
    write_prediction,
)
from czrun_kit.cells import Cells, Condition, Images, read_cells, read_view
from czrun_kit.entry import main, run
from czrun_kit.expression import (
    align_genes,
    apply_pca,
    fit_pca,
    gene_variances,
    group_means,
    log_normalize,
    principal_axes,
    top_genes,
    varying_genes,
)
from czrun_kit.failures import BadInput, KitError, ResourceMissing, Unsupported
from czrun_kit.files import (
    MAX_PROGRESS_BYTES,
    load_arrays,
    replacing,
    save_arrays,
    write_progress,
    write_result,
)
from czrun_kit.job import CONTRACT, JOB_PATH, UNASSIGNED, Dataset, Input, Job, Output, read_job
from czrun_kit.perturbation import Effects, contexts_of, control_rows, expression_of, shifted_controls

__all__ = [
    "CONTRACT",
    "JOB_PATH",
    "MAX_PROGRESS_BYTES",
    "UNASSIGNED",
    "Answer",
    "BadInput",
    "Cells",
    "Condition",
    "Dataset",
    "Effects",
    "Embedding",
    "Expression",
    "Images",
    "Input",
    "Job",
    "KitError",
    "Output",
    "Prediction",
    "ResourceMissing",
    "Scores",
    "Unsupported",
    "align_genes",
    "apply_pca",
    "contexts_of",
    "control_rows",
    "expression_of",
    "fit_pca",
    "gene_variances",
    "group_means",
    "load_arrays",
    "log_normalize",
    "main",
    "principal_axes",
    "read_cells",
    "read_job",
    "read_view",
    "replacing",
    "run",
    "save_arrays",
    "shifted_controls",
    "top_genes",
    "varying_genes",
    "write_answer",
    "write_prediction",
    "write_progress",
    "write_result",
]
