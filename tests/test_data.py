"""Splits, archives and downloads; every wrong archive meets one sentence that names it."""

import pickle
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from toys import write_archive

from paperlib import data, files
from paperlib.data import DataError, load


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    """No data set remembered from another test, and none of the reader's own."""
    monkeypatch.setenv("PAPERLIB_DATA", str(tmp_path))
    load.cache_clear()
    yield
    load.cache_clear()


def archive(path, **changes) -> str:
    write_archive(path, **changes)
    return str(path)


# Embedded data.


def rows(split) -> set:
    return {image.numpy().tobytes() for image in split.x}


def test_digits_are_scikit_learns_in_three_disjoint_splits():
    digits = load("digits")
    assert (len(digits.train), len(digits.validation), len(digits.test)) == (1197, 150, 450)
    assert digits.shape == (1, 28, 28) and digits.classes == 10 and digits.pixel_scale == 1
    assert digits.train.x.dtype == torch.float32 and digits.train.y.dtype == torch.int64
    assert digits.train.x.min() == 0 and digits.train.x.max() == 1
    assert not rows(digits.train) & rows(digits.test)
    assert not rows(digits.train) & rows(digits.validation)
    assert not rows(digits.validation) & rows(digits.test)


@pytest.mark.parametrize("name", ["digits", "digits-rgb"])
def test_every_split_has_the_classes_in_proportion(name):
    dataset = load(name)
    whole = torch.bincount(torch.cat([dataset.train.y[:1197], dataset.validation.y, dataset.test.y])) / 1797
    for split in (dataset.train, dataset.validation, dataset.test):
        assert float((torch.bincount(split.y) / len(split) - whole).abs().max()) < 0.01


def test_digits_show_the_label_they_carry():
    from sklearn.datasets import load_digits

    raw, digits = load_digits(), load("digits")
    small = torch.nn.functional.interpolate(digits.test.x, size=(8, 8), mode="area").flatten(1)
    originals = torch.from_numpy(raw.images).float().flatten(1) / 16
    nearest = torch.cdist(small, originals).argmin(1)
    assert torch.equal(torch.from_numpy(raw.target)[nearest], digits.test.y)


def test_digits_rgb_is_the_same_on_every_machine():
    dataset = load("digits-rgb")
    assert (len(dataset.train) % 1197, len(dataset.validation), len(dataset.test)) == (0, 150, 450)
    assert dataset.shape == (3, 32, 32) and dataset.pixel_scale == 255
    assert torch.equal(dataset.train.y[:1197], dataset.train.y[1197:2394])
    assert not torch.equal(dataset.train.x[:1197], dataset.train.x[1197:2394])  # another background
    load.cache_clear()
    again = load("digits-rgb")
    assert torch.equal(again.train.x, dataset.train.x) and again.sha256 == dataset.sha256
    assert torch.equal((255 * dataset.test.x).round() / 255, dataset.test.x)


def test_sizes_are_converted_by_the_pixel_scale():
    assert load("digits").to_input(0.3) == 0.3
    assert load("digits-rgb").to_input(51) == 0.2


def test_held_out_images_are_stratified_fixed_and_complete():
    y = torch.from_numpy(np.repeat([0, 1, 2], [60, 30, 10]))
    kept, held_out = data._stratified(y, 20)
    assert torch.bincount(y[held_out]).tolist() == [12, 6, 2]
    assert torch.cat([kept, held_out]).sort().values.tolist() == list(range(100))
    assert torch.equal(data._stratified(y, 20)[1], held_out)
    assert not torch.equal(data._stratified(y, 20, seed=1)[1], held_out)


def test_the_first_images_and_their_number():
    split = load("digits").test
    assert torch.equal(split.first(3).x, split.x[:3]) and torch.equal(split.first(3).y, split.y[:3])
    assert len(split.first(None)) == 450
    for n in (0, 451):
        with pytest.raises(DataError, match=f"^n is {n}; allowed are 1 to 450 images$"):
            split.first(n)


# Archives.


