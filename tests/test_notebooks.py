"""What every template of notebooks/ must look like, so that the pipeline, nbval and the book can rely on it."""

import ast
import json
import re
from pathlib import Path

import pytest

from paperlib import evaluate
from press.plan import experiments, templates
from press.plan.settings import ROOT
from press.run import zoo

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LONGEST_FUNCTION = 6  # lines
LINES = 40  # of code besides the parameters

# what chapters and claims quote of the record of a template's default artifact, by path ("*": any key)
RECORDED = {
    "architecture": [
        "swing/apart", "natural/max", "distance/average", "closer/average", "orderings/all", "nearest/natural",
        "spread/max/ours/worst/*",
    ],
    "smooth": [
        "rows/ours/relu/worst/*", "rows/ours/silu/clean", "best/ours/gain/worst/*", "best/ours/masking/unbounded",
        "gain/ours/silu/worst/*", "epoch/ours/silu",
    ],
    "cost": [
        "natural/seconds", "ours/seconds", "minmax/seconds", "ours/over_natural", "minmax/over_natural", "natural/epochs",
        "ours/epochs", "minmax/epochs", "ours/epochs_adversarial", "minmax/epochs_adversarial",
    ],
    "fig04": [
        "random/distance/median", "cw/distance/reached", "crossentropy/within/5", "leastlikely/contours",
        "ratio/distance/cw", "ratio/contours/cw", "ratio/linear", "noise/clean", "noise/noisy/*", "paired/noise/*",
    ],
    "fig05": ["slope", "second", "curvature", "radius", "curvature_numeric"],
    "fig06": [
        "natural/random/plateau", "natural/adversarial/plateau", "robust/random/plateau", "robust/adversarial/plateau",
        "natural/adversarial/relative_drop", "robust/adversarial/relative_drop", "natural/adversarial/distance/median",
        "robust/adversarial/distance/median", "natural/clean", "natural/attacked", "robust/attacked", "paired/plateau",
        "paired/clean", "paired/attacked", "ratio/relative_drop",
    ],
    "fig08": [
        "natural/jacobian/norm", "robust/jacobian/near_zero/1e-6", "natural/hessian/max", "robust/hessian_relu/norm",
        "natural/hessian_ce/rank", "robust/curvature/mean", "ratio/jacobian_norm", "ratio/hessian_norm",
        "ratio/hessian_ce_norm", "ratio/curvature", "match/jacobian/threshold", "match/hessian/robust", "noise/ratio",
        "noise/ratio_norm", "noise/ratio_of_ratios",
    ],
    "fig10": [
        "grey/natural/alignment", "grey/robust/alignment", "grey/natural/own_minus_other", "grey/robust/other",
        "grey/robust/own_minus_other", "colour/natural/alignment", "colour/robust/alignment", "colour/robust/other",
        "colour/natural/own_minus_other", "colour/robust/own_minus_other", "paired/grey", "paired/colour",
    ],
    "hessian": [
        *(f"{role}/beside-sign/{h}/{what}" for role in ("natural", "minmax") for h in ("1e-06", "0.1")
          for what in ("middle", "mean", "straight")),
        "natural/image-sign/1e-06/straight", "natural/growth", "minmax/growth", "natural/hessian_ce/rank",
        "natural/softplus/10/top", "minmax/hessian_ce/rank_most", "match/hessian_ce/entries/ten/miss",
        "nearest/any/miss", "nearest/any/within", "nearest/any/definitions", "nearest/any/norms_too", "nearest/ten/miss",
        "nearest/ten/within", "nearest/ten/norms_too", "nearest/unchanged", "ratio/hessian_ce",
    ],
    "population": [
        "across/mean_J", "across/linear_distance", "lead/sharpness", "count/networks", "count/recipes",
        "image/natural-max/linear_distance", "image/ours-max/l1_J",
    ],
    "protocol": [
        f"{role}/{way}_{attack}/*" for role in ("natural", "ours") for way in ("last", "any", "small", "long", "start")
        for attack in ("bim", "cw")
    ],
    "report": [
        "clean", "worst/*", "indicator/S", "indicator/mean_J", "indicator/curvature", "indicator/linear_distance",
        "indicator/linear_robust", "masking/zero_gradient", "masking/unbounded", "masking/noise", "images",
    ],
    "seeds": [
        "natural-0/clean", "natural-0/bim/*", "natural-0/worst/*", "ours-1/clean", "ours-1/bim/*", "ours-1/worst/*",
        "spread/natural/worst/*", "spread/ours/worst/*",
    ],
    # AutoAttack's own numbers are there only where its package is, and hours for it
    "strong": [
        f"{role}/{what}" for role in ("grey-natural", "grey-ours", "colour-natural")
        for what in ("clean", "fgsm/*", "bim/*", "cw/*", "several/*", "worst/*")
    ] + ["agreement/grey-ours", "cascade"],
    "table1": [
        "natural/clean", "natural/fgsm/*", "ours/bim/*", "ours/cw/*", "ours/worst/*", "gain/ours/*",
        "paired/ours_minus_natural/clean", "paired/ours_minus_natural/worst/*", "vanishing/median/ours",
        "vanishing/natural", "indicator/mean/ours", "indicator/distance/ours", "masking/ours/zero_gradient",
        "indicator/spearman/magnitude", "indicator/spearman/distance", "indicator/auc/ours", "paired/exhaust/bim",
    ],
}  # fmt: skip


