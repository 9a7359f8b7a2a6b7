"""A network on one page: the rules of its sentences, a closed form, the page's safety, interruptions, published numbers."""

import json
import re
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from toys import damages, linear

import paperlib
from paperlib import cascade
from paperlib.reporting import drawing, examples, page, pieces, references, rules, trial
from paperlib.reporting import report as reporting
from paperlib.reporting.pieces import Pieces, Progress, lasting
from paperlib.state import InputError
from press.__main__ import main
from press.plan.settings import ROOT

HOSTILE = "</style><script>alert(\"x\")</script><img src=http://evil.example/a.png onerror=alert(1)> & 'quoted'"


def interval(mean, half=3.0, n=500, **more):
    return {"mean": mean, "low": max(0.0, mean - half), "high": min(100.0, mean + half), "n": n} | more


def measured(**changes) -> dict:
    """Values as a trial leaves them, without sentences."""
    values = {
        "question": {"eps": 0.1, "key": "0.1", "unit": "", "pixel_scale": 1, "norm": "linf", "sizes": [0.1, 0.2],
                     "level": "quick", "seed": 0, "n_by_time": False, "grid": 5},
        "network": {"name": "mine", "kind": "Net", "parameters": 10, "weights_sha256": "f" * 64, "device": "cpu",
                    "outputs": 10},
        "data": {"name": "mnist", "sha256": "0" * 64, "shape": [1, 4, 4], "images": 500, "given": 10000, "classes": 10,
                 "class_names": [], "missing_classes": [], "not_finite": [], "no_gradient": [],
                 "indices": list(range(500))},
        "chance": 10.0, "clean": interval(98.0, 1), "stages": ["clean", "pgd", "apgd-t"], "last_size": "0.2",
        "last_round": None,
        "worst": {"0.1": interval(33.0, 4, broken_by={}), "0.2": interval(5.0, 2, broken_by={})},
        "indicator": {"images": 490, "left_out": {"wrong": 10, "no_gradient": 0}, "parts": {}},
        "examples": {}, "masking": {"zero_gradient": 0.0, "unbounded": 0.0, "noise": 97.0}, "masking_images": 100,
        "autoattack": None, "published": references.of("mnist"), "notes": [],
        "provenance": {"command": "paperlib report", "paperlib": "0", "git_commit": None, "autoattack": None,
                       "environment": {"python": "3", "packages": {}, "machine": {}}, "started": "now", "seconds": 1.0},
    }  # fmt: skip
    return values | changes


QUESTION = measured()["question"]


def answer(**changes) -> list[str]:
    return [said["sentence"] for said in rules.judged(measured(**changes))["answer"]]


def fired(**changes) -> list[str]:
    return [said["rule"] for said in rules.judged(measured(**changes))["answer"]]


# The rules.


def test_the_answer_has_two_sentences_with_the_number_that_decides_and_names_its_evidence():
    first, second = rules.judged(measured())["answer"]
    assert "keeps 33 % [29, 37] of 500 right, of 98 % [97, 99] without an attack" in first["sentence"]
    assert first["evidence"] == ["worst/0.1", "clean"]
    keeps = references.of("mnist")["networks"]["minmax"]["worst"]["0.1"]
    assert second["sentence"].startswith(f"The published network MinMax keeps {keeps['mean']:.0f}")
    assert "; this one, with 33 % [29, 37], lies below " in second["sentence"]
    assert second["evidence"]


