"""What the published edition holds, as rows of tables: its networks, its searches, and Tables 1 and 2 cell by cell."""

import json
import re
from pathlib import Path

from paperlib import names
from press.plan import experiments, settings


def edition_dir() -> Path:
    """Where the published edition is kept: ``book/published``."""
    return settings.ROOT / "book" / "published"


def networks(folder: Path) -> list[dict]:
    """One row a network of the edition in ``folder``, from its card: name, data, what it is, epochs, hours, weights.

    ``hours`` are those of its training as it went, whatever else the machine did; ``weights``: whether the file is there;
    ``brief``: whether it was trained in minutes, as one of many.
    """
    rows = []
    for path in sorted((folder / "models").glob("*.json")):
        card = json.loads(path.read_text(encoding="utf-8"))
        recipe, machine = card["recipe"], card.get("machine", {})
        rows.append({
            "name": card["name"], "data": recipe["data"], "method": recipe["method"],
            "network": f"{recipe['network']}, width {recipe['width']}", "precision": recipe["precision"],
            "images": card["data"]["n"], "epochs": recipe["epochs"], "seconds": card["seconds_per_epoch"],
            "hours": card["seconds_per_epoch"] * recipe["epochs"] / 3600, "threads": machine.get("threads"),
            "processor": machine.get("gpu") or machine.get("processor"), "seed": recipe["seed"],
            "penalty": f"{recipe['c']:g}, p = {recipe['p']}" if recipe["c"] else "", "sha256": card["sha256"],
            "weights": path.with_suffix(".safetensors").is_file(), "brief": experiments.BRIEF in card["name"],
        })  # fmt: skip
    return rows


def seeds(folder: Path) -> dict[str, int]:
    """How many seeds each recipe of the edition was trained with, by its name: the plain one, and those named for a seed."""
    bare = (row["name"].partition(experiments.DERIVED) for row in networks(folder))
    trained = [name for name, _, changes in bare if re.fullmatch(r"(seed=\d+)?", changes)]
    return {name: trained.count(name) for name in dict.fromkeys(trained)}


def commit_of(folder: Path, artifact: str) -> str:
    """The commit at which an artifact of the edition was measured; empty where the edition in ``folder`` lacks it."""
    path = folder / "results" / f"{artifact}.json"
    found = json.loads(path.read_text(encoding="utf-8")).get("git_commit") if path.is_file() else None
    # a plus says that files had been changed since
    return (found or "").rstrip("+")


def sizes(folder: Path) -> list[str]:
    """The profiles whose recipes made the edition's artifacts."""
    records = (json.loads(path.read_text(encoding="utf-8")) for path in sorted((folder / "results").glob("*.json")))
    return list(dict.fromkeys(record["profile"] for record in records))


def test_images(folder: Path) -> dict[str, str]:
    """How many test images the edition in ``folder`` had at hand, in words, by data set: the most that a clean accuracy was
    taken over."""
    most: dict[str, int] = {}
    for path in sorted((folder / "results").glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        name = record.get("data", {}).get("name", "")
        if names.data(name).official:
            most[name] = max([most.get(name, 0), *_clean(record.get("values"))])
    return {
        name: f"all {n:,} test images" if n == names.data(name).official
        else f"the first {n:,} of {names.data(name).official:,} test images"
        for name, n in most.items() if n
    }  # fmt: skip


def _clean(node: object) -> list[int]:
    """The n of every clean accuracy below ``node``."""
    if not isinstance(node, dict):
        return []
    found = [
        leaf["n"]
        for key, leaf in node.items()
        if key == "clean" and isinstance(leaf, dict) and "n" in leaf and "unit" not in leaf
    ]
    return found + [n for key, leaf in node.items() if key != "clean" for n in _clean(leaf)]


def searches(folder: Path) -> list[dict]:
    """The edition's searches for a penalty, each with its candidates and the chosen one (``press.run.search``)."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted((folder / "search").glob("*.json"))]


def at_equal_norm(found: list[dict]) -> list[dict]:
    """The best worst case of Ours and of CrossEntropy among the allowed candidates of two searches with the same norm.

    One row a data set and norm that both have: ``data``, ``p``, and an interval for each method.
    """
    best: dict[tuple[str, str], dict[str, dict]] = {}
    for search in found:
        data, _, method = search["name"].rpartition("-")
        for row in search["candidates"]:
            of = best.setdefault((data, row["changes"]["p"]), {})
            if row["allowed"] and (method not in of or row["worst"]["mean"] > of[method]["mean"]):
                of[method] = row["worst"]
    return [{"data": data, "p": p} | of for (data, p), of in sorted(best.items()) if {"ours", "crossentropy"} <= of.keys()]


def cells(values: dict, stated: dict) -> list[dict]:
    """Every cell of a table of the paper beside the same cell here, in points.

    ``values``: those of a robustness record; ``stated``: the paper's, method -> ``clean`` or attack -> eps -> number.
    A row has ``paper``, ``here`` (interval), ``difference``, and ``gain``: each one's lead over its own natural network in
    the same cell, for natural networks differ. Cells that one side lacks are left out.
    """
    rows = []
    for method, of in stated.items():
        places = [("clean", "")] + [(attack, eps) for attack in names.ATTACKS for eps in of.get(attack, {})]
        for attack, eps in places if method in values else []:
            paper, here = _cell(of, attack, eps), _cell(values[method], attack, eps)
            base, own = _cell(stated["natural"], attack, eps), _cell(values["natural"], attack, eps)
            if None not in (paper, here, base, own):
                rows.append({
                    "method": method, "attack": attack, "eps": eps, "paper": paper, "here": here,
                    "difference": here["mean"] - paper, "gain_paper": paper - base, "gain": here["mean"] - own["mean"],
                    "inside": here["low"] <= paper <= here["high"],
                })  # fmt: skip
    return rows


def _cell(of: dict, attack: str, eps: str) -> float | dict | None:
    return of.get("clean") if attack == "clean" else of.get(attack, {}).get(eps)


def agreement(rows: list[dict]) -> dict:
    """How many cells there are, how many hold the paper's number in their interval or within five points, and the
    largest difference's row."""
    return {
        "n": len(rows), "inside": sum(row["inside"] for row in rows),
        "near": sum(abs(row["difference"]) <= 5 for row in rows),
        "farthest": max(rows, key=lambda row: abs(row["difference"]), default=None),
    }  # fmt: skip
