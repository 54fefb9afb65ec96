"""The upload field of chapter 24: a photograph in, faces with ages out, on this machine only.

What is uploaded goes from the browser to the kernel, is held in memory while it is looked at,
and is let go. Nothing is written and nothing is sent anywhere.
"""

from __future__ import annotations

import html
import io
import os
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

from agelib.files import DataError
from agelib.plots_prediction import evidence, plot_prediction
from agelib.predict import Found, Prediction, Predictor
from agelib.predictions_file import describe, draw

MOST_FACES = 8  # drawn with all details; a crowd would take minutes
MOST_BYTES = 100_000_000


def show() -> None:
    """Show the upload field where somebody can use it; elsewhere a sentence.

    A notebook that runs headless would store a field that no reader can use.
    """
    if not somebody_is_there():
        print("The upload field appears here in JupyterLab, or with `make demo`.")
        return
    from IPython.display import display

    display(panel(Predictor.shipped()))


def somebody_is_there() -> bool:
    """Return whether a Jupyter server started this kernel for a person: Lab, or Voila."""
    return "JPY_SESSION_NAME" in os.environ or "voila" in os.environ.get("SERVER_SOFTWARE", "")


def panel(predictor: Predictor) -> Any:
    """Return the widgets: upload field, checkbox, a sentence, and the results.

    Parameters
    ----------
    predictor : Predictor
        Estimates; loaded once.

    Returns
    -------
    ipywidgets.VBox

    Raises
    ------
    DataError
        If ipywidgets is not installed.
    """
    try:
        import ipywidgets as widgets
    except ImportError:
        raise DataError(
            "the demo needs the packages of agelib[demo]: pip install ipywidgets mtcnn"
        ) from None
    upload = widgets.FileUpload(
        accept="image/*,.heic,.heif",
        multiple=False,
        description="Choose a photo",
        layout=widgets.Layout(width="14em"),
    )
    aligned = widgets.Checkbox(
        description="It is one face, cut out like UTKFace's chips", indent=False,
        layout=widgets.Layout(width="auto"),
    )  # fmt: skip
    sentence = widgets.HTML("No photo yet. It stays on this machine and is not kept.")
    results = widgets.VBox()

    def changed(change: dict[str, Any]) -> None:
        if not change["new"]:
            return
        given = change["new"][0]
        name, content = given["name"], bytes(given["content"])
        upload.value = ()  # let go
        results.children = ()
        sentence.value = f"Looking for faces in {html.escape(name)} …"
        text, pictures = answer(predictor, name, content, aligned=aligned.value)
        results.children = [_picture(widgets, *picture) for picture in pictures]
        sentence.value = html.escape(text)

    upload.observe(changed, names="value")
    return widgets.VBox([widgets.HBox([upload, aligned]), sentence, results])


def answer(
    predictor: Predictor, name: str, content: bytes, *, aligned: bool = False
) -> tuple[str, list[tuple[str, bytes]]]:
    """Return a sentence about an upload, and pictures with a caption each.

    Parameters
    ----------
    predictor : Predictor
        Estimates.
    name : str
        The file's name, for the sentence.
    content : bytes
        The file.
    aligned : bool
        It is one face, cut out already.

    Returns
    -------
    tuple of str and list of (str, bytes)
        Whatever happens is a sentence; the pictures are PNG.
    """
    if len(content) > MOST_BYTES:
        return f"{name}: too large, more than {MOST_BYTES // 10**6} MB.", []
    try:
        found = predictor.predict(content, name=name, aligned=aligned)
        if not found.faces:
            return f"{name}: {found.problem}.", []
        return _sentence(found), _pictures(predictor, found)
    except DataError as error:
        return f"{name}: {error}.", []
    except Exception as error:  # a person at a form is never shown a traceback
        return f"{name}: something went wrong here ({type(error).__name__}: {error}).", []


def _sentence(found: Prediction) -> str:
    count = len(found.faces)
    text = f"{found.name}: {'one face' if count == 1 else f'{count} faces'}."
    if count > MOST_FACES:
        text += f" The first {MOST_FACES} from the left are shown in detail."
    return text


def _pictures(predictor: Predictor, found: Prediction) -> list[tuple[str, bytes]]:
    pictures = []
    if any(one.face for one in found.faces):
        boxed = draw(found)
        boxed.thumbnail((900, 700))
        pictures.append(("The photo, a box around each face.", _png(boxed)))
    for place, one in enumerate(found.faces[:MOST_FACES], 1):
        caption = f"Face {place}: {describe(one)}"
        pictures.append((caption, _details(predictor, one, place) if one.estimate else b""))
    return pictures


def _details(predictor: Predictor, found: Found, place: int) -> bytes:
    figure = Figure(figsize=(9.5, 2.9), layout="constrained")
    plot_prediction(found, evidence(predictor, found), title=f"face {place}", figure=figure)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=100)
    return out.getvalue()


def _png(image: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def _picture(widgets: Any, caption: str, png: bytes) -> Any:
    text = widgets.HTML(f"<b>{html.escape(caption)}</b>")
    if not png:
        return text
    width = Image.open(io.BytesIO(png)).width
    fitting = widgets.Layout(width=f"{width}px", max_width="100%", object_fit="contain")
    return widgets.VBox([text, widgets.Image(value=png, format="png", layout=fitting)])
