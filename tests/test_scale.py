"""Preparing many images: memory that does not grow with them, and going on after a kill."""

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from agelib import conversion, near_duplicates, paths, reading, store_writer
from agelib.catalog import list_images
from agelib.datasets.source import Source
from agelib.datasets.utkface import parse_name
from agelib.files import FolderGoneError
from agelib.manifests import read_manifest
from agelib.store import open_store

CONVERT = """
    import re, sys
    from pathlib import Path
    from agelib.catalog import list_images
    from agelib.datasets.source import Source
    from agelib.datasets.utkface import parse_name
    from agelib.conversion import convert

    folder, place = map(Path, sys.argv[1:])
    convert(
        folder, Source(list_images(folder), parse_name), manifest=place / "manifest.csv",
        store=place / "store.h5", dataset="drawn", licence="", size=16, jobs=1, resume=True,
        progress=lambda *done: print(*done, flush=True),
    )
    # Of this program alone: what `getrusage` says begins with the size of the one that started it.
    print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


def written(folder, n):
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(n):
        noise = rng.integers(0, 255, (5, 5, 3), dtype=np.uint8)
        name = f"{1 + index % 90}_0_0_{20170116000000000 + index}.jpg"
        Image.fromarray(noise).resize((32, 32)).save(folder / name)
    return folder


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return written(tmp_path_factory.mktemp("many") / "faces", 3000)


def started(folder, place):
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CONVERT), folder, place],
        env=os.environ | threads | {"PYTHONPATH": str(paths.root())},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="the system says it in its own way")
def test_ten_times_the_images_need_little_more_memory(faces, tmp_path):
    few = tmp_path / "few"
    few.mkdir()
    for name in list_images(faces)[:300]:
        (few / name).hardlink_to(faces / name)
    peaks = []
    for folder in (few, faces):
        (tmp_path / f"{folder.name}-made").mkdir()
        process = started(folder, tmp_path / f"{folder.name}-made")
        peaks.append(int(process.communicate()[0].split()[-1]) / 1024)
    # Mostly one block of sketched thumbnails, full only with the larger number.
    assert peaks[1] - peaks[0] < 100 and peaks[1] < 350, peaks


def test_a_killed_run_reads_no_image_again(faces, tmp_path, monkeypatch):
    process = started(faces, tmp_path)
    for line in process.stdout:
        if int(line.split()[0]) >= 1500:
            break
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert [path.name for path in tmp_path.iterdir()] == [".unfinished-store.h5"]

    read, read_block = [], reading.read_block
    monkeypatch.setattr(reading, "read_block", lambda *a: read.extend(a[1]) or read_block(*a))
    source, done = Source(list_images(faces), parse_name), []
    marks = {"dataset": "drawn", "licence": "", "size": 16, "jobs": 1}
    again = {"manifest": tmp_path / "manifest.csv", "store": tmp_path / "store.h5"}
    conversion.convert(
        faces, source, resume=True, progress=lambda *n: done.append(n[0]), **again, **marks
    )
    assert done[0] >= 1500 and len(read) == 3000 - done[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["manifest.csv", "store.h5"]

    whole = {"manifest": tmp_path / "whole.csv", "store": tmp_path / "whole.h5"}
    catalog = conversion.convert(faces, source, **whole, **marks)
    assert whole["manifest"].read_bytes() == again["manifest"].read_bytes()
    rows = np.arange(len(catalog))
    with (
        open_store(whole["store"], catalog=catalog) as one,
        open_store(again["store"], catalog=catalog) as other,
    ):
        np.testing.assert_array_equal(one.read(rows), other.read(rows))


@pytest.fixture
def interrupted(tmp_path, monkeypatch):
    """Interrupt a preparation of 200 images after 128 of them."""
    folder = written(tmp_path / "faces", 200)

    def convert(**changes):
        read, read_block = [], reading.read_block
        with monkeypatch.context() as patch:
            patch.setattr(reading, "read_block", lambda *a: read.extend(a[1]) or read_block(*a))
            how = {"dataset": "x", "licence": "", "size": 8, "jobs": 1, "resume": True} | changes
            source = Source(list_images(folder), parse_name)
            files = {"manifest": tmp_path / "m.csv", "store": tmp_path / "s.h5"}
            return conversion.convert(folder, source, **files, **how), read

    def stop(done, total):
        if done == 128:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(progress=stop)
    return folder, convert


def test_a_file_that_has_changed_meanwhile_is_read_again(interrupted):
    folder, convert = interrupted
    changed = list_images(folder)[3]
    Image.new("RGB", (32, 32), "red").save(folder / changed)
    catalog, read = convert()
    assert len(read) == 200 - 64 and changed in read
    with open_store(folder.parent / "s.h5", catalog=catalog) as store:
        assert store.read([3]).max(axis=(0, 1, 2)).tolist() == [254, 0, 0]


def test_what_was_read_is_kept_when_the_folder_is_away_for_a_while(interrupted):
    folder, convert = interrupted
    away = folder.with_name("away")

    def lose(done, total):
        if done == 128:
            folder.rename(away)

    with pytest.raises(FolderGoneError, match="is not there; place the images"):
        convert(progress=lose)
    away.rename(folder)
    assert len(convert()[1]) == 200 - 128


@pytest.mark.parametrize("change", [{"size": 9}, {"color": "grey"}])
def test_another_size_or_colour_begins_anew(interrupted, change):
    _, convert = interrupted
    assert len(convert(**change)[1]) == 200


def test_a_file_damaged_while_labels_were_written_begins_anew(interrupted):
    folder, convert = interrupted
    (folder.parent / ".unfinished-s.h5" / "store.h5").write_bytes(b"half of an HDF5 file")
    catalog, read = convert()
    assert len(read) == 200
    pd.testing.assert_frame_equal(read_manifest(folder.parent / "m.csv"), catalog)


def test_thumbnails_on_disk_are_an_array(tmp_path):
    values = np.random.default_rng(0).integers(0, 255, (50, 1024), dtype=np.uint8)
    values.tofile(tmp_path / "thumbnails")
    with open(tmp_path / "thumbnails", "rb", buffering=0) as file:
        thumbnails = store_writer.Thumbnails(file, 50)
        assert thumbnails.shape == (50, 1024) and len(thumbnails) == 50
        for rows in (slice(0, 50), slice(7, 9), [3], [49, 0, 0, 7], np.arange(10, 20), []):
            rows = rows if isinstance(rows, slice) else np.asarray(rows, dtype=int)
            np.testing.assert_array_equal(thumbnails[rows], values[rows])


def test_many_duplicates_are_joined_in_pieces(monkeypatch):
    rng = np.random.default_rng(0)
    bases = rng.integers(40, 200, (6, 1024))
    which = rng.integers(0, 6, 300)
    thumbnails = np.clip(bases[which] + rng.integers(-1, 2, (300, 1024)), 0, 255).astype(np.uint8)
    monkeypatch.setattr(near_duplicates, "_PAIRS", 50)
    monkeypatch.setattr(near_duplicates, "_JOINED", 100)
    looked_at, correlation = [], near_duplicates._correlation

    def counted(thumbnails, pairs):
        looked_at.append(len(pairs))
        return correlation(thumbnails, pairs)

    monkeypatch.setattr(near_duplicates, "_correlation", counted)
    clusters = near_duplicates.near_duplicate_clusters(thumbnails)
    first = {base: int(np.flatnonzero(which == base)[0]) for base in range(6)}
    assert clusters.tolist() == [first[base] for base in which]
    # Of some 7,500 pairs most need no look: their images share a cluster already.
    assert sum(looked_at) < 2500
