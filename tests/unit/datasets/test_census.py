"""Cells of a real, small Census on this disk, opened as the published one is."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiledbsoma as soma  # noqa: TID251 - held against czrun's own reading
from scipy import sparse

from czrun.datasets import census_cells, census_release, fetched_census
from czrun.datasets.census_query import CensusQuery
from czrun.datasets.census_release import named
from czrun.datasets.locate import Located, locate
from czrun.datasets.spec import DatasetSpec, read_spec
from czrun.errors import DatasetError
from czrun.progress import Phase, PhaseEvent
from made_cells import dense, read
from mini_census import made_organism, written_census


@dataclass
class Watching:
    """Keeps what it is told."""

    events: list[PhaseEvent] = field(default_factory=list)

    def on_event(self, event: PhaseEvent) -> None:
        self.events.append(event)


@pytest.fixture(scope="module")
def census(tmp_path_factory: pytest.TempPathFactory) -> Path:
    human, mouse = made_organism(), made_organism(60, seed=1, prefix="ENSMUSG")
    # The names people trip over: with quotes of both kinds.
    human.obs.loc[human.obs.index[:40], "disease"] = 'Crohn\'s "disease"'
    path = tmp_path_factory.mktemp("census") / "soma"
    return written_census(path, homo_sapiens=human, mus_musculus=mouse)


def asked(census: Path, **query: Any) -> DatasetSpec:
    return DatasetSpec(census=CensusQuery(**{"version": str(census), **query}))


def refusal(census: Path, **query: Any) -> str:
    with pytest.raises(DatasetError) as caught:
        locate(asked(census, **query))
    return f"{caught.value.message}\n{caught.value.hint}"


def cell_ids(located: Located) -> list[int]:
    return [int(name) for name in read(located.spec.file).obs_names]


def truth(census: Path, organism: str = "homo_sapiens") -> Any:
    with soma.open(str(census)) as opened:
        return opened["census_data"][organism].obs.read().concat().to_pandas()


class TestChoosing:
    def test_a_tissue_is_a_general_one_or_a_particular_one(self, census: Path) -> None:
        obs = truth(census)
        for tissue, column in (("blood", "tissue_general"), ("venous blood", "tissue")):
            expected = obs[(obs[column] == tissue) & obs.is_primary_data].soma_joinid.tolist()
            assert expected
            assert cell_ids(locate(asked(census, tissue=(tissue,)))) == expected

    def test_values_of_a_field_are_alternatives_and_fields_narrow_one_another(self, census: Path) -> None:
        obs = truth(census)
        met = (
            obs.tissue_general.isin(["blood", "lung"])
            & obs.cell_type.isin(["B cell", "monocyte"])
            & (obs.assay == "10x 3' v3")
            & (obs.sex == "female")
        )
        query = {
            "tissue": ("blood", "lung"),
            "cell_type": ("B cell", "monocyte"),
            "assay": ("10x 3' v3",),
            "obs_filter": "sex == 'female'",
            "is_primary_data": False,
        }
        assert cell_ids(locate(asked(census, **query))) == obs[met].soma_joinid.tolist()

    def test_quotes_in_a_name_are_only_quotes(self, census: Path) -> None:
        located = locate(asked(census, disease=('Crohn\'s "disease"',), is_primary_data=False))
        assert cell_ids(located) == list(range(40))

    def test_an_alternative_in_the_filter_does_not_widen_the_query(self, census: Path) -> None:
        query = {"tissue": ("blood",), "obs_filter": "sex == 'male' or\n  sex == 'female'"}
        assert cell_ids(locate(asked(census, **query))) == cell_ids(locate(asked(census, tissue=("blood",))))

    def test_strata_keep_their_shares(self, census: Path) -> None:
        everyone = read(locate(asked(census)).spec.file).obs["cell_type"].value_counts(normalize=True)
        drawn = read(locate(asked(census, max_cells=60)).spec.file).obs["cell_type"].value_counts()
        assert drawn.sum() == 60
        assert (drawn - 60 * everyone[drawn.index]).abs().max() < 1

    def test_the_seed_chooses_the_cells(self, census: Path) -> None:
        ids = [cell_ids(locate(asked(census, max_cells=60, seed=seed))) for seed in (0, 1)]
        assert ids[0] != ids[1]

    def test_few_cells_are_among_those_that_more_would_be(self, census: Path) -> None:
        few, more = (cell_ids(locate(asked(census, max_cells=n, stratify=("sex",)))) for n in (20, 100))
        assert set(few) < set(more)

    def test_another_organism_is_asked_for_in_either_spelling(self, census: Path) -> None:
        located = locate(asked(census, organism="Mus musculus", is_primary_data=False))
        assert located.spec.organism == "mus_musculus"
        cells = read(located.spec.file)
        assert cells.n_obs == 60
        assert cells.var_names[0].startswith("ENSMUSG")


class TestReading:
    def test_counts_are_those_that_tiledbsoma_reads(
        self, census: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(census_cells, "_FIRST_ROWS", 7)
        monkeypatch.setattr(census_cells, "_BLOCK_VALUES", 300)  # so that there are many blocks
        located = locate(asked(census, max_cells=90))
        cells = read(located.spec.file)
        ids = cells.obs_names.astype(int).to_numpy()
        with soma.open(str(census)) as opened:
            x = opened["census_data"]["homo_sapiens"].ms["RNA"].X["raw"]
            whole = x.read().coos((300, 40)).concat().to_scipy().todense()
        assert np.array_equal(dense(cells.X), np.asarray(whole)[ids])

    def test_columns_are_those_of_census_with_the_values_that_occur(self, census: Path) -> None:
        cells = read(locate(asked(census, cell_type=("monocyte",), is_primary_data=False)).spec.file)
        obs = truth(census)
        expected = obs[obs.cell_type == "monocyte"]
        assert set(cells.obs.columns) == set(obs.columns) - {"soma_joinid"}
        assert cells.obs["cell_type"].cat.categories.tolist() == ["monocyte"]
        for column in ("donor_id", "disease", "is_primary_data", "observation_joinid", "nnz"):
            assert cells.obs[column].tolist() == expected[column].tolist()
        assert cells.var_names[:2].tolist() == ["ENSG00000000000", "ENSG00000000001"]
        assert cells.var["gene_symbol"].tolist()[:2] == ["GENE0", "GENE1"]

    def test_x_is_read_of_the_chosen_cells_only(self, census: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        read_block, rows = census_cells._read_block, []

        def noting(x: Any, ids: Any, *rest: Any) -> Any:
            rows.extend(ids.tolist())
            return read_block(x, ids, *rest)

        monkeypatch.setattr(census_cells, "_read_block", noting)
        located = locate(asked(census, max_cells=30, seed=5))
        assert rows == cell_ids(located)

    def test_a_cell_without_any_count_stays(self, tmp_path: Path) -> None:
        made = made_organism(20)
        (counts,) = made.counts
        counts = sparse.csr_matrix(counts.multiply(~np.isin(np.arange(20), [0, 7, 19])[:, None]))
        census = written_census(tmp_path / "soma", homo_sapiens=type(made)(made.obs, [counts], made.n_vars))
        cells = read(locate(asked(census, is_primary_data=False)).spec.file)
        assert np.flatnonzero(dense(cells.X).sum(1) == 0).tolist() == [0, 7, 19]


class TestWhatBecomesOfIt:
    def test_it_is_a_data_set_with_its_own_papers(self, census: Path) -> None:
        located = locate(asked(census, tissue=("blood",), max_cells=50, stratify=("cell_type", "donor_id")))
        assert located.spec.census is None
        assert located.spec.name == "census_blood_homo_sapiens"
        assert located.spec.key_for("batch") == "dataset_id"
        n_matched = len(cell_ids(locate(asked(census, tissue=("blood",)))))
        drawn = (
            f"50 of {n_matched} cells of the Census at {census} that match, drawn by cell_type and donor_id"
        )
        assert located.notes[0] == f"{drawn} with seed 0"
        kept = json.loads((located.spec.file.parent / "provenance.json").read_text())
        assert (kept["n_matched"], kept["n_obs"], kept["build_date"]) == (n_matched, 50, "2026-01-02")
        assert sum(kept["datasets"].values()) == 50
        assert "tissue_general in ['blood']" in kept["value_filter"]

    def test_what_a_user_says_of_it_stands(self, census: Path) -> None:
        spec = asked(census, max_cells=50).model_copy(update={"name": "mine", "obs": {"batch": "assay"}})
        assert locate(spec).spec.name == "mine"
        assert locate(spec).spec.key_for("batch") == "assay"

    def test_a_yaml_names_a_census_beside_it(self, census: Path) -> None:
        yaml = census.parent / "blood.yaml"
        yaml.write_text("census: {version: ./soma, tissue: [blood], max_cells: 40}\n")
        assert len(cell_ids(locate(read_spec(yaml)))) == 40

    def test_fetching_is_told(self, census: Path) -> None:
        first, again = Watching(), Watching()
        for watching in (first, again):
            locate(asked(census, max_cells=40, seed=9), watching)
        assert {event.phase for event in first.events} == {Phase.FETCH}
        assert [event.fraction for event in first.events if event.fraction] == [1.0]
        assert [event.done for event in first.events].count(True) == 1
        assert not first.events[-1].cached
        assert [(event.done, event.cached) for event in again.events] == [(True, True)]


class TestRepeats:
    def test_a_repeat_in_other_words_reads_nothing(self, census: Path, tmp_path: Path) -> None:
        moved = shutil.copytree(census, tmp_path / "soma")
        one = locate(asked(moved, tissue=("blood", "lung"), max_cells=30, stratify=("sex", "cell_type")))
        for array in moved.rglob("*.tdb"):
            array.write_bytes(b"")
        query = {"organism": "Homo sapiens", "tissue": ("lung", "blood"), "stratify": ("cell_type", "sex")}
        again = locate(asked(moved, max_cells=30, **query))
        assert again.sha256 == one.sha256

    def test_a_repeat_imports_neither_census_nor_numpy(self, census: Path) -> None:
        spec = asked(census, max_cells=30)
        locate(spec)
        heavy = {"tiledbsoma", "cellxgene_census", "numpy", "pyarrow", "h5py"}
        code = (
            "import sys; from czrun.datasets.locate import locate;"
            "from czrun.datasets.spec import DatasetSpec;"
            "locate(DatasetSpec.model_validate_json(sys.argv[1]));"
            f"print(sorted(set({heavy}) & set(sys.modules)))"
        )
        command = [sys.executable, "-c", code, spec.model_dump_json()]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"

    def test_another_census_at_the_same_path_is_another(self, tmp_path: Path) -> None:
        ids = []
        for seed in (0, 1):
            shutil.rmtree(tmp_path / "soma", ignore_errors=True)
            written_census(tmp_path / "soma", homo_sapiens=made_organism(50, seed=seed))
            ids.append(locate(asked(tmp_path / "soma")).sha256)
        assert ids[0] != ids[1]

    def test_nothing_is_left_of_a_fetch_that_fails(
        self, census: Path, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: Any) -> None:
            raise RuntimeError("the tile is damaged\nand more")

        monkeypatch.setattr(census_cells, "_read_block", broken)
        assert "the tile is damaged" in refusal(census)
        assert [path for path in home.rglob("*") if path.is_file()] == []
        monkeypatch.undo()
        monkeypatch.setenv("CZRUN_HOME", str(home))
        assert cell_ids(locate(asked(census)))


class TestRefusals:
    def test_all_that_cannot_be_asked_is_said_at_once(self, census: Path) -> None:
        said = refusal(
            census, tissue=("Blood",), cell_type=("B-cell",), stratify=("celltype",), max_cells=5,
            obs_filter="sexx == 'male'",
        )  # fmt: skip
        assert "there is no tissue 'Blood'; the nearest: blood" in said
        assert "there is no cell_type 'B-cell'; the nearest: B cell" in said
        assert "no obs column 'celltype' to stratify by; the nearest: cell_type" in said
        assert "names 'sexx', which is no obs column; the nearest: sex" in said

    def test_a_value_like_no_other_lists_those_there_are(self, census: Path) -> None:
        assert "there are 10x 3' v3, 10x 5' v2" in refusal(census, assay=("qqqq",))

    def test_the_clause_that_leaves_nothing_is_named_with_what_was_left(self, census: Path) -> None:
        obs = truth(census)
        blood = int((obs.tissue_general == "blood").sum())
        lupus = int(((obs.tissue_general == "blood") & (obs.disease == "lupus")).sum())
        said = refusal(census, tissue=("blood",), disease=("COVID-19",), assay=("10x 3' v3",))
        assert "300 cells of homo_sapiens" in said
        assert f"{blood} of them with tissue blood" in said
        assert "0 of them with disease COVID-19" in said
        assert f"lupus ({lupus})" in said
        assert "assay" not in said

    def test_a_filter_that_leaves_nothing_is_named_too(self, census: Path) -> None:
        said = refusal(census, tissue=("blood",), obs_filter="nnz > 1000")
        assert "0 of them with the filter nnz > 1000" in said

    def test_an_organism_that_is_not_there_lists_those_that_are(self, census: Path) -> None:
        assert "homo_sapiens, mus_musculus" in refusal(census, organism="human")

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("sex = 'male'", "can't be parsed"),
            ("sex == 'male') or (sex == 'female'", "can't be parsed"),
            ("sex == 3", "another type"),
            ("is_primary_data", "boolean expressions"),
            ("__import__('os').system('true')", "Unrecognized expression"),
        ],
    )
    def test_a_filter_that_makes_no_sense_is_refused_in_plain_words(
        self, census: Path, text: str, reason: str
    ) -> None:
        said = refusal(census, obs_filter=text)
        assert reason in said
        assert ".py" not in said

    def test_no_census_there(self, tmp_path: Path) -> None:
        assert "is no folder" in refusal(tmp_path / "nowhere")
        assert "Reading the Census" in refusal(tmp_path)

    def test_credentials_in_a_uri_are_refused_and_not_repeated(self) -> None:
        said = refusal(Path("/"), version="s3://me:hunter2@bucket/soma")
        assert "AWS_PROFILE" in said
        assert "hunter2" not in said

    def test_without_the_packages_the_extra_is_named(
        self, census: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delitem(sys.modules, "czrun.datasets.census", raising=False)
        monkeypatch.setitem(sys.modules, "cellxgene_census", None)
        assert "pip install 'czrun[census]'" in refusal(census, seed=77, max_cells=10)


RELEASES = {
    "stable": "V2",
    "V2": "2025-01-30",
    "2025-01-30": {"release_build": "2025-01-30", "flags": {"lts": True}},
    "2022-10-15": {
        "release_build": "2022-10-15",
        "flags": {"retracted": True},
        "retraction": {"reason": "mistakes happen"},
    },
}


class TestReleases:
    def test_names_are_followed_to_a_date(self) -> None:
        assert named("stable", RELEASES).id == named("2025-01-30", RELEASES).id == "2025-01-30"
        assert named("stable", RELEASES).title == "Census 2025-01-30"

    def test_an_unknown_or_retracted_release_is_refused(self) -> None:
        with pytest.raises(DatasetError, match="no release of Census 'stabel'"):
            named("stabel", RELEASES)
        with pytest.raises(DatasetError, match="mistakes happen"):
            named("2022-10-15", RELEASES)

    def test_stable_and_its_date_are_the_same_cells(
        self, census: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.pretend_fetched(census, "2025-01-30")
        listed = tmp_path / "release.json"
        listed.write_text(json.dumps(RELEASES))
        monkeypatch.setattr(census_release, "RELEASES", listed.as_uri())
        by_name = locate(DatasetSpec(census=CensusQuery(max_cells=20)))
        by_date = locate(DatasetSpec(census=CensusQuery(max_cells=20, version="2025-01-30")))
        assert by_name == by_date
        assert "Census 2025-01-30" in by_name.notes[0]

    def test_offline_the_newest_that_was_fetched_serves_and_that_is_said(
        self, census: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for release in ("2024-07-01", "2025-01-30", "2023-12-15"):
            self.pretend_fetched(census, release)
        monkeypatch.setattr(census_release, "RELEASES", (tmp_path / "nothing.json").as_uri())
        located = locate(DatasetSpec(census=CensusQuery(max_cells=20)))
        assert "Census 2025-01-30" in located.notes[0]
        assert "what stable is now can't be told" in located.notes[-1]

    def test_offline_and_never_fetched_is_an_error(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(census_release, "RELEASES", (tmp_path / "nothing.json").as_uri())
        with pytest.raises(DatasetError, match="list of Census releases can't be read") as caught:
            locate(DatasetSpec(census=CensusQuery()))
        assert "--census-version PATH" in caught.value.hint

    @staticmethod
    def pretend_fetched(census: Path, release: str) -> None:
        """Keep cells of a local Census under a published release's name, as fetching that one would."""
        local = locate(asked(census, max_cells=20)).spec.file.parent
        query = CensusQuery(max_cells=20, version=release)
        folder = fetched_census.folder_of(query, census_release.Release(release))
        shutil.copytree(local, folder)
        kept = json.loads((folder / "provenance.json").read_text())
        kept |= {"release": release, "title": f"Census {release}", "query": query.model_dump(mode="json")}
        (folder / "provenance.json").write_text(json.dumps(kept))
