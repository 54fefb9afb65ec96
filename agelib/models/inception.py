"""InceptionV3 (Szegedy et al. 2016): P2; chapter on Inception."""

from __future__ import annotations

from collections.abc import Sequence

from agelib.backend import keras
from agelib.models.pretrained import Backbone, Trainable, dense_layers, trunk

INCEPTION_V3 = Backbone(
    "InceptionV3",
    keras.applications.InceptionV3,
    "https://storage.googleapis.com/tensorflow/keras-applications/inception_v3/"
    "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "bcbd6486424b2319ff4ef7d526e38f63",
    smallest=75,
)


def inception_v3(
    x: keras.KerasTensor,
    *,
    weights: str | None = None,
    trainable: Trainable = "all",
    dense: Sequence[int] = (),
) -> keras.KerasTensor:
    """InceptionV3 with global average pooling.

    As it stands, it is P2's network from a random start (256x256, preprocessing 'scale'). P2's
    frozen one is ``weights="imagenet", trainable="none", dense=(512,)``.

    Parameters
    ----------
    x : KerasTensor of shape (n, h, w, c)
        Preprocessed images, 75 pixels or more. The ImageNet weights were trained with
        preprocessing 'minus-one-to-one'.
    weights : str, optional
        None: random; "imagenet"; or a file, see :func:`agelib.models.pretrained.trunk`.
    trainable : {'all', 'none'} or int
        What of the trunk is trained, see :func:`agelib.models.pretrained.set_trainable`.
    dense : sequence of int
        Units of dense layers after the pooling.

    Returns
    -------
    KerasTensor of shape (n, 2048) or (n, dense[-1])
        Features for the head.

    Raises
    ------
    DataError
        If the weights cannot be had or do not fit.
    ValueError
        If an option has no such value, or the images are too small.
    """
    x = trunk(INCEPTION_V3, x, weights=weights, trainable=trainable)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return dense_layers(x, dense)