def test_an_archive_by_path(tmp_path):
    arrays = write_archive(tmp_path / "mine.npz")
    dataset = load(str(tmp_path / "mine.npz"))
    assert dataset.name == "mine" and dataset.classes == 4 and dataset.pixel_scale == 1
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (36, 4, 40)
    assert torch.equal(dataset.test.x[:, 0], torch.from_numpy(arrays["x_test"]).float() / 255)
    assert dataset.test.y.tolist() == arrays["y_test"].tolist()


def test_the_hash_covers_every_pixel_and_label(tmp_path):
    arrays = write_archive(tmp_path / "a.npz")
    hashes = {load(archive(tmp_path / "a.npz")).sha256}
    assert load(archive(tmp_path / "same.npz")).sha256 in hashes
    for key in data.KEYS:
        changed = arrays[key].copy()
        changed.flat[-1] ^= 1
        hashes.add(load(archive(tmp_path / f"{key}.npz", **{key: changed})).sha256)
    assert len(hashes) == 5


def test_floats_are_taken_as_they_are_and_labels_may_be_a_column(tmp_path):
    x = np.random.default_rng(0).random((40, 8, 8, 3))
    y = np.arange(40, dtype=np.uint8)[:, None] % 4
    dataset = load(archive(tmp_path / "colour.npz", x_train=x, x_test=x, y_train=y, y_test=y))
    assert dataset.pixel_scale == 255 and dataset.shape == (3, 8, 8)
    assert torch.equal(dataset.test.x, torch.from_numpy(x).float().permute(0, 3, 1, 2))
    assert dataset.test.y.tolist() == y[:, 0].tolist()


def test_floats_and_labels_of_another_byte_order(tmp_path):
    x, y = np.random.default_rng(0).random((40, 8, 8)), np.arange(40) % 4
    swapped = {"x_train": x.astype(">f8"), "x_test": x.astype(">f4"), "y_train": y.astype(">i8"), "y_test": y.astype(">i2")}
    dataset = load(archive(tmp_path / "swapped.npz", **swapped))
    assert torch.equal(dataset.test.x[:, 0], torch.from_numpy(x).float()) and dataset.test.y.tolist() == y.tolist()


def test_a_relative_path_counts_from_here_or_else_from_the_top_folder(tmp_path, monkeypatch):
    here, top = tmp_path / "here", tmp_path / "top"
    for folder, n in ((here, 40), (top, 44)):
        folder.mkdir()
        write_archive(folder / "mine.npz", n)
    monkeypatch.setattr(files, "HERE", top)
    monkeypatch.chdir(here)
    assert len(load("mine.npz").test) == 40
    (here / "mine.npz").unlink()
    load.cache_clear()
    assert len(load("mine.npz").test) == 44


def test_an_archive_by_path_may_bear_an_official_name(tmp_path):
    dataset = load(archive(tmp_path / "mnist.npz"))
    assert (len(dataset.train), len(dataset.validation)) == (36, 4)


def official(n: int) -> dict:
    x, y = np.zeros((n, 28, 28), np.uint8), np.arange(n) % 10
    return {"x_train": x, "y_train": y, "x_test": x[:20], "y_test": y[:20]}


def test_mnist_comes_from_the_folder_that_the_environment_names(tmp_path, monkeypatch):
    folder = tmp_path / "a folder"
    folder.mkdir()
    np.savez(folder / "mnist.npz", **official(420))
    monkeypatch.setenv("PAPERLIB_DATA", str(folder))
    monkeypatch.setitem(data.PUBLIC, "mnist", replace(data.PUBLIC["mnist"], held_out=40))
    dataset = load("mnist")
    assert dataset.name == "mnist" and dataset.shape == (1, 28, 28) and dataset.classes == 10
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (380, 40, 20)
    assert torch.bincount(dataset.validation.y).tolist() == [4] * 10


def test_a_small_official_archive_keeps_images_to_train_on(tmp_path):
    np.savez(tmp_path / "mnist.npz", **official(120))
    dataset = load("mnist")
    assert (len(dataset.train), len(dataset.validation)) == (108, 12)


