"""A real browser opens the app and JupyterLab, and does what people do there.

Needs Playwright and a Chromium of the system; without them the tests are skipped. The servers run
on a copy of the collection's committed files, as a fresh clone would have them.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
import pytest

from agelib import backend
from agelib.datasets.sample import draw_face
from agelib.in_use import into_photograph
from agelib.paths import root

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this system"),
    pytest.mark.skipif(backend.name() != "tensorflow", reason="the detector is TensorFlow's"),
]

WAIT = 240_000  # milliseconds; a busy machine starts kernels slowly
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"),
    *("--disable-component-update", "--disable-sync", "--no-default-browser-check"),
)


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, request):
    """A page; what it asked for and what its console said stay on it."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(WAIT)
    page.asked, page.said = [], []
    page.on("request", lambda one: page.asked.append(one.url))
    page.on("console", lambda one: page.said.append(f"{one.type}: {one.text}"))
    yield page
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{request.node.name}.png", full_page=True)
    page.close()


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """The committed files, and those that are about to be."""
    folder = tmp_path_factory.mktemp("clone")
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(words, cwd=root(), capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout: nothing says which files are committed")
    for name in listed.stdout.splitlines():
        if (root() / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root() / name, folder / name)
    return folder


@contextlib.contextmanager
def serving(folder, module, *words):
    """Run a server in ``folder`` and give its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {key: value for key, value in os.environ.items() if key[:7] != "AGELIB_"}
    environment |= {
        "PYTHONPATH": str(folder),
        "JUPYTER_CONFIG_DIR": str(folder / ".jupyter"),
        "JUPYTER_DATA_DIR": str(folder / ".jupyter-data"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / ".jupyter-settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / ".jupyter-workspaces"),
        "JUPYTER_PATH": str(Path(sys.prefix) / "share" / "jupyter"),
    }
    log = folder / f"{module}.log"
    with log.open("w") as told:
        command = [sys.executable, "-m", module, *(word.format(port=port) for word in words)]
        server = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=told, stderr=subprocess.STDOUT
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _wait(lambda: _answers(port) or server.poll() is not None, log)
            yield address
        finally:
            server.terminate()
            server.wait(30)


def _answers(port):
    # A request would already run the notebook once.
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2):
        return True
    return False


def _wait(done, log, seconds=120):
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, log.read_text()[-2000:]
        time.sleep(0.3)


def elsewhere(page):
    """What the page asked of other machines."""
    return [url for url in page.asked if not re.match(r"(http|ws)://127\.0\.0\.1|data:|blob:", url)]


@pytest.fixture
def demo_server(clone):
    """What ``make demo`` starts, without opening a browser of the user's."""
    text = (root() / "Makefile").read_text(encoding="utf-8")
    recipe = re.search(r"^demo:.*\n\t@\$\(IN\) -m voila (.*) \$\(ARGS\) \\\n\s*(\S+)", text, re.M)
    words = [*recipe[1].split(), "--no-browser", "--Voila.port={port}", recipe[2]]
    with serving(clone, "voila", *words) as address:
        yield address


def upload(page, file):
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a photo").click()
    chooser.value.set_files(file)


def test_the_app_estimates_an_upload_and_refuses_a_text(demo_server, page, clone, tmp_path):
    page.goto(demo_server, wait_until="commit")
    page.get_by_text("No photo yet. It stays on this machine").wait_for()
    assert page.locator("h1").inner_text().startswith("24 · Predict your own photo")
    before = {path for path in clone.rglob("*") if path.is_file()}

    face = draw_face(25, "female", "white", np.random.default_rng(4))
    into_photograph(face, np.random.default_rng(1)).save(tmp_path / "face.jpg")
    upload(page, tmp_path / "face.jpg")
    page.get_by_text("face.jpg: one face.").wait_for()
    page.get_by_text(
        re.compile(r"Face 1: \d+ years \(80 %: \d+ to \d+\), (fe)?male \d+ %")
    ).wait_for()
    pictures = page.locator("img.widget-image")
    assert pictures.count() == 2
    for picture in pictures.all():
        assert picture.evaluate("image => image.complete && image.naturalWidth") > 300
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=f"{folder}/app.png", full_page=True)

    (tmp_path / "letter.txt").write_text("Dear photo")
    upload(page, tmp_path / "letter.txt")
    page.get_by_text("letter.txt: not an image, or of a format that is not read here.").wait_for()
    assert page.locator("img.widget-image").count() == 0
    assert "Traceback" not in page.content()

    # Nothing is kept and nothing is asked of another machine: the browser itself is told not to.
    after = {path for path in clone.rglob("*") if path.is_file()}
    assert not [path for path in after - before if path.suffix not in (".pyc", ".log")]
    answered = [line for line in page.said if "Content Security Policy" in line]
    assert len(elsewhere(page)) <= len(answered), elsewhere(page)