@pytest.mark.parametrize(
    ("changes", "rule", "words"),
    [
        ({"clean": interval(11.0, 3)}, "at chance", "guessing among its 10 outputs is right on 10 %"),
        ({"notes": [{"kind": "headless", "sentence": "All are equal."}]}, "a fault first", "All are equal. Until that is"),
        ({"masking": {"zero_gradient": 97.0}}, "misled attacks", "must not be trusted"),
        ({"masking": {"unbounded": 60.0}}, "misled attacks", "60 % of 100 images stay right although any change is allowed"),
        ({"masking": {"square_alone": 30.0}}, "misled attacks", "breaks 30 % of 100 images that attacks by gradients leave"),
        ({"worst": {"0.1": interval(50.0, 30, broken_by={})}}, "too few", "Too few images were attacked for an answer"),
        ({"worst": {"0.1": {"mean": 0.0, "low": 0.0, "high": 28.0, "n": 10, "broken_by": {}}}}, "too few", "Too few images"),
        ({"worst": {"0.1": interval(2.0, 1, broken_by={})}}, "not robust", "This network is not robust"),
        ({"worst": {"0.1": interval(33.0, 4, broken_by={})}}, "partly robust", "a part of its images"),
        ({"worst": {"0.1": interval(75.0, 4, broken_by={})}}, "mostly robust", "most of its images"),
        ({"worst": {"0.1": interval(96.0, 2, broken_by={})}}, "robust", "robust against all that was tried"),
    ],
)
def test_each_rule_of_the_first_sentence_has_its_own_condition(changes, rule, words):
    assert fired(**changes)[0] == rule
    assert words in answer(**changes)[0]


def test_masked_gradients_of_a_network_that_is_broken_all_the_same_do_not_come_first():
    changes = {"masking": {"zero_gradient": 50.0}, "worst": {"0.1": interval(1.0, 1, broken_by={})}}
    assert fired(**changes)[0] == "not robust"


def test_networks_are_ranked_by_intervals_that_do_not_meet():
    worst = {"0.1": interval(33.0, 2, broken_by={}), "0.2": interval(30.0, 30, broken_by={})}
    published = {
        "networks": {
            name: {"label": label, "weights_sha256": name, "clean": interval(99.0), "worst": {"0.1": interval(mean, 1)}}
            for name, label, mean in (("a", "A", 90.0), ("b", "B", 34.0), ("c", "C", 10.0), ("d", "D", 0.0))
        }
    }
    found = rules.judged(measured(worst=worst, published=published))
    assert [row["relation"] for row in found["ranking"]["networks"]] == ["below", "level", "above", "above"]
    assert found["answer"][1]["sentence"].endswith("lies below A, cannot be told from B and lies above C and D.")


def test_the_eleven_published_networks_rank_each_other_as_their_tables_do():
    for entry in references.everything().values():
        for network in entry["networks"].values():
            key = min(network["worst"], key=float)
            weights = {"weights_sha256": network["weights_sha256"], "outputs": 10}
            values = measured(worst=network["worst"], published=entry, network=measured()["network"] | weights)
            values["question"] = values["question"] | {"key": key}
            found = rules.ranking(values)
            assert found["same"] == network["label"] and found["own"]["mean"] == found["tables"]["mean"]
            for row in found["networks"]:
                assert {"above": 1, "level": 0, "below": -1}[row["relation"]] in (
                    0,
                    np.sign(network["worst"][key]["mean"] - row["worst"]["mean"]),
                )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "The published network MinMax"),
        ({"masking": {"zero_gradient": 97.0}}, "is not said, for that takes a number that can be trusted"),
        ({"published": {}}, "at ε = 0.1, the smallest such size tried, less than half"),
        ({"published": {}, "worst": {"0.1": interval(95.0, broken_by={})}}, "up to ε = 0.2, the largest size"),
        ({"worst": {"9": interval(60.0, broken_by={})}, "question": QUESTION | {"key": "9"}}, "at other sizes"),
    ],
)  # fmt: skip
def test_each_rule_of_the_second_sentence_has_its_own_condition(changes, words):
    assert words in answer(**changes)[1]


