"""Class folders: complete, resumable, and careful with what is there already."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agelib.files import DataError
from agelib.labels import SCHEMES, get_scheme
from agelib.protocols import PARTS, Split, class_counts
from agelib.restructure import plan, restructure

AGES = [5] * 12 + [15] * 6 + [25] * 9 + [75] * 3


@pytest.fixture
def catalog():
    files = [f"{age:02d}_0_0_{row:02d}.jpg" for row, age in enumerate(AGES)]
    files[1] = "05_0_0_00b/sub/face.jpg"
    return pd.DataFrame({"file": files, "age": pd.array(AGES, dtype="Int64")})


@pytest.fixture
def split():
    parts = np.arange(len(AGES)) % 3
    return Split("test", None, *(np.flatnonzero(parts == part) for part in range(3)), "")


@pytest.fixture
def source(catalog, tmp_path):
    folder = tmp_path / "images"
    for file in catalog["file"]:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(file.encode())
    return folder


@pytest.fixture
def links(catalog, split):
    return plan(catalog, split, get_scheme("decades-7"))


def files_in(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_the_plan_names_part_and_class_of_each_image(links):
    assert links.columns.tolist() == ["file", "part", "class_name"]
    table = pd.crosstab(links["class_name"], links["part"])[list(PARTS)]
    assert table.index.tolist() == ["01-10", "11-20", "21-30"]  # 75 has no class
    assert table.to_numpy().tolist() == [[4] * 3, [2] * 3, [3] * 3]
    assert links["part"].unique().tolist() == list(PARTS)


@pytest.mark.parametrize("name", [name for name in SCHEMES if name != "age"])
def test_every_scheme_has_folders(catalog, split, name):
    scheme = get_scheme(name)
    made = plan(catalog, split, scheme)
    labels = dict(zip(catalog["file"], scheme.encode(catalog["age"]), strict=True))
    assert [scheme.folder_names[labels[file]] for file in made["file"]] == list(made["class_name"])
    assert len(made) == sum(label >= 0 for label in labels.values())


@pytest.mark.parametrize("rule", ["first", "random"])
def test_undersampling_balances_the_training_part_alone(catalog, split, links, rule):
    made = plan(catalog, split, get_scheme("decades-7"), undersample=rule)
    table = pd.crosstab(made["class_name"], made["part"])[list(PARTS)]
    assert table.to_numpy().tolist() == [[2, 4, 4], [2, 2, 2], [2, 3, 3]]
    training = made[made["part"] == "training"]["file"]
    assert set(training) <= set(links["file"]) and training.is_monotonic_increasing
    first = links[links["part"] == "training"].groupby("class_name")["file"].head(2)
    assert (set(training) == set(first)) == (rule == "first")


def test_random_undersampling_follows_the_random_state(catalog, split):
    def drawn(state):
        made = plan(catalog, split, get_scheme("decades-7"), undersample="random", state=state)
        return tuple(made["file"])

    assert drawn(1) == drawn(1)
    assert len({drawn(state) for state in range(8)}) > 1


def test_plans_without_classes_or_rule_are_refused(catalog, split):
    with pytest.raises(ValueError, match="'age' has no classes"):
        plan(catalog, split, get_scheme("age"))
    with pytest.raises(ValueError, match="undersample is 'last'"):
        plan(catalog, split, get_scheme("decades-7"), undersample="last")


def test_images_are_linked_and_a_second_run_changes_nothing(links, source, tmp_path):
    target = tmp_path / "new" / "classes"
    done = restructure(links, source, target)
    assert (done.linked, done.copied, done.present, done.missing) == (27, 0, 0, ())
    assert done.counts.to_numpy().tolist() == [[4] * 3, [2] * 3, [3] * 3]
    assert done.counts.columns.tolist() == list(PARTS)
    assert (target / "training/01-10/05_0_0_00.jpg").samefile(source / "05_0_0_00.jpg")
    before = {path: os.stat(target / path).st_mtime_ns for path in files_in(target)}
    again = restructure(links, source, target)
    assert (again.linked, again.copied, again.present) == (0, 0, 27)
    assert again.counts.equals(done.counts)
    assert before == {path: os.stat(target / path).st_mtime_ns for path in files_in(target)}
    assert len(before) == 27


def test_copies_where_links_fail(links, source, tmp_path, monkeypatch):
    def no_link(*_, **__):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", no_link)
    target = tmp_path / "classes"
    done = restructure(links, source, target)
    assert (done.linked, done.copied) == (0, 27)
    copy = target / "training/01-10/05_0_0_00.jpg"
    assert copy.read_bytes() == b"05_0_0_00.jpg"
    assert not copy.samefile(source / "05_0_0_00.jpg")
    assert restructure(links, source, target).present == 27
    assert len(files_in(target)) == 27


def test_interrupted_work_is_taken_up(links, source, tmp_path, monkeypatch):
    link, calls = os.link, []

    def stop_at_ten(*args):
        calls.append(args)
        if len(calls) > 10:
            raise KeyboardInterrupt
        link(*args)

    monkeypatch.setattr(os, "link", stop_at_ten)
    with pytest.raises(KeyboardInterrupt):
        restructure(links, source, tmp_path / "classes")
    monkeypatch.setattr(os, "link", link)
    (tmp_path / "classes/training/01-10/.abc.partial-x.jpg").write_bytes(b"half")
    done = restructure(links, source, tmp_path / "classes")
    assert (done.linked, done.present) == (17, 10)


def test_symbolic_links_are_followed(links, source, tmp_path):
    image = source / "05_0_0_00.jpg"
    image.rename(tmp_path / "elsewhere.jpg")
    image.symlink_to("../elsewhere.jpg")
    restructure(links, source, tmp_path / "classes")
    place = tmp_path / "classes/training/01-10/05_0_0_00.jpg"
    assert place.samefile(tmp_path / "elsewhere.jpg") and not place.is_symlink()
    assert restructure(links, source, tmp_path / "classes").present == 27


def test_images_that_disappeared_are_listed(links, source, tmp_path, monkeypatch):
    gone = links["file"].iloc[3]
    (source / gone).unlink()
    vanishing = links["file"].iloc[20]
    link = os.link

    def vanish(image, place):
        if Path(image).name == vanishing:
            Path(image).unlink()
        link(image, place)

    monkeypatch.setattr(os, "link", vanish)
    done = restructure(links, source, tmp_path / "classes")
    assert done.missing == (gone, vanishing)
    assert done.linked == done.counts.to_numpy().sum() == 25


def test_another_process_may_be_faster(links, source, tmp_path, monkeypatch):
    link = os.link

    def overtaken(image, place):
        link(image, place)
        link(image, place)

    monkeypatch.setattr(os, "link", overtaken)
    assert restructure(links, source, tmp_path / "classes").present == 27


def test_nothing_of_the_users_is_touched(links, source, tmp_path):
    target = tmp_path / "classes"
    mine = target / "training" / "01-10" / "mine.jpg"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with pytest.raises(DataError, match=r"1 files that the plan does not name.*01-10/mine\.jpg"):
        restructure(links, source, target)
    assert files_in(target) == ["training/01-10/mine.jpg"]
    mine.rename(mine.with_name("05_0_0_00.jpg"))
    with pytest.raises(DataError, match=r"05_0_0_00\.jpg exists and is not .*move it away"):
        restructure(links, source, target)
    assert mine.with_name("05_0_0_00.jpg").read_bytes() == b"mine"
    mine.with_name("05_0_0_00.jpg").rename(target / "notes.txt")
    restructure(links, source, target)
    assert (target / "notes.txt").read_bytes() == b"mine"


def test_another_plan_does_not_mix_with_the_first(catalog, split, links, source, tmp_path):
    restructure(links, source, tmp_path / "classes")
    other = plan(catalog, split, get_scheme("uneven-8"))
    with pytest.raises(DataError, match="choose another target or remove that folder"):
        restructure(other, source, tmp_path / "classes")


def test_bad_folders_are_refused(links, source, tmp_path, monkeypatch):
    with pytest.raises(DataError, match="nowhere does not exist; place the images there"):
        restructure(links, tmp_path / "nowhere", tmp_path / "classes")
    with pytest.raises(DataError, match="lies inside the image folder"):
        restructure(links, source, source / "classes")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot write into .*choose a folder that you may write"):
        restructure(links, source, tmp_path / "file" / "classes")

    def read_only(self, *_, **__):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", read_only)
    with pytest.raises(DataError, match=r"cannot write into .*classes: Permission denied"):
        restructure(links, source, tmp_path / "classes")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_a_read_only_folder_is_refused(links, source, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(DataError, match="Permission denied"):
        restructure(links, source, tmp_path / "locked" / "classes")


@pytest.mark.parametrize("file", ["../1.jpg", "/1.jpg", "a/../../1.jpg", ""])
def test_names_that_leave_the_image_folder_are_refused(source, tmp_path, file):
    one = pd.DataFrame({"file": [file], "part": ["test"], "class_name": ["01-10"]}, dtype="str")
    with pytest.raises(DataError, match="leaves the image folder"):
        restructure(one, source, tmp_path / "classes")


def test_names_that_differ_in_case_alone_are_refused(source, tmp_path):
    names = pd.DataFrame({"file": ["A.jpg", "a.jpg"], "part": "test", "class_name": "01-10"})
    with pytest.raises(DataError, match=r"share one name: A\.jpg, a\.jpg"):
        restructure(names, source, tmp_path / "classes")


segment = st.text("ab_-", min_size=1, max_size=3)


@settings(max_examples=25, deadline=None)
@given(
    folders=st.lists(st.lists(segment, max_size=2), min_size=1, max_size=8),
    names=st.lists(segment, min_size=8, max_size=8),
)
def test_images_in_folders_never_collide(folders, names, tmp_path_factory):
    root = tmp_path_factory.mktemp("flat")
    pairs = zip(folders, names, strict=False)
    files = sorted({"/".join([*("d" + part for part in f), n + ".jpg"]) for f, n in pairs})
    for file in files:
        path = root / "images" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file)
    made = pd.DataFrame({"file": files, "part": "test", "class_name": "01-10"}, dtype="str")
    assert restructure(made, root / "images", root / "classes").linked == len(files)
    laid = files_in(root / "classes" / "test" / "01-10")
    assert sorted((root / "classes/test/01-10" / name).read_text() for name in laid) == files


def test_a_class_without_images_keeps_its_folder_and_its_number(tmp_path):
    ages = [5] * 6 + [25] * 6 + [35] * 3  # nobody of 11 to 20, nobody of 31 to 40 to test on
    files = [f"{row:02}.jpg" for row in range(len(ages))]
    table = pd.DataFrame({"file": files, "age": pd.array(ages, dtype="Int64")})
    parts = np.array([0, 1, 2] * 4 + [0, 0, 1])
    split = Split("test", None, *(np.flatnonzero(parts == part) for part in range(3)), "")
    scheme = get_scheme("decades-7")
    counts = class_counts(table, split, scheme)
    assert counts.loc["11-20"].tolist() == [0, 0, 0] and counts.loc["31-40"].tolist() == [2, 1, 0]
    for name in files:
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / name).write_bytes(name.encode())
    done = restructure(plan(table, split, scheme), tmp_path / "images", tmp_path / "classes")
    # Programs number classes by the folders they find: all parts must have the same.
    found = [sorted(os.listdir(tmp_path / "classes" / part)) for part in split.parts()]
    assert found == [["01-10", "21-30", "31-40"]] * 3
    assert done.counts.loc["31-40"].tolist() == [2, 1, 0]