@pytest.fixture
def lab(clone):
    words = ("--no-browser", "--ServerApp.port={port}", "--IdentityProvider.token=")
    words += ("--ServerApp.root_dir=.", "--ServerApp.allow_root=True")
    with serving(clone, "jupyterlab", *words) as address:
        yield address


def excerpt(clone):
    """Chapter 03 as far as its first figure and its first tweak, small, on drawn faces."""
    notebook = nbformat.read(root() / "notebooks" / "03-lenet.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    settings = {"DATASET": '"sample"', "EPOCHS": "1", "FOLDS": "1", "STATES": "1",
                "SAMPLE_SIZE": "120"}  # fmt: skip
    code[0].source = "\n".join(f"{name} = {value}" for name, value in settings.items())
    code[0].source += "\nRETRAIN = False\nJOBS = 1"
    first = next(n for n, cell in enumerate(notebook.cells) if "report.overview" in cell.source)
    title = [cell for cell in notebook.cells[:first] if cell.cell_type == "markdown"]
    headings = {text for cell in title for text in re.findall(r"^#+ (.*)$", cell.source, re.M)}
    notebook.cells = notebook.cells[: first + 1]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.write(notebook, clone / "notebooks" / "03-lenet.ipynb")
    return headings


def run_all(page):
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def test_a_chapter_is_run_and_a_tweak_lands_beside_it(lab, page, clone):
    headings = excerpt(clone)
    page.goto(f"{lab}/lab/tree/notebooks/03-lenet.ipynb?reset", wait_until="commit")
    page.locator(".jp-NotebookPanel .jp-Cell").first.wait_for()
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    run_all(page)
    # The drawing, then the curves; or what went wrong.
    wanted = page.locator(".jp-OutputArea-output img").nth(1)
    wrong = page.locator("[data-mime-type='application/vnd.jupyter.stderr']", has_text="Error")
    wanted.or_(wrong.first).first.wait_for()
    assert not wrong.count(), wrong.all_inner_texts()
    records = clone / "models-and-results" / "sample" / "03-lenet"
    before = {path.name for path in records.iterdir() if (path / "record.json").exists()}
    assert [name.split("__")[0] for name in before] == ["1.0-lenet-5"]

    # The table of contents shows the headings.
    page.locator("[data-id=table-of-contents]").click()
    shown = page.locator(".jp-TableOfContents-tree .jp-tocItem-content")
    shown.first.wait_for()
    assert headings <= {text.strip() for text in shown.all_inner_texts()}
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=f"{folder}/chapter.png")

    # One thing changed, with a number of its own, run again.
    last = page.locator(".jp-CodeCell").last
    last.locator(".cm-content").click()
    page.keyboard.press("Escape")
    page.keyboard.press("b")
    page.keyboard.press("Enter")
    tweak = 'normalised = lenet.tweak("1.9", "LeNet-5, normalised", options={"batch_norm": True})\n'
    page.keyboard.insert_text(tweak + "report.metrics_row([*lenet_p1, lab.record(normalised)])")
    page.keyboard.press("Shift+Enter")
    page.locator(".jp-OutputArea-output table", has_text="1.9 LeNet-5, normalised").wait_for()
    after = {path.name for path in records.iterdir() if (path / "record.json").exists()}
    assert before < after
    (new,) = after - before
    found = json.loads((records / new / "record.json").read_text())["experiment"]
    assert (found["number"], found["options"]) == ("1.9", {"batch_norm": True})


def test_the_summary_opens_on_a_fresh_clone(lab, page):
    page.goto(f"{lab}/lab/tree/notebooks/90-summarized-results.ipynb?reset", wait_until="commit")
    page.locator(".jp-NotebookPanel .jp-Cell").first.wait_for()
    page.locator(".jp-OutputArea-output img").first.wait_for()
    page.locator(".jp-OutputArea-output table").first.wait_for()
    # Cells that are sent before the kernel is there are never run.
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    # What runs again is drawn anew, so a mark on the committed picture goes away with it.
    page.locator(".jp-OutputArea-output img").first.evaluate("image => image.dataset.old = ''")
    run_all(page)
    page.locator(".jp-OutputArea-output img:not([data-old])").first.wait_for()
    page.locator(".jp-OutputArea-output img[data-old]").wait_for(state="detached")
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()
    assert page.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0