class Downloaded:
    """What torchvision's loaders give."""

    def __init__(self, folder, *, train, download):
        assert download
        n = 120 if train else 20
        self.data, self.targets = torch.zeros(n, 28, 28, dtype=torch.uint8), torch.arange(n) % 10


def test_without_an_archive_torchvision_downloads(monkeypatch):
    from torchvision import datasets

    monkeypatch.setattr(datasets, "MNIST", Downloaded)
    dataset = load("mnist")
    assert len(dataset.test) == 20 and dataset.test.y[:3].tolist() == [0, 1, 2]


@pytest.mark.parametrize("error", [RuntimeError("no server answered"), OSError("no server answered")])
@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_a_failed_download_says_how_to_get_the_data(name, error, monkeypatch):
    from torchvision import datasets

    def fails(*_, **__):
        raise error

    monkeypatch.setattr(datasets, {"mnist": "MNIST", "cifar10": "CIFAR10"}[name], fails)
    with pytest.raises(DataError) as caught:
        load(name)
    assert str(caught.value) == (
        f"{name} is not at hand and its download failed (no server answered); put {name}.npz with x_train, y_train, "
        "x_test, y_test into a folder and name that folder in PAPERLIB_DATA"
    )


# Sentences.


def test_an_unknown_name():
    with pytest.raises(DataError) as caught:
        load("imagenet")
    assert str(caught.value) == (f"data is 'imagenet'; allowed are {', '.join(data.SETS)}, or the path of an .npz archive")


def test_a_missing_archive(tmp_path):
    with pytest.raises(DataError) as caught:
        load(str(tmp_path / "none.npz"))
    assert str(caught.value) == (
        f"data archive {tmp_path}/none.npz does not exist; allowed is a path from here or from the top folder"
    )


X8 = np.zeros((40, 8, 8), np.uint8)
XF = np.zeros((40, 8, 8))


def spoiled(value) -> np.ndarray:
    x = XF.copy()
    x[3, 2, 1] = value
    return x


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"y_train": None, "x_test": None}, "{path} lacks y_train, x_test; an archive holds x_train, y_train, x_test, "
         "y_test"),
        ({"x_train": XF[..., None, None]}, "x_train of {path} has shape (40, 8, 8, 1, 1); allowed is (n, h, w), "
         "(n, h, w, 1) or (n, h, w, 3)"),
        ({"x_test": np.zeros((40, 8, 8, 4))}, "x_test of {path} has shape (40, 8, 8, 4); allowed is (n, h, w), "
         "(n, h, w, 1) or (n, h, w, 3)"),
        ({"x_train": X8.astype(np.int32)}, "x_train of {path} has dtype int32; allowed are uint8, or floats in [0, 1]"),
        ({"x_train": spoiled(np.nan)}, "x_train of {path} holds NaN or infinity; allowed are floats in [0, 1]"),
        ({"x_test": spoiled(np.inf)}, "x_test of {path} holds NaN or infinity; allowed are floats in [0, 1]"),
        ({"x_train": spoiled(255.0)}, "x_train of {path} spans [0, 255]; allowed are floats in [0, 1]"),
        ({"x_train": spoiled(-0.5)}, "x_train of {path} spans [-0.5, 0]; allowed are floats in [0, 1]"),
        ({"x_train": spoiled(1.0000002)}, "x_train of {path} spans [0, 1.0000002]; allowed are floats in [0, 1]"),
        ({"x_test": np.zeros((40, 8, 8, 3), np.uint8)}, "{path} has training images of shape (8, 8, 1) and test images "
         "of shape (8, 8, 3); allowed is one shape (height, width, channels)"),
        ({"y_train": np.zeros(40)}, "y_train of {path} has shape (40,) and dtype float64; allowed are integers of shape "
         "(n,)"),
        ({"y_test": np.zeros((40, 10), int)}, "y_test of {path} has shape (40, 10) and dtype int64; allowed are integers "
         "of shape (n,)"),
        ({"y_train": np.arange(40) % 4 - 1}, "y_train of {path} holds the label -1; allowed are labels 0..K-1"),
        ({"y_test": np.full(40, 7)}, "y_test of {path} reaches 7; allowed are labels 0..3"),
        ({"y_train": np.zeros(39, int)}, "{path} has 40 images and 39 labels in train; allowed is one label an image"),
        ({"x_test": X8[:0], "y_test": np.zeros(0, int)}, "{path} has 0 images and 0 labels in test; allowed is one label "
         "an image"),
    ],
)  # fmt: skip
def test_a_malformed_archive(tmp_path, changes, sentence):
    path = tmp_path / "bad.npz"
    with pytest.raises(DataError) as caught:
        load(archive(path, **changes))
    assert str(caught.value) == sentence.format(path=path)


