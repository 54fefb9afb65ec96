"""One list of pins: pyproject says what is needed, the lock what is installed, the rest points."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from agelib.paths import root

PYTHONS = ("3.11", "3.12", "3.13")


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((root() / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def lock():
    return (root() / "requirements.lock").read_text(encoding="utf-8")


def _pins(lock):
    lines = [line.rstrip(" \\") for line in lock.splitlines() if re.match(r"[a-z0-9]", line)]
    return [Requirement(line) for line in lines]


def _requirements(project):
    texts = project["build-system"]["requires"] + project["project"]["dependencies"]
    for extra in project["project"]["optional-dependencies"].values():
        texts = texts + extra
    return [Requirement(text) for text in texts]


def test_lock_pins_each_package_once_with_hashes(lock):
    pins = _pins(lock)
    names = [pin.name for pin in pins]
    assert len(names) == len(set(names)) > 100
    assert all(re.fullmatch(r"==[^*,]+", str(pin.specifier)) for pin in pins)
    blocks = re.split(r"^(?=[a-z0-9])", lock, flags=re.MULTILINE)[1:]
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", block) for block in blocks)


def test_lock_satisfies_pyproject_on_every_python(project, lock):
    pins = {canonicalize_name(pin.name): pin for pin in _pins(lock)}
    for requirement in _requirements(project):
        pin = pins[canonicalize_name(requirement.name)]
        version = str(pin.specifier).removeprefix("==")
        assert requirement.specifier.contains(version), f"{requirement}: the lock has {version}"
        assert pin.marker is None, f"{pin} is not for every Python"


def test_lock_names_no_machine_or_index(lock):
    assert not re.search(r"https?://|file:|--index|--extra|--find-links|/\w+/", lock)


def test_conda_users_get_the_lock_and_nothing_else(project):
    conda = yaml.safe_load((root() / "environment.yml").read_text(encoding="utf-8"))
    python, pip, from_pip = conda["dependencies"]
    assert from_pip == {"pip": ["-r requirements.lock"]}
    assert pip == "pip"
    assert conda["channels"] == ["conda-forge"]
    name, _, versions = python.partition(" ")
    assert name == "python"
    assert SpecifierSet(versions) == SpecifierSet(project["project"]["requires-python"])


def test_every_place_names_the_same_pythons(project):
    supported = SpecifierSet(project["project"]["requires-python"])
    for minor in range(8, 20):
        assert supported.contains(f"3.{minor}") == (f"3.{minor}" in PYTHONS)
    assert f"{'|'.join(PYTHONS)})" in (root() / "Makefile").read_text(encoding="utf-8")


@pytest.fixture
def checkout(tmp_path):
    """The Makefile and the lock in a folder whose name has a space and a quote."""
    folder = tmp_path / "Anna's check out"
    folder.mkdir()
    for name in ("Makefile", "requirements.lock"):
        shutil.copy(root() / name, folder)
    return folder


def _make(checkout, *words, **variables):
    settings = [f"{name}={value}" for name, value in variables.items()]
    command = ["make", "--no-print-directory", "-f", str(checkout / "Makefile"), *words, *settings]
    return subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=60)


def _fake_python(folder, version):
    script = folder / "python"
    script.write_text(f"#!/bin/sh\necho {version}\n")
    script.chmod(0o755)
    return script


@pytest.mark.parametrize("version", ["2.7", "3.10", "3.14"])
def test_a_python_too_old_or_new_is_named(checkout, version):
    result = _make(checkout, "env", PYTHON=_fake_python(checkout, version))
    assert result.returncode != 0
    assert f"is Python {version}, but 3.11, 3.12 or 3.13 is needed" in result.stderr
    assert not (checkout / ".venv").exists()


def test_a_missing_python_is_named(checkout):
    result = _make(checkout, "env", PYTHON="/nowhere/python3")
    assert result.returncode != 0
    assert "cannot run '/nowhere/python3'. Python 3.11, 3.12 or 3.13 is needed" in result.stderr


def test_python_without_venv_is_told_what_to_install(checkout):
    script = checkout / "python"
    script.write_text('#!/bin/sh\ncase "$2" in *version*) echo 3.11;; *) exit 1;; esac\n')
    script.chmod(0o755)
    result = _make(checkout, "env", PYTHON=script)
    assert result.returncode != 0
    assert "apt install python3.11-venv" in result.stderr


def test_an_interrupted_environment_is_not_taken_for_a_whole_one(checkout):
    python = checkout / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nexit 0\n")
    python.chmod(0o755)
    refused = {"PYTHON": _fake_python(checkout, "3.9")}
    assert "is needed" in _make(checkout, "env", **refused).stderr  # no stamp: made afresh

    lock = checkout / "requirements.lock"
    with lock.open("rb") as content:
        checksum = subprocess.check_output(["cksum"], stdin=content, text=True).strip()
    (checkout / ".venv" / ".stamp").write_text(f"{checksum} {checkout}\n")
    assert _make(checkout, "env", **refused).returncode == 0  # whole: nothing to do

    lock.write_text(lock.read_text() + "# renewed\n")
    assert "is needed" in _make(checkout, "env", **refused).stderr


def test_help_lists_every_target(checkout):
    text = _make(checkout).stdout
    targets = re.search(r"^\.PHONY: (.*)$", (checkout / "Makefile").read_text(), re.MULTILINE)
    for target in targets[1].split():
        assert re.search(rf"^  make {target} +\S", text, re.MULTILINE)


def test_ci_runs_the_test_command():
    script = root() / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert script.read_text().splitlines()[-1].endswith("test")
