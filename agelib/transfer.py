"""Initial weights from another experiment's network."""

from __future__ import annotations

from agelib.backend import keras
from agelib.files import DataError


def take_over(network: keras.Model, donor: keras.Model) -> list[str]:
    """Give a network the weights of another wherever a layer has the same name and shapes.

    Parameters
    ----------
    network : keras.Model
        Gets weights; nested networks count as one layer.
    donor : keras.Model
        Gives them.

    Returns
    -------
    list of str
        Names of the layers that were filled.

    Raises
    ------
    DataError
        If no layer fits.
    """
    given = {layer.name: layer.get_weights() for layer in donor.layers}
    filled = []
    for layer in network.layers:
        weights, offered = layer.get_weights(), given.get(layer.name, [])
        if weights and [w.shape for w in weights] == [w.shape for w in offered]:
            layer.set_weights(offered)
            filled.append(layer.name)
    if not filled:
        raise DataError(
            f"network {network.name!r} has no layer in common with {donor.name!r}, from whose "
            "weights it should start; choose another experiment for init"
        )
    return filled
