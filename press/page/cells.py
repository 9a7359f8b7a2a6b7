"""The cells that every figure's page ends with: its numbers, its command, its provenance."""

import csv
import io
import json
import tokenize

from paperlib.numbers import is_interval, leaves
from press.page.columns import OWN, line
from press.page.values import ABSENT, UNSTATED, Numbers
from press.plan import templates
from press.plan.experiments import Artifact

ROWS = 40


def appended_cells(spec: Artifact, numbers: Numbers, record: dict) -> list[str]:
    """The Markdown of a figure page's last three cells."""
    return [numbers_cell(spec.key, numbers), again_cell(spec), provenance_cell(spec.key, record)]


def numbers_cell(key: str, numbers: Numbers) -> str:
    """The paper's numbers beside the published edition's and this run's; this run's others in a block to open."""
    compared = list(leaves(numbers.stated.get(key, {})))
    here = leaves(numbers.here.get(key, {}))
    others = [path for path in here if path not in compared]
    text = "## The numbers\n\n"
    if compared:
        text += _folded(numbers, key, compared, "All numbers that the paper gives", len(compared) > ROWS)
    else:
        text += "The paper gives no number for this figure.\n\n"
    title = "Other numbers of the edition" if numbers.alone else "Other numbers of this run"
    return text + (_folded(numbers, key, others, title, True) if others else "")


def _folded(numbers: Numbers, key: str, paths: list[tuple[str, ...]], title: str, fold: bool) -> str:
    columns = {"Paper": numbers.paper, "Published edition": numbers.published}
    columns |= {} if numbers.alone else {OWN: numbers.value}
    rows = [[" › ".join(path), *(_cell(column(key, *path)) for column in columns.values())] for path in paths]
    rendered = table(["Quantity", *columns], rows)
    return f":::{{dropdown}} {title}\n{rendered}:::\n\n" if fold else f"{rendered}\n"


def _cell(text: str) -> str:
    return "–" if text in (ABSENT, UNSTATED) else text


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(line(*(cell.replace("|", r"\|") for cell in cells)) + "\n" for cells in lines)


def again_cell(spec: Artifact) -> str:
    """The command that makes this figure again, and the parameters worth changing."""
    command = f"make figure FIG={spec.key}" + ("" if spec.profile == "quick" else f" PROFILE={spec.profile}")
    comments = parameter_comments(templates.parameters_source(spec.notebook))
    values = templates.notebook_parameters(spec.notebook) | spec.parameters
    own = [name for name in values if name not in templates.PIPELINE_PARAMETERS]
    # those of the figure itself first; long ones would hide the command
    short = [name for name in [*spec.parameters, *own] if len(_flow(values[name])) < 20]
    given = " ".join(f"{name}={_flow(values[name])}" for name in list(dict.fromkeys(short))[:4])
    rows = [[f"`{name}`", f"`{_flow(values[name])}`", comments.get(name, "")] for name in own]
    rendered = table(["Parameter", "On this page", "Meaning"], rows)
    return (
        "## Make this figure again\n\n"
        "::::{admonition} One command, with any parameter changed\n:class: tip\n\n"
        f"```sh\n{command}\n{command} P='{given}'\n```\n\n"
        "It writes into a folder of its own under `build/` and overwrites nothing. A field of the models' recipes, "
        "such as `c`, is a parameter too: those models are then trained anew.\n\n"
        f":::{{dropdown}} The parameters of this figure\n{rendered}:::\n::::\n"
    )


def parameter_comments(source: str) -> dict[str, str]:
    """The comment behind each assignment of a parameters cell, by parameter."""
    comments, name = {}, None
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME and token.start[1] == 0:
            name = token.string
        elif token.type == tokenize.COMMENT and token.start[1] > 0 and name:
            comments[name] = token.string.lstrip("# ")
        elif token.type == tokenize.COMMENT:
            name = None
    return comments


def _flow(value: object) -> str:
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def provenance_cell(key: str, record: dict) -> str:
    """What the page was made of, and its downloads."""
    data = record.get("data") or {}
    sets = [data, *data.get("others", [])] if data else []
    machine = record.get("environment", {}).get("machine", {})
    models = [f"{role}: {m['name']} ({m['sha256'][:12]})" for role, m in record.get("models", {}).items()]
    rows = {
        "Profile": record["profile"],
        "Data": "<br>".join(f"{d['name']}, {d['n']} images, sha256 {d['sha256'][:12]}" for d in sets) or "none",
        "Models (sha256)": "<br>".join(models) or "none",
        "Seeds": ", ".join(f"{name} {seed}" for name, seed in (record.get("seeds") or {}).items()) or "none",
        "Commit": _commit(record.get("git_commit")),
        "Machine": ", ".join(f"{name} {value}" for name, value in machine.items() if value is not None),
        "Started": record["started"],
        "Seconds": str(record["seconds"]),
    }
    rendered = table(["", ""], [[name, str(value)] for name, value in rows.items()])
    files = {"ipynb": "executed notebook", "json": "result and parameters (JSON)", "csv": "numbers (CSV)"}
    links = " · ".join(f"{{download}}`{title} <downloads/{key}.{kind}>`" for kind, title in files.items())
    return f"## Provenance\n\n{rendered}\nDownloads: {links}\n"


def _commit(commit: str | None) -> str:
    if commit is None:
        return "not run from a repository"
    return commit[:12] + (", with uncommitted changes" if commit.endswith("+") else "")


def as_csv(values: dict) -> str:
    """A record's values as CSV: path, value, low, high, n."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["quantity", "value", "low", "high", "n"])
    for path, leaf in leaves(values).items():
        interval = leaf if is_interval(leaf) else {"mean": leaf}
        writer.writerow([".".join(path), *(interval.get(name, "") for name in ("mean", "low", "high", "n"))])
    return stream.getvalue()
