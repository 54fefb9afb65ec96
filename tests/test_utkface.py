import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agelib.datasets.utkface import GENDERS, OLDEST, RACES, parse_name


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("100_0_0_20170112213500903.jpg.chip.jpg", (100, "male", "white")),
        ("1_1_4_20161219154556757.jpg.chip.jpg", (1, "female", "other")),
        ("116_1_3_20170120134921760.jpg", (116, "female", "indian")),
        ("part1/26_1_1_20170116174525125.jpg.chip.jpg", (26, "female", "black")),
        ("9_0_2_20170110224238891.jpg.chip.jpg", (9, "male", "asian")),
    ],
)
def test_sound_names(name, labels):
    found = parse_name(name)
    assert (found["age"], found["gender"], found["race"]) == labels
    assert found["note"] == ""


@pytest.mark.parametrize(
    ("name", "labels", "note"),
    [
        ("14_0_0_2017011022340900.jpg.chip.jpg", (14, "male", "white"), "date of 16 digits"),
        ("24_0_1_20170116220224657 .jpg.chip.jpg", (24, "male", "black"), "blank"),
        ("28_1_2_201701161846515488.jpg.chip.jpg", (28, "female", "asian"), "date of 18 digits"),
        ("38_0_1_201701162330572788.jpg.chip.jpg", (38, "male", "black"), "date of 18 digits"),
        ("39_1_20170116174525125.jpg.chip.jpg", (39, "female", None), "no race"),
        ("55_0_0_20170116232725357jpg.chip.jpg", (55, "male", "white"), "ending"),
        ("61_1_20170109142408075.jpg.chip.jpg", (61, "female", None), "no race"),
        ("61_1_20170109150557335.jpg.chip.jpg", (61, "female", None), "no race"),
    ],
)
def test_the_malformed_names_of_utkface(name, labels, note):
    found = parse_name(name)
    assert (found["age"], found["gender"], found["race"]) == labels
    assert note in found["note"]


@pytest.mark.parametrize(
    "name",
    [
        "_0_1_20170116220224657.jpg.chip.jpg",
        "-5_0_1_20170116220224657.jpg.chip.jpg",
        "x_0_1_20170116220224657.jpg.chip.jpg",
        "300_0_1_20170116220224657.jpg.chip.jpg",
        "²_0_1_20170116220224657.jpg.chip.jpg",
        "٣_0_1_20170116220224657.jpg.chip.jpg",
        "portrait.jpg",
        "25.jpg",
        "",
    ],
)
def test_names_without_an_age_say_so(name):
    found = parse_name(name)
    assert found["age"] is None
    assert "no age" in found["note"]


def test_impossible_labels_are_not_guessed():
    found = parse_name("30_2_7_20170116220224657.jpg.chip.jpg")
    assert (found["age"], found["gender"], found["race"]) == (30, None, None)
    assert found["note"] == "no gender, no race"


@given(st.text() | st.from_regex(r"[0-9_ ]{0,9}_[0-9]{15,19}.{0,5}\.jpg", fullmatch=True))
@example("1_1_1_1_20170116220224657.jpg")
@example("30_0_0_20170116220224657.jpg.chip.jpg\n")
def test_any_text_is_read_without_an_error(name):
    found = parse_name(name)
    assert found["age"] is None or 0 <= found["age"] <= OLDEST
    assert found["gender"] in (None, *GENDERS)
    assert found["race"] in (None, *RACES)
    assert "; " not in found["note"]
    if None in (found["age"], found["gender"], found["race"]):
        assert found["note"]
