"""Model files loaded with the library of their format, for `agelib.peers`.

Besides the backend and the export this is the one file that may need TensorFlow, and only for
TensorFlow Lite.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agelib.files import DataError

SUFFIXES = (".onnx", ".tflite", ".keras")

# From prepared images to the model's outputs, by name and by place.
Runner = Callable[[np.ndarray], dict[str | int, np.ndarray]]


def load_runner(path: Path | str) -> tuple[Runner, int | None]:
    """Load a model file with the library of its format, on one thread where that can be asked for.

    Parameters
    ----------
    path : Path or str
        ``.onnx`` (ONNX Runtime), ``.tflite`` (TensorFlow) or ``.keras`` (safe mode).

    Returns
    -------
    run : callable
        From prepared images to outputs, by name and by place.
    parameters : int or None
        Number of weights; of ONNX those stored, which folding can make a little fewer; None
        where the format does not tell.

    Raises
    ------
    DataError
        If the file cannot be loaded or its library is missing.
    """
    loaders = {".onnx": _load_onnx, ".tflite": _load_tflite, ".keras": _load_keras}
    path = Path(path)
    try:
        return loaders[path.suffix](path)
    except DataError:
        raise
    except ImportError as error:
        raise DataError(f"{path.name} needs a package: {error}; install agelib[export]") from error
    except Exception as error:  # whatever a damaged file raises in three libraries
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise DataError(f"{path.name}: cannot be loaded ({reason})") from error


def _load_onnx(path: Path) -> tuple[Runner, int | None]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        path.read_bytes(), options, providers=["CPUExecutionProvider"]
    )
    (given,) = session.get_inputs()
    names = [output.name for output in session.get_outputs()]

    def run(images: np.ndarray) -> dict[str | int, np.ndarray]:
        return _by_name_and_place(names, session.run(names, {given.name: images}))

    return run, _onnx_parameters(path)


def _onnx_parameters(path: Path) -> int | None:
    try:
        import onnx
    except ImportError:
        return None
    weights = onnx.load(path).graph.initializer
    # Shapes and axes are stored like weights, as whole numbers of 32 or 64 bits.
    names = ("FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16", "INT8", "UINT8")
    kinds = [onnx.TensorProto.DataType.Value(name) for name in names]
    return int(sum(np.prod(w.dims) for w in weights if w.data_type in kinds))


def _load_tflite(path: Path) -> tuple[Runner, int | None]:
    import tensorflow as tf

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it will move to a package of its own one day
        interpreter = tf.lite.Interpreter(model_content=path.read_bytes(), num_threads=1)
    signatures = interpreter.get_signature_list()
    # A signature keeps the outputs' names; without one they go by place alone.
    by_name = signatures[next(iter(signatures))]["outputs"] if len(signatures) == 1 else []
    if by_name:
        signature = interpreter.get_signature_runner()
        (given,) = signature.get_input_details()

        def run(images: np.ndarray) -> dict[str | int, np.ndarray]:
            found = signature(**{given: images})
            return _by_name_and_place(by_name, [found[name] for name in by_name])

        return run, None
    (entry,), exits = interpreter.get_input_details(), interpreter.get_output_details()

    def run_by_place(images: np.ndarray) -> dict[str | int, np.ndarray]:
        interpreter.resize_tensor_input(entry["index"], images.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(entry["index"], images)
        interpreter.invoke()
        values = [interpreter.get_tensor(detail["index"]) for detail in exits]
        return _by_name_and_place([detail["name"] for detail in exits], values)

    return run_by_place, None


def _load_keras(path: Path) -> tuple[Runner, int | None]:
    from agelib.networks import load_network

    network = load_network(path)

    def run(images: np.ndarray) -> dict[str | int, np.ndarray]:
        outputs = network.predict_on_batch(images)
        if not isinstance(outputs, dict):
            outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
            names = getattr(network, "output_names", [])
            return _by_name_and_place(names or ["age"], outputs)
        return _by_name_and_place(list(outputs), list(outputs.values()))

    return run, int(network.count_params())


def _by_name_and_place(names: Sequence[str], values: Sequence[Any]) -> dict[str | int, np.ndarray]:
    outputs: dict[str | int, np.ndarray] = dict(enumerate(map(np.asarray, values)))
    return outputs | dict(zip(names, outputs.values(), strict=False))