@pytest.mark.parametrize(
    ("name", "value", "verdict"),
    [
        ("zero_gradient", 0.0, "fine"), ("zero_gradient", 1.0, "look"), ("zero_gradient", 50.0, "bad"),
        ("fgsm_minus_bim", -40.0, "fine"), ("fgsm_minus_bim", 30.0, "bad"), ("noise", 5.0, "bad"),
        ("cw_minus_ce", 13.0, "look"),
        ("adaptive_minus_fixed", -20.0, "look"), ("still_rising", 40.0, "look"), ("targeted_minus_untargeted", 3.0, "fine"),
        ("something_new", 1.0, ""),
    ],
)  # fmt: skip
def test_a_check_says_its_number_and_what_it_means(name, value, verdict):
    (row,) = rules.judged(measured(masking={name: value}))["checks"]
    assert (row["value"], row["verdict"]) == (value, verdict)
    assert row["sentence"].endswith(".") and row["evidence"] == [f"masking/{name}"]


def test_what_was_not_tried_is_said():
    said = {each["rule"]: each["sentence"] for each in rules.judged(measured())["not_tried"]}
    assert "10,000 images were given and 500 attacked" in said["other images"]
    assert {"untried level", "no AutoAttack", "other norms", "nothing adaptive", "one seed"} <= said.keys()
    strong = measured(autoattack=interval(30.0))
    strong["question"] = strong["question"] | {"level": "strong"}
    assert not {"untried level", "no AutoAttack"} & {each["rule"] for each in rules.judged(strong)["not_tried"]}


# A closed form, end to end.

SHAPE = (1, 2, 2)


@pytest.fixture(scope="module")
def affine():
    """Two classes told apart by the mean of four pixels: S = 10 |mean - 0.5| at the images below, so that an image's
    l-infinity distance to the boundary is |mean - 0.5|: 0.05 for a half of them, 0.3 for the others."""
    W = torch.tensor([[1.25] * 4, [-1.25] * 4])
    model = linear(W, torch.tensor([-2.5, 2.5]))
    means = torch.tensor([0.45, 0.55, 0.2, 0.8]).repeat(10)
    x = means.view(-1, 1, 1, 1).expand(-1, *SHAPE).clone()
    return model, x, (means < 0.5).long()


@pytest.fixture(scope="module")
def found(affine):
    return paperlib.report(*affine, eps=0.1, n=40, name="affine", class_names=["bright", "dark"])


def test_an_affine_network_is_judged_as_its_closed_form_says(found):
    values = found.values
    assert values["clean"]["mean"] == 100
    # the smallest size, 0.05, is the distance itself, on either side of rounding
    assert [values["worst"][key]["mean"] for key in ("0.1", "0.2")] == [50, 50]
    assert values["indicator"]["linear_robust"]["mean"] == 50
    assert values["indicator"]["parts"]["mean_J"]["mean"] == pytest.approx(2.5)
    fragile, robust = values["examples"]["fragile"], values["examples"]["robust"]
    assert fragile["linear_distance"] == pytest.approx(0.05, abs=1e-5) and robust["broken_at"] is None
    assert fragile["along"] == pytest.approx(0.05, abs=1e-3) and robust["along"] == pytest.approx(0.3, abs=1e-3)
    assert fragile["attacked"] != fragile["class"] and robust["attacked"] == robust["class"]
    assert "keeps 50 % [35, 65] of 40 right" in values["answer"][0]["sentence"]


def test_the_network_is_left_as_it_was_and_the_call_needs_no_module(affine):
    model, x, y = affine
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    kept = x.clone()
    called = paperlib.report(lambda images: model(images), x, y, eps=0.1, n=8)
    assert called.values["network"]["weights_sha256"] is None
    paperlib.report(model, x, y, eps=0.1, n=8)
    assert model.training and torch.equal(x, kept)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_the_same_call_gives_the_same_numbers(affine, found):
    again = paperlib.report(*affine, eps=0.1, n=40, name="affine", class_names=["bright", "dark"])
    timeless = [{key: part for key, part in each.values.items() if key != "provenance"} for each in (found, again)]
    assert timeless[0] == timeless[1]


