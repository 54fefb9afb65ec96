"""Networks for other programs: ONNX, TensorFlow Lite, SavedModel and Keras.

The exported network takes bytes, (n, size, size, 3) uint8 in RGB, and carries everything after
that: grey, scaling, the network, its soft-max, and the mirror image where it was tested with one.
TensorFlow is needed to write three of the four, so everything that only TensorFlow can do stands
in this file and is imported when called.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from agelib.backend import keras, silent_stderr
from agelib.backend import name as backend_name
from agelib.files import DataError, atomic_path
from agelib.images import LUMINANCE
from agelib.networks import without_race

FORMATS = {"keras": ".keras", "onnx": ".onnx", "saved-model": "", "tflite": ".tflite"}
TOLERANCE = 1e-3

Runner = Callable[[np.ndarray], dict[str, np.ndarray]]


def byte_network(network: keras.Model, *, mirrored: bool = False) -> keras.Model:
    """Return the network behind an input of bytes.

    Parameters
    ----------
    network : keras.Model
        Of pixels 0..255, (n, size, size, 3) or (n, size, size, 1), in float32.
    mirrored : bool
        Answer with the mean over each image and its mirror image, see `agelib.predict.Predictor`.

    Returns
    -------
    keras.Model
        From uint8 RGB (n, size, size, 3) to a dict: "age", and "gender" where there is one; race,
        which some networks learn along, is cut off.
    """
    ops, network = keras.ops, without_race(network)
    _, height, width, channels = network.input_shape
    inputs = keras.Input((height, width, 3), dtype="uint8", name="image")
    x = ops.cast(inputs, "float32")
    if channels == 1:
        weights = np.asarray(LUMINANCE, "float32")
        x = ops.round(ops.sum(x * weights, axis=-1, keepdims=True))
    if mirrored:
        # One batch of twice the length, so that no format holds the weights twice.
        x = ops.concatenate([x, ops.flip(x, axis=2)], axis=0)
    # Left open, a CenterCrop decides for training, and batch statistics replace the learnt ones.
    outputs = network(x, training=False)
    if not isinstance(outputs, dict):
        outputs = {"age": outputs}
    if mirrored:
        outputs = {
            key: ops.mean(ops.reshape(both, (2, -1, both.shape[-1])), axis=0)
            for key, both in outputs.items()
        }
    return keras.Model(inputs, outputs, name=f"{network.name}_of_bytes")


def export(network: keras.Model, target: Path | str, form: str, *, mirrored: bool = False) -> float:
    """Write a network, whole or not at all, and compare it with Keras.

    Parameters
    ----------
    network : keras.Model
        Of pixels 0..255, in float32, as :func:`agelib.networks.load_network` gives it.
    target : Path or str
        File to write, for ``saved-model`` a folder. An older export there is replaced.
    form : str
        Key of :data:`FORMATS`.
    mirrored : bool
        See :func:`byte_network`.

    Returns
    -------
    float
        Largest difference of an output from Keras's, over eight random images.

    Raises
    ------
    ValueError
        If the format is unknown.
    DataError
        If the target is in the way, the backend or a package is missing, or the outputs differ
        from Keras's by more than 1e-3; then nothing is written.
    """
    if form not in FORMATS:
        raise ValueError(f"format {form!r} is unknown; choose from {', '.join(FORMATS)}")
    target = Path(target)
    _refuse_foreign(target, form)
    if form != "keras" and backend_name() != "tensorflow":
        raise DataError(
            f"only TensorFlow can write {form}, and the backend is {backend_name()}: unset "
            "KERAS_BACKEND, or export to keras"
        )
    of_bytes = byte_network(network, mirrored=mirrored)
    shape = (8, *of_bytes.input_shape[1:])
    images = np.random.default_rng(0).integers(0, 256, shape, dtype="uint8")
    wanted = of_bytes.predict_on_batch(images)  # Keras exports only what was called before
    with _quiet(), atomic_path(target) as temporary:
        _WRITERS[form](of_bytes, temporary)
        found = runner(temporary, form)(images)
        difference = max(float(np.abs(wanted[key] - found[key]).max()) for key in wanted)
        if not difference <= TOLERANCE:
            raise DataError(
                f"{target}: the exported network differs from Keras by {difference:.2g}, more than "
                f"{TOLERANCE:g}; not written"
            )
    return difference


def runner(path: Path | str, form: str) -> Runner:
    """Load an exported network with the library that other programs would use.

    Parameters
    ----------
    path : Path or str
        What :func:`export` wrote.
    form : str
        Key of :data:`FORMATS`.

    Returns
    -------
    callable
        From images (n, size, size, 3), uint8, to a dict of arrays: "age", "gender".

    Raises
    ------
    DataError
        If ONNX Runtime is not installed.
    """
    return _RUNNERS[form](Path(path))


def latency(
    network: keras.Model, *, batches: tuple[int, ...] = (1, 32), repeats: int = 30
) -> dict[str, dict[str, float]]:
    """Time every format on this machine.

    Parameters
    ----------
    network : keras.Model
        As for :func:`export`.
    batches : tuple of int
        How many images a call takes.
    repeats : int
        Calls timed, after one that is not.

    Returns
    -------
    dict
        Format to megabytes of the file, largest difference from Keras, and the milliseconds for
        one image by batch, as ``"ms, 32 a call"``: of the fastest call, which other work on the
        machine disturbs least.
    """
    table = {}
    rng = np.random.default_rng(0)
    for form in FORMATS:
        with tempfile.TemporaryDirectory() as folder, _quiet():
            path = Path(folder) / f"network{FORMATS[form]}"
            difference = export(network, path, form)
            files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
            row = {
                "megabytes": sum(p.stat().st_size for p in files) / 1e6,
                "largest difference": difference,
            }
            run = runner(path, form)
            for batch in batches:
                images = rng.integers(0, 256, (batch, *network.input_shape[1:3], 3), "uint8")
                row[f"ms, {batch} a call"] = 1e3 * _seconds(run, images, repeats) / batch
        table[form] = row
    return table


def _seconds(run: Runner, images: np.ndarray, repeats: int) -> float:
    run(images)
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run(images)
        times.append(time.perf_counter() - started)
    return min(times)


def _refuse_foreign(target: Path, form: str) -> None:
    """Protect what is not an export: the target is about to be replaced as a whole."""
    if form == "saved-model":
        if target.exists() and not (target / "saved_model.pb").is_file():
            raise DataError(f"{target} is there and no SavedModel; name a new folder")
    elif target.is_dir():
        raise DataError(f"{target} is a folder; name a file, such as {target}/network.{form}")
    elif form == "keras" and target.suffix != ".keras":
        raise DataError(f"{target}: Keras reads its files by their ending; name it {target}.keras")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # The converters tell of passes, deleted resources and NumPy's future.
    with warnings.catch_warnings(), silent_stderr():
        warnings.simplefilter("ignore")
        yield


def _write_keras(network: keras.Model, path: Path) -> None:
    network.save(path)


def _write_saved_model(network: keras.Model, path: Path) -> None:
    network.export(path, format="tf_saved_model", verbose=False)


def _write_onnx(network: keras.Model, path: Path) -> None:
    try:
        import tf2onnx  # noqa: F401
    except ImportError:
        raise DataError(
            "ONNX needs the packages of agelib[export]: pip install tf2onnx onnxruntime"
        ) from None
    network.export(path, format="onnx", verbose=False)


def _write_tflite(network: keras.Model, path: Path) -> None:
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        _write_saved_model(network, Path(folder) / "saved")
        converter = tf.lite.TFLiteConverter.from_saved_model(str(Path(folder) / "saved"))
        path.write_bytes(converter.convert())


def _run_keras(path: Path) -> Runner:
    network = keras.saving.load_model(path, compile=False, safe_mode=True)

    def run(images: np.ndarray) -> dict[str, np.ndarray]:
        outputs = network.predict_on_batch(images)
        return {key: np.asarray(value) for key, value in outputs.items()}

    return run


def _run_saved_model(path: Path) -> Runner:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))

    def run(images: np.ndarray) -> dict[str, np.ndarray]:
        return {key: value.numpy() for key, value in loaded.serve(images).items()}

    return run


def _run_onnx(path: Path) -> Runner:
    try:
        import onnxruntime
    except ImportError:
        raise DataError(
            "ONNX needs the packages of agelib[export]: pip install tf2onnx onnxruntime"
        ) from None
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    names = [output.name for output in session.get_outputs()]

    def run(images: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(names, session.run(names, {given.name: images}), strict=True))

    return run


def _run_tflite(path: Path) -> Runner:
    import tensorflow as tf

    signature = tf.lite.Interpreter(model_content=path.read_bytes()).get_signature_runner()
    (name,) = signature.get_input_details()

    def run(images: np.ndarray) -> dict[str, np.ndarray]:
        return signature(**{name: images})

    return run


_WRITERS: dict[str, Callable[[keras.Model, Path], None]] = {
    "keras": _write_keras,
    "onnx": _write_onnx,
    "saved-model": _write_saved_model,
    "tflite": _write_tflite,
}
_RUNNERS: dict[str, Callable[[Path], Runner]] = {
    "keras": _run_keras,
    "onnx": _run_onnx,
    "saved-model": _run_saved_model,
    "tflite": _run_tflite,
}
