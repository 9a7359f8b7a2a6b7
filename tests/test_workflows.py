"""The continuous integration's own files: pinned, with the least permissions, and of commands that exist."""

import re
import subprocess

import pytest
import yaml
from house import ROOT

from press.__main__ import parser

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def read(path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps(workflow: dict) -> list[dict]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_there_are_workflows_for_checks_the_book_and_its_pages():
    assert {path.stem for path in WORKFLOWS} == {"check", "book", "pages"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_action_is_pinned_to_a_commit_and_a_job_may_only_read(path):
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    used = [step["uses"] for step in steps(workflow) if "uses" in step]
    assert used and all(re.fullmatch(r"[\w-]+/[\w/-]+@[0-9a-f]{40}", name) for name in used)
    checkouts = [step for step in steps(workflow) if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)
    assert all("timeout-minutes" in job for job in workflow["jobs"].values())


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_the_commands_are_those_of_the_makefile(path):
    rules = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    called = [name for step in steps(read(path)) for name in re.findall(r"make (\w+)", step.get("run", ""))]
    assert set(called) <= set(rules)


def test_every_supported_python_and_macos_are_tested_and_a_change_s_book_is_kept_with_its_verdicts_and_numbers():
    tested = read(ROOT / ".github" / "workflows" / "check.yml")["jobs"]["test"]["strategy"]["matrix"]["include"]
    assert {row["python"] for row in tested if row["os"].startswith("ubuntu")} == {"3.11", "3.12", "3.13"}
    assert any(row["os"].startswith("macos") for row in tested)
    book = read(ROOT / ".github" / "workflows" / "book.yml")
    # YAML 1.1 reads the key "on" as true
    assert {"pull_request", "schedule"} <= set(book[True])
    names = [step.get("name") for step in steps(book)]
    assert {"Numbers", "Verdicts"} <= set(names)
    assert any("upload-artifact" in step.get("uses", "") for step in steps(book))


def test_commands_of_the_press_in_workflows_exist():
    for path in WORKFLOWS:
        for command in re.findall(r"-m press (\w+)", path.read_text(encoding="utf-8")):
            with pytest.raises(SystemExit) as end:
                parser().parse_args([command, "--help"])
            assert end.value.code == 0


def test_every_rule_tells_slurm_what_it_needs_and_a_lost_job_comes_back():
    profile = yaml.safe_load((ROOT / "slurm" / "config.yaml").read_text(encoding="utf-8"))
    assert (profile["executor"], profile["slurm-requeue"]) == ("slurm", True) and profile["retries"] >= 1
    _, *rules = re.split(r"(?m)^rule (?!all:)", (ROOT / "Snakefile").read_text(encoding="utf-8"))
    assert len(rules) == 4
    for rule in rules:
        assert {"mem_mb", "runtime"} <= set(re.findall(r"^        (\w+)=", rule, flags=re.MULTILINE)), rule
    command = "-m snakemake --profile slurm --config profile=paper\n"
    for path in ("README.md", "book/reproduce.md"):
        assert command in (ROOT / path).read_text(encoding="utf-8")


def test_workflows_are_linted_by_pinned_linters_before_a_commit_and_in_ci():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    linters = re.search(r"^LINTERS := (.*)$", makefile, flags=re.MULTILINE).group(1).split()
    assert len(linters) >= 2 and all(re.fullmatch(r"[\w-]+==[\d.]+", each) for each in linters)
    lint = read(ROOT / ".github" / "workflows" / "check.yml")["jobs"]["lint"]
    assert any(step.get("run", "").startswith("make workflows") for step in lint["steps"])
    (hooks,) = (repo["hooks"] for repo in read(ROOT / ".pre-commit-config.yaml")["repos"])
    hook = next(hook for hook in hooks if hook["entry"] == "make workflows")
    assert all(re.search(hook["files"], path.relative_to(ROOT).as_posix()) for path in WORKFLOWS)


@pytest.mark.skipif(not (ROOT / "build" / "linters" / ".versions").is_file(), reason="no linters here (make workflows)")
@pytest.mark.parametrize(("change", "fault"), [
    (("contents: read", "contents: write"), "excessive-permissions"),
    (("persist-credentials: false", "persist-credentials: true"), "artipacked"),
    (("@11bd71901bbe5b1630ceea73d27597364c9af683", "@v4"), "unpinned-uses"),
    (("runs-on:", "run-on:"), "'runs-on' is a required property"),
])  # fmt: skip
def test_a_faulty_workflow_is_noticed_by_them(tmp_path, change, fault):
    (tmp_path / ".github" / "workflows").mkdir(parents=True)
    for path in WORKFLOWS:
        (tmp_path / ".github" / "workflows" / path.name).write_text(path.read_text(encoding="utf-8").replace(*change))
    for name in ("Makefile", "requirements.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    for name in (".venv", "build"):
        (tmp_path / name).symlink_to(ROOT / name)
    done = subprocess.run(["make", "workflows"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode and fault in done.stdout + done.stderr