def test_images_that_say_nothing_are_counted_and_named(affine):
    model, x, y = affine

    def broken(images):
        Z = model(images)
        # the third image's logits are infinite, the fourth's do not depend on it
        dark = (images.flatten(1).mean(1) - 0.2).abs() < 1e-4
        flat = (images.flatten(1).mean(1) - 0.8).abs() < 1e-4
        Z = torch.where(flat[:, None], Z.detach(), Z)
        return torch.where(dark[:, None], torch.full_like(Z, torch.inf), Z)

    values = paperlib.report(broken, x, y, eps=0.01, n=8).values
    assert (len(values["data"]["not_finite"]), len(values["data"]["no_gradient"])) == (2, 2)
    assert values["clean"]["mean"] == 75 and values["indicator"]["images"] == 4
    notes = " ".join(page._View(values, {}).notes())
    assert "2 of 8 images" in notes and "not finite" in notes


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"eps": 0}, "eps is 0; allowed is a number above 0 and at most 1"),
        ({"eps": float("nan")}, "eps is nan"),
        ({"level": "slow"}, "level is 'slow'; allowed are quick, standard, strong"),
        ({"n": 0}, "n is 0; allowed is an integer from 1 to 40"),
        ({"n": 41}, "n is 41"),
        ({"pixel_scale": 0}, "pixel_scale is 0"),
    ],
)
def test_a_wrong_argument_is_one_sentence(affine, options, said):
    with pytest.raises(InputError, match=re.escape(said)):
        paperlib.report(*affine, **{"eps": 0.1} | options)


# The page.


