"""Two data sets as one: shared genes, shared classes, no cell on both sides, and every change said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anndata import AnnData  # noqa: TID251 - the tests hold czrun against it

from czrun.contract.job import XKind
from czrun.datasets.catalogue import open_cells, open_obs
from czrun.datasets.joined import JoinedCells, open_joined
from czrun.datasets.spec import DatasetSpec, Join
from czrun.errors import DatasetError, UsageError
from czrun.options import DataOptions, settle
from czrun.split_plan import SplitChoice, SplitKind
from made_cells import dense, made_cells, matrix, prepared, read, written

GENES = [f"G{n}" for n in range(40)]


def cells(n_obs: int = 20, genes: list[str] = GENES, *, seed: int = 0, **obs: Any) -> AnnData:
    made = made_cells(n_obs, len(genes), seed=seed, **obs)
    made.X = made.X + made.X  # counts that half of the cells share would look like the same cells
    made.var_names = genes
    return made


class Pair:
    """Writes two data sets and describes them as one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, train: AnnData, test: AnnData, /, **more: Any) -> DatasetSpec:
        sides = {
            side: DatasetSpec(
                name=name, path=written(made, self.folder / f"{name}.h5ad"), **more.pop(side, {})
            )
            for side, name, made in (("train", "blood", train), ("test", "lung", test))
        }
        tables = {
            name: self._table(name, more.pop(name)) for name in ("orthologs", "label_map") if name in more
        }
        return DatasetSpec(name="both", join=Join(**sides, **tables), **more)

    def _table(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


@pytest.fixture
def joined() -> Any:
    """Open joined cells, and close them in the end."""
    opened: list[JoinedCells] = []

    def open_(spec: DatasetSpec) -> JoinedCells:
        opened.append(open_joined(spec))
        return opened[-1]

    yield open_
    for each in opened:
        each.close()


Joined = Callable[[DatasetSpec], JoinedCells]


def refused(spec: DatasetSpec) -> DatasetError:
    with pytest.raises(DatasetError) as found:
        open_joined(spec)
    assert found.value.hint
    return found.value


class TestGenes:
    def test_both_have_the_genes_that_they_share_in_the_order_of_train(
        self, pair: Pair, joined: Joined
    ) -> None:
        train, test = cells(genes=["A", "B", "C", "D"]), cells(genes=["D", "X", "B", "Y"], seed=1)
        source = joined(pair(train, test))
        assert source.genes().ids.tolist() == ["B", "D"]
        wanted = np.concatenate([dense(train.X)[:, [1, 3]], dense(test.X)[:, [2, 0]]])
        assert np.array_equal(matrix(source), wanted)
        assert source.row_nnz().tolist() == (wanted > 0).sum(axis=1).tolist()
        assert (
            "2 genes are shared, by symbols, of 4 of blood and 4 of lung: few to tell cells by"
            in source.notes
        )

    def test_ensembl_ids_go_before_symbols_where_both_have_them(self, pair: Pair, joined: Joined) -> None:
        train, test = cells(genes=["ENSG00000000001", "ENSG00000000002"]), cells(genes=["old", "B"], seed=1)
        test.var["ensembl_id"] = ["ENSG00000000001.7", "ENSG00000000002"]
        train.var["gene_symbol"] = ["new", "B"]
        source = joined(pair(train, test))
        assert source.genes().ids.tolist() == ["ENSG00000000001", "ENSG00000000002"]
        assert any("by Ensembl ids" in note for note in source.notes)

    def test_case_matters_only_where_it_parts_nothing(self, pair: Pair, joined: Joined) -> None:
        source = joined(pair(cells(genes=["Cd3e", "Ms4a1"]), cells(genes=["MS4A1", "CD3E"], seed=1)))
        assert source.genes().ids.tolist() == ["Cd3e", "Ms4a1"]
        assert any("by symbols, whatever their case" in note for note in source.notes)

    def test_counts_of_one_symbol_are_summed(self, pair: Pair, joined: Joined) -> None:
        train = cells(genes=["ENSG00000000001", "ENSG00000000002", "ENSG00000000003"])
        train.var["gene_symbol"] = ["A", "B", "A"]
        source = joined(pair(train, cells(genes=["A", "B"], seed=1)))
        X = dense(train.X)
        assert np.array_equal(matrix(source)[:20], np.stack([X[:, 0] + X[:, 2], X[:, 1]], axis=1))
        assert "blood: 1 genes were summed with others of the same name" in source.notes

    def test_no_shared_gene_shows_some_of_both(self, pair: Pair) -> None:
        error = refused(pair(cells(genes=["A", "B"]), cells(genes=["X", "Y"], seed=1)))
        assert "share no gene: 'A', 'B' … against 'X', 'Y' …" in error.message

    def test_no_shared_gene_of_two_organisms_points_to_orthologs(self, pair: Pair) -> None:
        human, mouse = cells(genes=["ENSG00000000001"]), cells(genes=["ENSMUSG00000000001"], seed=1)
        assert "--orthologs FILE" in refused(pair(human, mouse)).hint


class TestOrthologs:
    TABLE = (
        "human_ensembl_id,human_symbol,mouse_symbol,homology_type\n"
        "ENSG00000000001,AAA,Aaa,ortholog_one2one\nENSG00000000002,BBB,Bbb,ortholog_one2one\n"
        "ENSG00000000003,CCC,Ccc1,ortholog_one2many\nENSG00000000003,CCC,Ccc2,ortholog_one2many\n"
    )
    HUMAN = ("ENSG00000000003", "ENSG00000000002", "ENSG00000000001")
    MOUSE = ("Aaa", "Ccc1", "Bbb")

    @pytest.mark.parametrize("is_upper", [False, True])
    def test_genes_are_those_that_the_table_pairs_one_to_one(
        self, pair: Pair, joined: Joined, is_upper: bool
    ) -> None:
        mouse = [gene.upper() if is_upper else gene for gene in self.MOUSE]
        train, test = cells(genes=list(self.HUMAN)), cells(genes=mouse, seed=1)
        spec = pair(train, test, orthologs=self.TABLE, test={"organism": "Mus musculus"})
        source = joined(spec)
        assert source.genes().ids.tolist() == ["ENSG00000000002", "ENSG00000000001"]
        assert np.array_equal(matrix(source)[20:], dense(test.X)[:, [2, 0]])
        assert "2 rows of orthologs that aren't one to one were left out" in source.notes

    def test_either_direction(self, pair: Pair, joined: Joined) -> None:
        train, test = cells(genes=list(self.MOUSE)), cells(genes=list(self.HUMAN), seed=1)
        source = joined(pair(train, test, orthologs=self.TABLE))
        assert source.genes().ids.tolist() == ["Aaa", "Bbb"]

    def test_a_plain_pair_of_columns_is_oriented_by_the_genes(self, pair: Pair, joined: Joined) -> None:
        table = "source,target\nq1,A\nq2,B\n"
        source = joined(pair(cells(genes=["A", "B"]), cells(genes=["q2", "q1"], seed=1), orthologs=table))
        assert source.genes().ids.tolist() == ["A", "B"]

    def test_one_organism_has_nothing_to_map(self, pair: Pair) -> None:
        train, test = cells(genes=list(self.HUMAN)), cells(genes=list(self.HUMAN), seed=1)
        assert "both of homo_sapiens" in refused(pair(train, test, orthologs=self.TABLE)).message

    def test_a_table_of_other_organisms(self, pair: Pair) -> None:
        train, test = cells(genes=list(self.HUMAN)), cells(genes=list(self.MOUSE), seed=1)
        spec = pair(train, test, orthologs=self.TABLE, test={"organism": "Danio rerio"})
        assert "maps homo_sapiens to mus_musculus; blood is of homo_sapiens, lung of danio_rerio" in (
            refused(spec).message
        )

    def test_a_table_with_none_of_the_genes(self, pair: Pair) -> None:
        spec = pair(cells(genes=["P", "Q"]), cells(genes=["R"], seed=1), orthologs="source,target\nA,B\n")
        error = refused(spec)
        assert "None of the 2 genes of blood ('P', 'Q' …)" in error.message


class TestClasses:
    def test_cells_of_classes_that_one_lacks_are_left_out_and_counted(
        self, pair: Pair, joined: Joined
    ) -> None:
        train = cells(cell_type=["T cell", "B cell", "CD34+", "T cell"] * 5)
        test = cells(seed=1, cell_type=["T cells", "B cell", "neutrophil", "B cell"] * 5)
        source = joined(pair(train, test))
        assert source.n_obs == 30
        assert source.column("cell_type").tolist() == (
            ["T cell", "B cell", "T cell"] * 5 + ["T cell", "B cell", "B cell"] * 5
        )
        keep = [0, 1, 3]
        rows = [4 * at + number for at in range(5) for number in keep]
        assert np.array_equal(matrix(source), np.concatenate([dense(train.X)[rows], dense(test.X)[rows]]))
        assert "lung: 'T cells' was taken for blood's 'T cell', by its spelling" in source.notes
        assert "blood: 5 cells of 'CD34+' were left out: lung has no such class" in source.notes
        assert "lung: 5 cells of 'neutrophil' were left out: blood has no such class" in source.notes

    def test_ontology_ids_match_what_names_dont(self, pair: Pair, joined: Joined) -> None:
        terms = ["CL:0000084", "CL:0000236"] * 10
        train = cells(cell_type=["T cell", "B cell"] * 10, cell_type_ontology_term_id=terms)
        test = cells(seed=1, cell_type=["thymocyte-derived", "b"] * 10, cell_type_ontology_term_id=terms)
        source = joined(pair(train, test))
        assert source.column("cell_type").tolist() == ["T cell", "B cell"] * 20

    def test_a_map_gives_labels_their_common_names(self, pair: Pair, joined: Joined) -> None:
        train = cells(cell_type=["T", "B", "mono", "T"] * 5)
        test = cells(seed=1, cell_type=["CD4", "CD8", "B", "junk"] * 5)
        names = "lung:\n  CD4: T\n  CD8: T\n  junk: null\n'*':\n  mono: Monocyte\n"
        source = joined(pair(train, test, label_map=names))
        assert source.column("cell_type")[15:].tolist() == ["T", "T", "B"] * 5
        assert "lung: 5 cells of 'CD4' are 'T', by the label map" in source.notes
        assert "lung: 5 cells of 'junk' were left out, by the label map" in source.notes
        assert "blood: 5 cells of 'Monocyte' were left out: lung has no such class" in source.notes

    def test_everything_wrong_with_a_map_is_told_at_once(self, pair: Pair) -> None:
        names = "lungs:\n  A: B\ntest:\n  T cel: T\n  B cell: [1]\n"
        message = refused(pair(cells(), cells(seed=1), label_map=names)).message
        assert "'lungs' is neither of the data sets (did you mean 'lung'?)" in message
        assert "no cell has the label 'T cel' (did you mean 'T cell'?)" in message
        assert "'B cell' is mapped to [1], which is no label" in message

    def test_no_shared_class(self, pair: Pair) -> None:
        error = refused(pair(cells(cell_type=["a", "b"] * 10), cells(seed=1, cell_type=["x", "y"] * 10)))
        assert "no class in common" in error.message
        assert "--label-map" in error.hint

    def test_cells_without_a_label_stay_for_the_task_to_judge(self, pair: Pair, joined: Joined) -> None:
        train = cells(cell_type=np.array(["T", "B", None, "T"] * 5, dtype=object))
        source = joined(pair(train, cells(seed=1, cell_type=["T", "B"] * 10)))
        assert source.column("cell_type").tolist()[:4] == ["T", "B", None, "T"]


class TestColumns:
    def test_each_side_keeps_its_own_names_for_columns(self, pair: Pair, joined: Joined) -> None:
        train = cells(label=["T", "B"] * 10, cell_type=["?"] * 20)
        test = cells(seed=1, kind=["B", "T"] * 10)
        spec = pair(train, test, train={"obs": {"label": "label"}}, test={"obs": {"label": "kind"}})
        assert joined(spec).column("cell_type").tolist() == ["T", "B"] * 10 + ["B", "T"] * 10

    def test_donor_1_of_one_is_not_donor_1_of_the_other(self, pair: Pair, joined: Joined) -> None:
        source = joined(pair(cells(donor_id=["1"] * 20), cells(seed=1, donor_id=["1"] * 20)))
        assert set(source.column("donor_id").tolist()) == {"blood:1", "lung:1"}

    def test_cells_are_named_after_their_data_set_and_side(self, pair: Pair, joined: Joined) -> None:
        source = joined(pair(cells(), cells(seed=1)))
        assert len(set(source.obs_names().tolist())) == 40
        assert source.obs_names()[20] == "lung:cell_000"
        assert source.column("split").tolist() == ["train"] * 20 + ["test"] * 20
        assert source.column("dataset")[0] == "blood"

    def test_an_organism_is_said_for_a_side_or_by_a_column(self, pair: Pair, joined: Joined) -> None:
        test = cells(seed=1, organism=["Mus musculus"] * 20)
        source = joined(pair(cells(), test, train={"organism": "human"}))
        assert set(source.column("organism").tolist()) == {"homo_sapiens", "mus_musculus"}
        assert any("were matched by name alone" in note for note in source.notes)

    def test_what_one_side_doesnt_know_is_no_column(self, pair: Pair, joined: Joined) -> None:
        source = joined(pair(cells(tissue=["blood"] * 20), cells(seed=1)))
        assert "tissue" not in source.columns
        assert "only blood says tissue: no use is made of it" in source.notes

    def test_anomalies_are_those_of_each_side(self, pair: Pair, joined: Joined) -> None:
        said = {"train": {"obs": {"anomaly": "doublet"}, "anomalous": ("yes",)}}
        said["test"] = {"obs": {"anomaly": "state"}, "anomalous": ("odd",)}
        spec = pair(cells(doublet=["yes", "no"] * 10), cells(seed=1, state=["fine", "odd"] * 10), **said)
        assert joined(spec).column("anomaly").tolist() == ["True", "False"] * 10 + ["False", "True"] * 10


class TestSameCells:
    def test_a_cell_on_both_sides_is_found_under_any_name(self, pair: Pair) -> None:
        train = cells(genes=[f"G{n}" for n in range(60)])
        test = train[:5].copy()
        test.obs_names = [f"other_{n}" for n in range(5)]
        error = refused(pair(train, test))
        assert "5 cells of lung are in blood too" in error.message
        assert "of 'cell_00" in error.message
        assert "'other_" in error.message

    def test_a_file_against_itself(self, pair: Pair) -> None:
        made = cells(genes=[f"G{n}" for n in range(60)])
        assert "20 cells of lung are in blood too" in refused(pair(made, made)).message

    def test_parts_of_one_file_that_share_no_cell(self, pair: Pair, joined: Joined) -> None:
        made = cells(40, [f"G{n}" for n in range(60)], tissue=["blood"] * 20 + ["lung"] * 20)
        where = {"train": {"where": {"tissue": ("blood",)}}, "test": {"where": {"tissue": ("lung",)}}}
        source = joined(pair(made, made, **where))
        assert source.column("split").tolist() == ["train"] * 20 + ["test"] * 20
        assert np.array_equal(matrix(source), dense(made.X))

    def test_cells_that_show_little_may_look_alike(self, pair: Pair, joined: Joined) -> None:
        made = cells(genes=["A", "B", "C"])
        assert joined(pair(made, made)).n_obs == 40

    @pytest.mark.parametrize(
        ("train", "test", "n_shared"),
        [
            ("kang2018_pbmc_ctrl_8donors", "kang2018_pbmc_ifnb_labelled", "750"),
            ("kang2018_pbmc_ctrl_8donors", "kang2018_pbmc_ifnb_2000cells", "954"),
        ],
    )
    def test_files_of_one_study(
        self, real_data: Callable[[str], Path], train: str, test: str, n_shared: str
    ) -> None:
        sides = {
            side: DatasetSpec(name=name, path=real_data(name))
            for side, name in (("train", train), ("test", test))
        }
        assert (
            f"{n_shared} cells of {test} are in {train} too"
            in refused(DatasetSpec(join=Join(**sides))).message
        )


class TestX:
    def test_counts_and_logarithms_dont_mix(self, pair: Pair) -> None:
        error = refused(pair(cells(), cells(seed=1), test={"x": XKind.LOG1P}))
        assert "blood holds counts, lung holds log1p" in error.message
        assert "layer:" in error.hint


class TestTheRoad:
    def test_one_is_fitted_and_the_other_tested_unasked(self, pair: Pair) -> None:
        train, test = cells(20), cells(30, genes=["X", *GENES], seed=1)
        request = settle(DataOptions(dataset=pair(train, test)))
        assert request.plan.kind is SplitKind.PREDEFINED
        folder, manifest = prepared(request)
        assert (manifest.n_fit, manifest.n_predict) == (20, 30)
        assert manifest.label_key == "cell_type"
        assert dense(read(folder / "fit" / "train.h5ad").X).sum() == dense(train.X).sum()
        assert dense(read(folder / "predict" / "v0.h5ad").X).sum() == dense(test.X)[:, 1:].sum()
        assert any("genes are shared" in note for note in manifest.notes)

    def test_another_split_makes_no_sense(self, pair: Pair) -> None:
        options = DataOptions(dataset=pair(cells(), cells(seed=1)), split=SplitChoice(kind=SplitKind.KFOLD))
        with pytest.raises(UsageError, match="can't divide two joined data sets"):
            settle(options)

    def test_what_a_side_must_say_is_not_said_of_both(self, pair: Pair) -> None:
        with pytest.raises(DatasetError, match="layer can't be said of two joined data sets"):
            settle(DataOptions(dataset=pair(cells(), cells(seed=1), layer="raw")))

    def test_names_and_maps_make_other_prepared_data(self, pair: Pair) -> None:
        spec = pair(cells(), cells(seed=1))
        assert spec.join is not None
        renamed = spec.model_copy(
            update={
                "join": spec.join.model_copy(
                    update={"test": spec.join.test.model_copy(update={"name": "tumour"})}
                )
            }
        )
        one, other = (settle(DataOptions(dataset=each)) for each in (spec, renamed))
        assert one.key(0) != other.key(0)

    def test_images_are_not_joined(self, pair: Pair) -> None:
        with pytest.raises(DatasetError, match="only cells by genes are joined"):
            open_obs(pair(cells(), cells(seed=1)), "image")

    def test_a_description_opens_like_any_other(self, pair: Pair) -> None:
        source = open_cells(pair(cells(), cells(seed=1)))
        assert isinstance(source, JoinedCells)
        source.close()