def cells(path: Path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def tags(cell: dict) -> list[str]:
    return cell["metadata"].get("tags", [])


def source(cell: dict) -> str:
    return "".join(cell["source"])


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request) -> Path:
    """One template after the other."""
    return request.param


def test_every_notebook_of_the_experiments_exists():
    wanted = {entry["notebook"] for entry in experiments.load()["artifacts"].values()}
    assert wanted == {path.stem for path in NOTEBOOKS}


def test_starts_with_the_title_that_staging_replaces(notebook):
    first = cells(notebook)[0]
    assert (first["cell_type"], source(first)) == ("markdown", "# TITLE")


def test_kernel_is_python3(notebook):
    assert json.loads(notebook.read_text(encoding="utf-8"))["metadata"]["kernelspec"]["name"] == "python3"


def test_parameters_come_first_and_are_plain_values(notebook):
    code = [cell for cell in cells(notebook) if cell["cell_type"] == "code"]
    assert [k for k, cell in enumerate(code) if "parameters" in tags(cell)] == [0]
    defaults = templates.notebook_parameters(notebook.stem)
    assert tuple(defaults)[:4] == templates.PIPELINE_PARAMETERS
    assert (defaults["profile"], defaults["out"]) == ("smoke", "")


def test_defaults_name_an_artifact_of_this_notebook_and_models_of_the_smoke_profile(notebook):
    defaults = templates.notebook_parameters(notebook.stem)
    assert experiments.load()["artifacts"][defaults["artifact"]]["notebook"] == notebook.stem
    for name in defaults["models"].values():
        experiments.recipe("smoke", name)


@pytest.mark.parametrize("name", ["digits-natural", "digits-ours", "rgb-natural", "rgb-ours"])
def test_smoke_networks_are_right_on_many_images_whatever_the_machine(name):
    trained = zoo.get(name, "smoke", progress=False)
    test = trained.dataset.test
    # a fair margin above chance, 10 %: figures draw images that several networks classify rightly
    assert evaluate.correct(trained.model, test.x, test.y).double().mean() > 0.4


def test_every_parameter_says_what_it_means(notebook):
    comments = templates.parameter_comments(templates.parameters_source(notebook.stem))
    own = list(templates.notebook_parameters(notebook.stem))[len(templates.PIPELINE_PARAMETERS) :]
    assert own and [name for name in own if not comments.get(name)] == []


def test_code_is_hidden_on_the_page(notebook):
    code = [cell for cell in cells(notebook) if cell["cell_type"] == "code"]
    assert [source(cell) for cell in code if "hide-input" not in tags(cell)] == []


def test_only_the_summary_keeps_its_output(notebook):
    code = [cell for cell in cells(notebook) if cell["cell_type"] == "code"]
    kept = [cell for cell in code if cell["outputs"]]
    assert len(kept) == 1 and tags(kept[0]).count("nbval-check-output") == 1
    assert [tags(cell).count("nbval-check-output") for cell in code].count(1) == 1
    assert all(output["output_type"] == "stream" and output["name"] == "stdout" for output in kept[0]["outputs"])
    # nbval takes an output without a count for a fault
    assert [bool(cell["execution_count"]) for cell in code] == [cell is kept[0] for cell in code]


def test_cell_ids_are_names_of_their_own(notebook):
    ids = [cell["id"] for cell in cells(notebook)]
    assert len(set(ids)) == len(ids)


def test_stays_thin(notebook):
    code = [source(cell) for cell in cells(notebook) if cell["cell_type"] == "code" and "parameters" not in tags(cell)]
    assert sum(bool(line.strip()) for text in code for line in text.splitlines()) <= LINES
    for cell in cells(notebook):
        if cell["cell_type"] == "code":
            for node in ast.walk(ast.parse(source(cell))):
                assert not isinstance(node, ast.ClassDef), node.name
                if isinstance(node, ast.FunctionDef):
                    assert node.end_lineno - node.lineno < LONGEST_FUNCTION, node.name


def test_names_no_place_outside_the_project(notebook):
    text = "\n".join(source(cell) for cell in cells(notebook))
    # "/255" is a unit
    assert re.findall(r"""["']/(?!255\b)\w[^"']*|https?://\S+|~/""", text) == []


def test_lists_are_of_records_that_notebooks_make():
    assert {templates.notebook_parameters(path.stem)["artifact"] for path in NOTEBOOKS} >= set(RECORDED)


def test_record_holds_what_the_book_quotes(notebook):
    artifact = templates.notebook_parameters(notebook.stem)["artifact"]
    path = experiments.build_dir("smoke") / "results" / f"{artifact}.json"
    if not path.is_file():
        pytest.skip(f"no run of {artifact} with its defaults yet")
    values = json.loads(path.read_text(encoding="utf-8"))["values"]
    assert [wanted for wanted in RECORDED.get(artifact, []) if not _found(values, wanted.split("/"))] == []
    assert None not in _leaves(values)


def _found(node, keys: list[str]) -> bool:
    for key in keys:
        if not isinstance(node, dict) or not node:
            return False
        node = next(iter(node.values())) if key == "*" else node.get(key)
    return node is not None


def _leaves(node) -> list:
    return [leaf for item in node.values() for leaf in _leaves(item)] if isinstance(node, dict) else [node]
