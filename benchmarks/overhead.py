"""What czrun itself costs: a whole `czrun evaluate` against bare `docker run` of the same two containers.

    uv run python benchmarks/overhead.py [--rounds 10] [--image czrun/logistic-regression:latest]

Each round runs, in turn: the bare containers (fit, then predict, started by the docker command with the same
policy, files and limits), czrun with an empty cache, czrun with the data prepared (`--no-cache`), and czrun
with everything cached. The control is left out, since the bare run has none. Medians are printed, with the
difference and the ratio to the bare containers of the same round.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

CZRUN = [str(Path(sys.executable).with_name("czrun"))]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--image", default="czrun/logistic-regression:latest")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="czrun-bench-") as folder:
        bench = Bench(Path(folder), options.image)
        bench.evaluate()  # warms the page cache, prepares the data, and records the containers' settings
        rounds = [bench.round() for _ in range(options.rounds)]
    report(rounds)


class Bench:
    """One scratch folder with a warm cache, and the bare commands that do the same work."""

    def __init__(self, folder: Path, image: str) -> None:
        self.folder, self.image = folder, image
        self.home = folder / "home"

    def round(self) -> dict[str, float]:
        """Time each way of doing the work once."""
        times = {"bare docker run": self.bare()}
        cold = self.folder / "cold"
        times["czrun, cold cache"] = timed(lambda: self.evaluate(home=cold))
        shutil.rmtree(cold)
        times["czrun, data prepared"] = timed(lambda: self.evaluate("--no-cache"))
        times["czrun, all cached"] = timed(self.evaluate)
        times["czrun --help"] = timed(lambda: run([*CZRUN, "--help"], self.home))
        return times

    def evaluate(self, *flags: str, home: Path | None = None) -> None:
        """Run czrun once."""
        command = [
            *CZRUN,
            "evaluate",
            "--image",
            self.image,
            "--no-control",
            "--output",
            str(self.folder / "runs"),
        ]
        run([*command, *flags], home or self.home)

    def bare(self) -> float:
        """Time the two containers alone, started by hand as `czrun` starts them."""
        record = json.loads(max((self.folder / "runs").glob("*/record.json")).read_text())
        prepared = self.home / "prepared" / record["dataset"]["prepared"][0]
        work = self.folder / "bare"
        model, output = work / "model", work / "output"
        (output / "v0").mkdir(parents=True)
        model.mkdir()
        trial = record["model"]["trials"][0]
        commands = []
        for verb, model_mode in (("fit", "rw"), ("predict", "ro")):
            job = work / f"{verb}.json"
            job.write_text(json.dumps(self._job(verb, record, prepared)))
            mounts = [
                f"{job}:/czrun/job.json:ro",
                f"{prepared / verb}:/czrun/input:ro",
                f"{model}:/czrun/model:{model_mode}",
                f"{output}:/czrun/output:rw",
            ]
            commands.append(docker_run(trial[verb]["settings"], mounts, verb))
        for path in (work, model, output, output / "v0"):
            path.chmod(0o777)
        seconds = timed(lambda: [run(command, self.home) for command in commands])
        shutil.rmtree(work)
        return seconds

    def _job(self, verb: str, record: dict[str, Any], prepared: Path) -> dict[str, Any]:
        manifest = json.loads((prepared / "manifest.json").read_text())
        n_classes = len(manifest["facts"]["classes"])
        inputs = manifest[f"{verb}_inputs"]
        files = [
            {"name": "predictions.csv", "required": True},
            {
                "name": "proba.npy",
                "required": False,
                "dtype": "float32",
                "shape": [inputs[0]["n_obs"], n_classes],
            },
        ]
        return {
            "contract": 1,
            "job_id": "bare",
            "verb": verb,
            "task": record["task"],
            "seed": 0,
            "dataset": {**manifest["facts"], "n_obs": inputs[0]["n_obs"]},
            "inputs": inputs,
            "outputs": [{"id": "v0", "dir": "/czrun/output/v0", "files": files}] if verb == "predict" else [],
            "params": {},
            "limits": record["limits"],
        }


def docker_run(settings: dict[str, Any], mounts: Sequence[str], verb: str) -> list[str]:
    """Return the docker command with the settings that czrun's own container had."""
    flags = [
        *(
            "--network",
            "none",
            "--read-only",
            "--cap-drop",
            "ALL",
            "--security-opt",
            "no-new-privileges:true",
        ),
        *("--init", "--ipc", "private", "--log-driver", "none", "--no-healthcheck"),
        *("--pids-limit", str(settings["PidsLimit"]), "--memory", str(settings["Memory"])),
        *("--memory-swap", str(settings["MemorySwap"]), "--cpus", str(settings["NanoCpus"] / 1e9)),
        *(
            "--shm-size",
            str(settings["ShmSize"]),
            "--user",
            settings["User"],
            "--hostname",
            settings["Hostname"],
        ),
    ]
    flags += [part for path, how in settings["Tmpfs"].items() for part in ("--tmpfs", f"{path}:{how}")]
    flags += [part for text in settings["Env"] for part in ("--env", text)]
    for limit in settings["Ulimits"]:
        flags += ["--ulimit", f"{limit['Name']}={limit['Soft']}:{limit['Hard']}"]
    flags += [part for mount in mounts for part in ("--volume", mount)]
    return ["docker", "run", "--rm", *flags, settings["Image"], verb]


def run(command: Sequence[str], home: Path) -> None:
    """Run a command to its end; its failure ends the benchmark."""
    # With bytecode, as anywhere but in a shell that forbids writing it.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment["CZRUN_HOME"] = str(home)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")


def timed(work: Callable[[], object]) -> float:
    """Return the wall-clock seconds of a call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def report(rounds: Sequence[dict[str, float]]) -> None:
    """Print medians, and differences and ratios to the bare containers, taken round by round."""
    print(f"{len(rounds)} rounds, medians, seconds (lowest–highest)")
    for name in rounds[0]:
        values = [each[name] for each in rounds]
        line = f"{name:22} {statistics.median(values):7.3f}  ({min(values):.3f}–{max(values):.3f})"
        if name.startswith("czrun, ") and "all cached" not in name:
            over = statistics.median(each[name] - each["bare docker run"] for each in rounds)
            ratio = statistics.median(each[name] / each["bare docker run"] for each in rounds)
            line += f"   over bare {over:+.3f} s, ratio {ratio:.2f}"
        print(line)
    print("goals: over bare at most 0.5 s and 1.10; all cached under 0.6 s; --help under 0.25 s")


if __name__ == "__main__":
    main()
