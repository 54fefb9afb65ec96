"""Shipping: what the facts say, by hand, and a card that follows from them."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from agelib import cli, manifests, shipping
from agelib.card import model_card
from agelib.experiment import Experiment, Recipe
from agelib.files import DataError
from agelib.models import build
from agelib.records import write_record
from agelib.shipped import load_shipped, shipped_folder


def predictions(n=2000):
    """Ages spread around 40 by 6 years, for each of which a bell of 9 years is claimed."""
    ages = np.random.default_rng(0).normal(40, 6, n).round().astype(int)
    bell = np.exp(-0.5 * ((np.arange(101) - 40) / 9) ** 2)
    shares = np.tile(bell / bell.sum(), (n, 1))
    table = pd.DataFrame({f"p{k}": shares[:, k] for k in range(101)})
    return table.assign(
        file=[f"{number:04}.jpg" for number in range(n)], age=ages, true=ages, predicted=40,
        expected_age=40.0, female=np.arange(n) % 2, p_female=0.9,
    )  # fmt: skip


def test_the_interval_is_made_to_hold_what_it_says():
    facts = shipping.calibrated(predictions())
    # 80 % of the ages lie within 8 whole years of 40, where the claimed bell has a fifth left
    # at each end: 0.202 below 32.5. With a tenth left it would be 12 years, or 96 %.
    assert facts["tail"] == pytest.approx(0.202, abs=0.002)
    assert facts["years"] == 16
    assert facts["coverage"]["value"] == pytest.approx(0.843, abs=0.02)
    assert facts["coverage"]["low"] < facts["coverage"]["value"] < facts["coverage"]["high"]
    assert facts["uncalibrated"]["value"] == pytest.approx(0.963, abs=0.01)
    assert facts["coverage"]["n"] == 2000


def test_groups_by_hand():
    table = predictions(n=4).assign(
        age=[25, 31, 95, 38], expected_age=30.0, p_female=[0.9, 0.9, 0.1, 0.1]
    )
    catalog = pd.DataFrame(
        {"file": table["file"], "gender": ["male", "female"] * 2, "race": ["white"] * 4}
    )
    rows = {(row["group"], row["value"]): row for row in shipping.by_group(table, catalog)}
    assert list(rows) == [
        ("age", "20 to 29"), ("age", "30 to 39"), ("age", "90 and older"),
        ("gender", "female"), ("gender", "male"), ("race", "white"),
    ]  # fmt: skip
    assert rows["age", "30 to 39"]["mae"]["value"] == 4.5  # (1 + 8) / 2
    assert rows["age", "90 and older"]["mae"]["value"] == 65
    assert rows["gender", "female"]["gender_accuracy"]["value"] == 0.5  # 0.9 right, 0.1 wrong
    assert rows["race", "white"]["n"] == 4


@pytest.fixture
def record(tmp_path, monkeypatch):
    experiment = Experiment(
        number="1.0", name="Tiny", chapter="10-al-resnet", architecture="residual",
        options={"widths": (4,)}, labels="per-year-101", head="distribution", gender=1.0,
        dataset="utkface", protocol="utkface-5fold", fold=0, image_size=16,
        recipe=Recipe(epochs=1, precision="mixed_bfloat16"),
    )  # fmt: skip
    folder = tmp_path / "utkface" / "10-al-resnet" / experiment.slug
    table = predictions()
    summary = {
        "experiment": experiment.describe(), "parameters": 1234, "created": "2026-01-02",
        "hardware": "2 x some core", "versions": {"keras": "3.15", "tensorflow": "2.21"},
        "split": {"training": 700, "validation": 300, "test": 2000}, "metrics": {},
    }  # fmt: skip
    history = pd.DataFrame({"loss": [1.0]}, index=pd.Index([1], name="epoch"))
    write_record(folder, summary, history, table)
    build(experiment).save(folder / "model.keras")
    catalog = pd.DataFrame({"file": table["file"], "gender": "female", "race": "asian"})
    monkeypatch.setattr(manifests, "load_manifest", lambda name: catalog)
    monkeypatch.setenv("AGELIB_DATASETS", str(tmp_path / "no-images"))
    return folder


def described(record, **changes):
    """Change what a record says of its experiment."""
    summary = json.loads((record / "record.json").read_text())
    summary["experiment"] |= changes
    (record / "record.json").write_text(json.dumps(summary))
    return Experiment.from_description(summary["experiment"])


def test_a_record_becomes_the_shipped_network(record, tmp_path, monkeypatch, capsys):
    target = tmp_path / "shipped"
    monkeypatch.setattr(shipping, "shipped_folder", lambda: target)
    assert cli.main(["ship", str(record)]) == 0
    error = np.abs(predictions()["age"] - 40).mean()
    assert f"MAE {error:.2f} [" in capsys.readouterr().out
    network, facts = load_shipped(target)
    assert network.input_shape == (None, 16, 16, 3)
    assert {layer.dtype_policy.name for layer in network.layers} == {"float32"}
    assert facts["metrics"]["mae"]["value"] == pytest.approx(error, abs=1e-4)
    assert facts["float32"] is None  # no images here
    assert facts["all_folds"] is None  # four folds have no record
    card = (target / "README.md").read_text()
    assert card == model_card(facts)
    assert f"| **all** | 2,000 | {error:.2f} [" in card
    assert "700 images for training" in card
    assert max(map(len, card.splitlines())) < 140


def test_a_network_too_large_is_not_shipped(record, tmp_path, monkeypatch):
    monkeypatch.setattr(shipping, "LARGEST", 1000)
    with pytest.raises(DataError, match="at most 0 MB are shipped"):
        shipping.ship(record, tmp_path / "shipped")
    assert not list((tmp_path / "shipped").iterdir())


def test_only_years_and_gender_are_shipped(record, tmp_path):
    described(record, gender=0.0)
    with pytest.raises(DataError, match=r"only a network of one class a year"):
        shipping.ship(record, tmp_path / "shipped")


@pytest.mark.parametrize("head", ["or-cnn", "coral", "corn"])
def test_answers_to_questions_are_not_shipped_as_a_distribution(record, tmp_path, head):
    described(record, head=head)
    with pytest.raises(DataError, match=f"head '{head}' answers questions"):
        shipping.ship(record, tmp_path / "shipped")


def test_another_data_set_is_not_shipped_under_the_card_of_utkface(record, tmp_path):
    described(record, dataset="folder")
    with pytest.raises(DataError, match="trained on folder, and the model card speaks of UTKFace"):
        shipping.ship(record, tmp_path / "shipped")


@pytest.mark.parametrize(
    ("init", "options", "start"),
    [
        (None, {}, "random"),
        (None, {"weights": None}, "random"),
        (None, {"weights": "imagenet"}, "ImageNet"),
        ({"number": "1.0"}, {"weights": "imagenet"}, "an earlier phase's"),
    ],
)
def test_the_card_says_what_the_network_started_from(init, options, start):
    _, facts = load_shipped()
    facts = facts | {"experiment": facts["experiment"] | {"init": init, "options": options}}
    assert f"from {start} weights" in " ".join(model_card(facts).split())


def test_race_is_not_shipped(record, tmp_path):
    build(described(record, race=0.2)).save(record / "model.keras")
    facts = shipping.ship(record, tmp_path / "shipped")
    network, _ = load_shipped(tmp_path / "shipped")
    assert set(network.output) == {"age", "gender"}
    assert "race" not in {layer.name for layer in network.layers}
    assert facts["parameters"] == network.count_params()


def test_a_network_of_other_ages_than_the_record_is_not_shipped(record, tmp_path, monkeypatch):
    gap = {"n": 500, "mean": 3.1, "most": 20.0}
    monkeypatch.setattr(shipping, "_agreement", lambda *_: gap)
    with pytest.raises(DataError, match=r"ages of its network are 3\.1 years from"):
        shipping.ship(record, tmp_path / "shipped")
    assert not (tmp_path / "shipped").exists()


def test_the_committed_card_follows_from_the_committed_facts():
    folder = shipped_folder()
    _, facts = load_shipped()
    assert (folder / "README.md").read_text(encoding="utf-8") == model_card(facts)
    assert (folder / facts["network"]["file"]).stat().st_size <= shipping.LARGEST
    assert facts["interval"]["coverage"]["low"] <= 0.8 <= facts["interval"]["coverage"]["high"]