def test_a_single_training_image_cannot_be_held_out_as_well(tmp_path):
    with pytest.raises(DataError) as caught:
        load(archive(tmp_path / "one.npz", x_train=X8[:1], y_train=np.zeros(1, int), y_test=np.zeros(40, int)))
    assert str(caught.value) == "one has 1 training image; allowed are at least 2, one of them held out"
    pair = {"x_train": X8[:2], "y_train": np.zeros(2, int), "y_test": np.zeros(40, int)}
    dataset = load(archive(tmp_path / "two.npz", **pair))
    assert (len(dataset.train), len(dataset.validation)) == (1, 1)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"x_train": X8, "x_test": X8}, "mnist has images of shape (8, 8, 1); allowed is (28, 28, 1)"),
        ({"x_train": np.zeros((40, 28, 28)), "x_test": np.zeros((40, 28, 28))},
         "y_train of mnist reaches 3; allowed are labels 0..9"),
    ],
)  # fmt: skip
def test_an_archive_that_is_not_mnist(tmp_path, changes, sentence):
    write_archive(tmp_path / "mnist.npz", **changes)
    with pytest.raises(DataError) as caught:
        load("mnist")
    assert str(caught.value) == sentence


class Harm:
    """Unpickling this writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_pickled_objects_are_refused_and_never_run(tmp_path):
    harmed = tmp_path / "harmed"
    objects = np.array([Harm(harmed)] * 40, dtype=object)
    with pytest.raises(DataError, match="^.*bad.npz is not a readable .npz archive of plain arrays"):
        load(archive(tmp_path / "bad.npz", x_train=objects))
    (tmp_path / "pickle.npz").write_bytes(pickle.dumps(Harm(harmed)))
    with pytest.raises(DataError, match="^.*pickle.npz is not a readable .npz archive of plain arrays"):
        load(str(tmp_path / "pickle.npz"))
    assert not harmed.exists()


def test_an_archive_whose_members_are_no_arrays(tmp_path):
    path = tmp_path / "bad.npz"
    with zipfile.ZipFile(path, "w") as opened:
        for key in data.KEYS:
            opened.writestr(f"{key}.npy", "0 1 2")
    with pytest.raises(DataError, match="^.*bad.npz is not a readable .npz archive of plain arrays"):
        load(str(path))


@pytest.mark.parametrize("damage", ["empty", "text", "truncated", "flipped", "single array"])
def test_a_broken_archive(tmp_path, damage):
    path = tmp_path / "bad.npz"
    arrays = write_archive(path)
    content = path.read_bytes()
    if damage == "flipped":
        np.savez_compressed(path, **arrays)
        with zipfile.ZipFile(path) as opened:
            at = opened.getinfo("x_train.npy").header_offset + 60
        content = bytearray(path.read_bytes())
        content[at : at + 40] = bytes(40)
    path.write_bytes({"empty": b"", "text": b"x_train", "truncated": content[: len(content) // 2]}.get(damage, content))
    if damage == "single array":
        with path.open("wb") as stream:
            np.save(stream, X8)
    with pytest.raises(DataError) as caught:
        load(str(path))
    assert str(caught.value).startswith(f"{path} is not a readable .npz archive of plain arrays (")