class Reader(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_the_page_is_one_file_and_json_holds_its_values(found, tmp_path):
    path = found.save(tmp_path / "report.html")
    text = path.read_text(encoding="utf-8")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["report.html", "report.json"]
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8")) == found.values
    read = Reader(text)
    for said in (*found.values["answer"], *found.values["not_tried"], *found.values["checks"]):
        assert said["sentence"] in read.text and said["evidence"]
    assert "prefers-color-scheme:dark" in text and "@media print" in text


def test_no_request_leaves_the_page(found):
    text = page.whole(found.values, found.pictures)
    for tag, attributes in Reader(text).tags:
        assert tag not in ("script", "link", "iframe", "object", "embed")
        for name in ("src", "href", "data", "action"):
            assert attributes.get(name, "#").startswith(("#", "data:image/png;base64,")), (tag, attributes[name][:50])
    assert re.findall(r"url\(|@import|https?://", text) == []


def test_every_picture_has_words(found):
    tags = Reader(page.whole(found.values, found.pictures)).tags
    assert all(attributes.get("alt") for tag, attributes in tags if tag == "img")
    pictures = [attributes for tag, attributes in tags if tag == "svg" and "width" in attributes and "x" not in attributes]
    assert pictures and all(each.get("aria-label") or each.get("aria-hidden") for each in pictures)
    assert sum(tag == "h1" for tag, _ in tags) == 1


def test_names_of_the_reader_s_are_escaped(affine):
    model, x, y = affine
    names = {"name": HOSTILE, "data": HOSTILE, "class_names": [HOSTILE, "b"], "command": HOSTILE, "notes": [HOSTILE]}
    found = paperlib.report(model, x, y, eps=0.1, n=12, **names)
    text = page.whole(found.values, found.pictures)
    read = Reader(text)
    assert "<script" not in text and not any("onerror" in attributes for _, attributes in read.tags)
    assert read.text.count(HOSTILE) >= 4
    assert all(attributes.get("src", "data:").startswith("data:") for _, attributes in read.tags)


def test_it_shows_itself_in_a_notebook_and_in_a_terminal(found):
    text = found._repr_html_()
    assert text.lstrip().startswith("<style>") and "<html" not in text and "<h1" not in text
    # every rule of the style stands below the page's own class
    style = re.sub(r"/\*.*?\*/", "", text[text.index("<style>") + 7 : text.index("</style>")], flags=re.DOTALL)
    selectors = [each.strip() for each in re.findall(r"([^{};]+)\{", re.sub(r"@(media|page)[^{]*\{", "", style))]
    themes = r"((html|body)\[data-[^\]]+\] )?\.plr\b"
    assert all(re.match(themes, part.strip()) for each in selectors for part in each.split(",")), selectors
    assert repr(found) == "\n".join(said["sentence"] for said in found.values["answer"])


def test_anchors_of_evidence_lead_somewhere(found):
    tags = Reader(page.whole(found.values, found.pictures)).tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    assert {attributes["href"][1:] for tag, attributes in tags if tag == "a"} <= set(ids)


def test_evidence_is_a_path_of_the_values(found):
    for said in (*found.values["answer"], *found.values["not_tried"], *found.values["checks"]):
        for path in said["evidence"]:
            node = found.values
            for key in path.split("/"):
                assert key in node, path
                node = node[key]


def test_a_wrong_file_name_is_refused(found, tmp_path):
    with pytest.raises(InputError, match=r"out is .*\.pdf; allowed is a file name that ends in \.html"):
        found.save(tmp_path / "report.pdf")


# Pictures.


def test_a_png_is_what_it_was_made_of():
    from base64 import b64decode
    from io import BytesIO

    from PIL import Image

    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    held = Image.open(BytesIO(b64decode(drawing.png(pixels).split(",")[1])))
    assert np.array_equal(np.asarray(held), pixels)


def test_the_zero_line_is_where_the_values_are_zero():
    axis = np.linspace(-1, 1, 9)
    values = axis[None, :] + 2 * axis[:, None] - 0.3
    pieces = drawing.zero_segments(values, axis)
    assert pieces and all(abs(a + 2 * b - 0.3) < 1e-12 for piece in pieces for a, b in piece)
    assert drawing.zero_segments(np.ones((9, 9)), axis) == []


def test_colours_are_white_at_zero_and_red_below():
    below, zero, above = drawing.diverging(np.array([[-1.0, 0.0, 1.0]]), 1.0)[0].astype(int)
    assert below[0] > below[2] and above[2] > above[0] and zero.min() > 240


def test_the_three_images_are_those_of_the_order_in_which_they_break():
    fallen, distance = torch.tensor([2, 0, 1, 2, 2]), torch.tensor([0.1, 0.3, 0.2, 0.4, 0.3])
    everything = torch.ones(5, dtype=torch.bool)
    assert examples.chosen(fallen, distance, everything) == {"fragile": 1, "median": 0, "robust": 3}
    assert examples.chosen(fallen, distance, everything & (fallen == 0)) == {"fragile": 1}
    assert examples.chosen(fallen, distance, ~everything) == {}


# Interruptions.


def test_an_interrupted_report_goes_on_where_it_stopped(affine, found, tmp_path, monkeypatch):
    model, x, y = affine
    calls, whole = [], cascade.worst_case

    def counted(*args, **options):
        calls.append(len(args[1]))
        return whole(*args, **options)

    def killed(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(cascade, "worst_case", counted)
    options = {"eps": 0.1, "n": 40, "name": "affine", "class_names": ["bright", "dark"], "store": tmp_path}
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(trial.evaluate, "masking", killed)
        paperlib.report(model, x, y, **options)
    done = sum(calls)
    again = paperlib.report(model, x, y, **options)
    assert (done, sum(calls)) == (40, 40)
    assert again.values["worst"] == found.values["worst"] and again.values["masking"] == found.values["masking"]


def test_what_other_code_measured_is_measured_again(affine, tmp_path, monkeypatch):
    for code in ("one", "another", "one"):
        monkeypatch.setattr(trial.fingerprint, "code_digest", lambda paths, code=code: code)
        paperlib.report(*affine, eps=0.1, n=4, store=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_another_network_or_size_has_pieces_of_its_own(affine, tmp_path):
    model, x, y = affine
    other = linear(torch.tensor([[1.0, 0, 0, 0], [0.0, 1, 0, 0]]))
    for network, eps in ((model, 0.1), (model, 0.2), (other, 0.1)):
        paperlib.report(network, x, y, eps=eps, n=4, store=tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_broken_piece_is_made_anew(tmp_path):
    pieces = Pieces(tmp_path, "a" * 64)
    assert pieces.kept("one", lambda: {"x": 1})["x"] == 1
    assert pieces.kept("one", lambda: {"x": 2})["x"] == 1
    for k, _ in enumerate(damages(pieces.folder / "one.npz"), start=3):
        assert pieces.kept("one", lambda k=k: {"x": k})["x"] == k


def test_the_time_left_follows_the_rate_that_is_seen(capsys, monkeypatch):
    monkeypatch.setattr(pieces, "time", SimpleNamespace(monotonic=iter([0.0, 0.0, 10.0, 10.0]).__next__))
    bar = Progress(shown=True)
    bar.expect(**{"worst case": 100.0, "masking": 20.0})
    assert bar.at("worst case") == 120
    assert bar.at("worst case", 0.5, "20 of 40 images") == 10 + 20
    assert bar.at("masking") == 20
    assert "report: worst case, 20 of 40 images, about 30 s left" in capsys.readouterr().err
    assert [lasting(each) for each in (4, 100, 7200)] == ["5 s", "2 min", "2.0 h"]


def test_the_images_that_fit_the_time_are_attacked(affine, monkeypatch):
    model, x, y = affine
    monkeypatch.setitem(trial.LEVELS, "quick", trial.Level(seconds=0.0, images=500, masking=50, grid=11))
    values = paperlib.report(model, x, y, eps=0.1).values
    assert values["data"]["images"] == trial.PROBE // 4 and values["question"]["n_by_time"]
    assert values["masking"] == {} and "no signs" in [each["rule"] for each in values["not_tried"]]


# The published networks.


def test_the_published_numbers_are_those_of_the_records():
    for name, table in references.TABLES.items():
        record = json.loads((ROOT / "book" / "published" / "results" / f"{table}.json").read_text(encoding="utf-8"))
        entry = references.everything()[name]
        assert (entry["sha256"], entry["images"]) == (record["data"]["sha256"], record["parameters"]["images"])
        assert entry["networks"].keys() == record["models"].keys()
        for method, network in entry["networks"].items():
            row, made = record["values"][method], record["models"][method]
            assert (network["model"], network["file_sha256"]) == (made["name"], made["sha256"])
            assert (network["clean"], network["worst"]) == (row["clean"], row["worst"])
            assert set(network["indicator"]) == set(references.PARTS)


def test_a_network_has_one_hash_wherever_it_stands(affine):
    model = affine[0]
    assert references.weights_hash(model) == references.weights_hash(torch.nn.Sequential(model))
    assert references.weights_hash(lambda x: x) is None
    assert references.of("no such data") == {}


# The command.


def test_the_command_writes_page_and_numbers(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(
        "import torch\nfrom torch import nn\n\ndef network():\n    torch.manual_seed(0)\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))\n"
    )
    out = tmp_path / "r.html"
    network = f"{tmp_path / 'mine.py'}:network"
    assert main(["report", "--network", network, "--data", "digits", "--eps", "0.1", "--n", "20", "--out", str(out)]) == 0
    said = capsys.readouterr()
    values = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    assert values["answer"][0]["sentence"] in said.out and "images" in said.err
    assert values["provenance"]["command"].startswith("paperlib report --network ") and values["data"]["images"] == 20
    assert out.is_file() and out.with_suffix(".parts").is_dir()


def test_the_command_refuses_in_one_sentence(tmp_path, capsys):
    given = ["report", "--network", "missing.py:network", "--data", "digits", "--out", str(tmp_path / "r.html")]
    assert main([*given, "--eps", "0.1"]) == 2
    assert capsys.readouterr().err.startswith("paperlib: network file missing.py does not exist")


def test_a_report_is_found_where_it_is_looked_for():
    from paperlib import report

    assert report is reporting.report
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        paperlib.nothing  # noqa: B018
