"""The pages are made of what is committed, need no network and lead nowhere wrong."""

import functools
import http.server
import re
import shutil
import threading
from html.parser import HTMLParser

import nbformat
import pytest

from agelib import paths, site

pytest.importorskip("sphinx")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
OURS = re.compile(r"http://127\.0\.0\.1:|data:")
OUTSIDE = re.compile(r"^(https?:)?//")


class Page(HTMLParser):
    """Collects what a page loads, where it leads and the places in it."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.links, self.places = [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.places |= {values[name] for name in ("id", "name") if values.get(name)}
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        if tag in ("script", "img", "iframe") and values.get("src"):
            self.loads.append(values["src"])
        if tag == "link" and values.get("href") and values.get("rel") != "canonical":
            self.loads.append(values["href"])


@pytest.fixture(scope="module")
def staged(tmp_path_factory):
    return site.stage(tmp_path_factory.mktemp("staged") / "source")


def test_everything_is_staged_in_its_place(staged):
    root = paths.root()
    notebooks = sorted(path.name for path in (root / "notebooks").glob("*.ipynb"))
    assert sorted(path.name for path in (staged / "notebooks").iterdir()) == notebooks
    index = (staged / "index.md").read_text(encoding="utf-8")
    assert index.startswith((root / "README.md").read_text(encoding="utf-8"))
    for name in notebooks:
        assert f"\nnotebooks/{name.removesuffix('.ipynb')}\n" in index
    for page in ("literature/README", "datasets/README", "paper/index", "api/index"):
        assert f"\n{page}\n" in index and (staged / f"{page}.md").exists()


def test_every_module_has_a_page_and_says_what_it_is(staged):
    found = site.modules()
    files = {path for path in (paths.root() / "agelib").rglob("*.py") if path.stem != "__main__"}
    assert len(found) == len(files) and {"agelib", "agelib.models.lenet"} <= set(found)
    assert all(said.endswith((".", ")")) for said in found.values())
    for name in found:
        assert f"automodule:: {name}\n" in (staged / "api" / f"{name}.md").read_text("utf-8")


def test_links_to_sources_lead_to_the_api_and_linked_files_come_along(tmp_path):
    page = paths.root() / "notebooks" / "99-x.ipynb"
    told = "[a](../agelib/models/lenet.py) [b](../literature/reported.csv) [c](https://x.org/a.py)"
    text = site._relinked(f"{told} [d](../agelib/) [e](../README.md#start)", page, tmp_path)
    assert text.split() == [
        *("[a](../api/agelib.models.lenet.md)", "[b](../literature/reported.csv)"),
        *("[c](https://x.org/a.py)", "[d](../api/index.md)", "[e](../index.md#start)"),
    ]
    copied = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert copied == [tmp_path / "literature" / "reported.csv"]


def test_staging_again_leaves_nothing_old(tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "old.md").write_text("old", encoding="utf-8")
    assert not (site.stage(tmp_path / "source") / "old.md").exists()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Render two notebooks, one module and the literature, which takes seconds."""
    folder = tmp_path_factory.mktemp("built")
    few = folder / "few"
    (few / "notebooks").mkdir(parents=True)
    root = paths.root()
    for name in ("00-explore-the-data", "01-restructure-and-clean"):
        notebook = nbformat.read(root / "notebooks" / f"{name}.ipynb", as_version=4)
        for cell in notebook.cells:
            # Its neighbours are not here.
            cell.source = re.sub(r"\[([^]]*)\]\((?!00|01)[^)]*\)", r"\1", cell.source)
        nbformat.write(notebook, few / "notebooks" / f"{name}.ipynb")
    module = "# agelib.files\n\n```{eval-rst}\n.. automodule:: agelib.files\n```\n"
    (few / "files.md").write_text(module, encoding="utf-8")
    names = ["notebooks/00-explore-the-data", "notebooks/01-restructure-and-clean", "files"]
    toc = ["# Few", "", "```{toctree}", *names, "```", ""]
    (few / "index.md").write_text("\n".join(toc), encoding="utf-8")
    return site.render(few, folder / "html").parent


def pages(built):
    return {path: Page(path.read_text(encoding="utf-8")) for path in built.rglob("*.html")}


def test_no_page_loads_anything_from_outside(built):
    for path, page in pages(built).items():
        assert page.loads, path
        assert not [place for place in page.loads if OUTSIDE.match(place)], path
    styles = "".join(path.read_text(encoding="utf-8") for path in built.rglob("*.css"))
    assert not re.search(r"@import\s|url\(['\"]?(https?:)?//", styles)


def test_no_link_of_a_page_is_broken(built):
    found = pages(built)
    assert sum(len(page.links) for page in found.values()) > 50
    for path, page in found.items():
        for link in [*page.links, *page.loads]:
            if re.match(r"[a-z]+:", link) or OUTSIDE.match(link):
                continue
            name, _, place = link.partition("#")
            target = (path.parent / name.partition("?")[0]).resolve() if name else path
            assert target.exists(), f"{path.name}: {link}"
            if place and target.suffix == ".html":
                assert place in found[target].places, f"{path.name}: {link}"


def test_outputs_tables_and_figures_are_shown_and_nothing_was_executed(built):
    text = (built / "notebooks" / "00-explore-the-data.html").read_text(encoding="utf-8")
    assert 'class="dataframe"' in text and "<img" in text
    assert list((built / "_images").glob("*.png"))
    assert "mathjax" not in text.lower() and "jupyter-widgets" not in text


@pytest.fixture
def address(built):
    """Serve the pages on this machine."""
    handler = functools.partial(Quiet, directory=str(built))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_has_no_complaint_at_desktop_and_phone_width(address, scheme):
    api = pytest.importorskip("playwright.sync_api")
    trouble, grounds = [], set()
    with api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for width in (1366, 390):
            page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
            page.on("pageerror", lambda error: trouble.append(str(error)))
            page.on("console", lambda said: said.type == "error" and trouble.append(said.text))
            page.on("request", lambda asked: OURS.match(asked.url) or trouble.append(asked.url))
            for name in ("index", "notebooks/00-explore-the-data", "files", "search"):
                page.goto(f"{address}{name}.html")
                page.wait_for_load_state("networkidle")
                if page.evaluate("document.documentElement.scrollWidth") > width:
                    trouble.append(f"{name} is wider than {width}")
                grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
            page.goto(f"{address}notebooks/00-explore-the-data.html")
            page.click("article a:has-text('01 · Restructure and clean') >> nth=0")
            assert page.url.endswith("01-restructure-and-clean.html")
        browser.close()
    assert not trouble
    (ground,) = grounds
    light = sum(int(part) for part in re.findall(r"\d+", ground)[:3]) > 600
    assert light == (scheme == "light")


def test_the_api_has_shapes_and_errors_from_the_docstrings(built):
    text = (built / "files.html").read_text(encoding="utf-8")
    assert "atomic_path" in text and "DataError" in text and "Parameters" in text


def test_the_search_knows_words_of_notebooks_and_modules(built):
    index = (built / "searchindex.js").read_text(encoding="utf-8")
    assert "utkfac" in index and "atomic_path" in index


def test_a_link_that_leads_nowhere_stops_the_build(tmp_path):
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / "index.md").write_text("# A\n\n[b](missing.md)\n", encoding="utf-8")
    with pytest.raises(site.DataError, match="faults"):
        site.render(tmp_path / "few", tmp_path / "html")
    shutil.rmtree(tmp_path / "html")
