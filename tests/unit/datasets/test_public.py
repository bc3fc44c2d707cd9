"""The public data sets: what the file may hold, how they are found, and that finding fetches nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from command_line import Czrun
from czrun.datasets import public
from czrun.datasets.catalogue import BUILT_IN, find_dataset, named_datasets
from czrun.datasets.public import CatalogueEntry, public_datasets
from czrun.datasets.remote import file_name
from czrun.errors import UsageError

ENTRIES = public_datasets()


@pytest.fixture(params=sorted(ENTRIES))
def entry(request: pytest.FixtureRequest) -> CatalogueEntry:
    return ENTRIES[request.param]


class TestTheFile:
    def test_each_says_where_its_address_was_read(self, entry: CatalogueEntry) -> None:
        # A commit, not a branch: what was read there stays readable.
        assert re.match(r"https://github\.com/[^/]+/[^/]+/blob/[0-9a-f]{40}/", entry.found)
        assert entry.title
        assert entry.collection

    def test_each_has_cells_from_a_file_that_can_be_read_or_from_census(self, entry: CatalogueEntry) -> None:
        if entry.spec.url is None:
            assert entry.spec.census is not None
            return
        assert urlsplit(entry.spec.url).scheme in ("https", "s3")
        assert file_name(entry.spec.url)

    def test_none_claims_to_be_verified(self, entry: CatalogueEntry) -> None:
        assert not entry.verified

    def test_addresses_are_told_apart(self) -> None:
        urls = [entry.spec.url for entry in ENTRIES.values() if entry.spec.url]
        assert len(urls) == len(set(urls))

    def test_names_that_come_with_czrun_stay_theirs(self) -> None:
        assert not {*ENTRIES} & {*BUILT_IN}
        assert all(":" in name for name in ENTRIES)

    @pytest.mark.parametrize(
        "wrong",
        ["extra: 1", "verified: perhaps", "n_obs: 0", "data: {url: x, obs: {cell_type: y}}", "data: {}"],
    )
    def test_what_doesn_t_belong_is_refused(
        self, wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        key = wrong.partition(":")[0]
        lines = [
            line for line in ("title: t", "data: {url: https://host/a.h5ad}") if not line.startswith(key)
        ]
        head = "schema_version: 1\ncollections:\n- {prefix: p, title: t, found: f, datasets: {a: {"
        (tmp_path / "catalogue.yaml").write_text(head + ", ".join([*lines, wrong]) + "}}}\n")
        monkeypatch.setattr(public, "_FILE", tmp_path / "catalogue.yaml")
        with pytest.raises(ValueError, match="validation error"):
            public_datasets.__wrapped__()


class TestFinding:
    def test_cz_benchmarks_own_sets_have_their_own_names(self) -> None:
        spec = find_dataset("cz-benchmarks:tsv2_blood")
        assert spec.url is not None
        assert spec.url.startswith("s3://cz-benchmarks-data/datasets/v1/cell_atlases/Homo_sapiens/")
        assert spec.url.endswith("_Blood_v2_curated.h5ad")
        assert spec.name == "cz-benchmarks:tsv2_blood"
        assert spec.key_for("label") == "cell_type"

    def test_the_built_in_ones_come_first(self) -> None:
        assert next(iter(named_datasets())) in BUILT_IN

    @pytest.mark.parametrize("name", ["tsv2_blood", "cz-benchmarks:tsv2_bloods", "TSV2_blood"])
    def test_a_name_that_is_nearly_right(self, name: str) -> None:
        with pytest.raises(UsageError) as refused:
            find_dataset(name)
        assert "'cz-benchmarks:tsv2_blood'" in refused.value.hint
        assert "czrun datasets list" in refused.value.hint
        assert len(refused.value.hint) < 250

    def test_a_hash_that_its_publisher_gives(self) -> None:
        assert find_dataset("scvi:retina").sha256 == (
            "5363642ff02647d6868494b962ec962a5d2e3d90703415e245e7c1727c66cf21"
        )

    def test_showing_one_fetches_nothing_and_says_so(self, czrun: Czrun) -> None:
        done = czrun("datasets", "show", "scvi:retina")
        assert done.returncode == 0
        for said in ("scvi:retina: not fetched yet", "https://exampledata.scverse.org", "not verified here"):
            assert said in done.stdout

    def test_a_built_in_name_reads_no_catalogue(self) -> None:
        script = (
            "import sys\n"
            "from czrun.datasets.catalogue import find_dataset\n"
            "from czrun.datasets.locate import locate\n"
            "locate(find_dataset('pbmc68k_reduced'))\n"
            "print({'yaml', 'requests', 'fsspec', 'czrun.datasets.public'} & set(sys.modules))\n"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout == "set()\n"
