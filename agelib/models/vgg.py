"""VGG16 and VGG19 (Simonyan and Zisserman 2015): P1, P2; chapter on VGG."""

from __future__ import annotations

from collections.abc import Sequence

from agelib.backend import keras
from agelib.models.pretrained import Backbone, Trainable, dense_layers, trunk

_STORE = "https://storage.googleapis.com/tensorflow/keras-applications"

VGG16 = Backbone(
    "VGG16",
    keras.applications.VGG16,
    f"{_STORE}/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "6d6bbae143d832006294945121d1f1fc",
)
VGG19 = Backbone(
    "VGG19",
    keras.applications.VGG19,
    f"{_STORE}/vgg19/vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "253f8cb515780f3b799900260a226db6",
)


def vgg16(
    x: keras.KerasTensor,
    *,
    weights: str | None = None,
    trainable: Trainable = "none",
    dense: Sequence[int] = (512, 512),
    frozen_dense: int = 0,
) -> keras.KerasTensor:
    """VGG16 with dense layers on its flattened feature map, as P1's 3.0.

    Parameters
    ----------
    x : KerasTensor of shape (n, h, w, c)
        Preprocessed images, 32 pixels or more; P1 used 200x200 colour. The ImageNet weights were
        trained with preprocessing 'caffe'; P1 gave them 'scale'.
    weights : str, optional
        None: random; "imagenet"; or a file, see :func:`agelib.models.pretrained.trunk`.
    trainable : {'all', 'none'} or int
        What of the trunk is trained, see :func:`agelib.models.pretrained.set_trainable`.
    dense : sequence of int
        Units of the dense layers; (4096, 4096) is the original's top.
    frozen_dense : int
        How many of the first dense layers stay at their random initial weights. P1 froze one
        layer too many: 1.

    Returns
    -------
    KerasTensor of shape (n, dense[-1])
        Features for the head.

    Raises
    ------
    DataError
        If the weights cannot be had or do not fit.
    ValueError
        If an option has no such value, or the images are too small.
    """
    return _vgg(VGG16, x, weights, trainable, dense, frozen_dense)


def vgg19(
    x: keras.KerasTensor,
    *,
    weights: str | None = None,
    trainable: Trainable = "none",
    dense: Sequence[int] = (512, 512),
    frozen_dense: int = 0,
) -> keras.KerasTensor:
    """VGG19 with dense layers on its flattened feature map, as P1's 3.1 at 224x224.

    P2 trained the original from a random start at 256x256: ``trainable='all'`` and ``dense=(4096,
    4096)``. Parameters and errors are those of :func:`vgg16`.
    """
    return _vgg(VGG19, x, weights, trainable, dense, frozen_dense)


def _vgg(backbone, x, weights, trainable, dense, frozen_dense) -> keras.KerasTensor:
    x = trunk(backbone, x, weights=weights, trainable=trainable)
    x = keras.layers.Flatten(name="flatten")(x)
    return dense_layers(x, dense, frozen=frozen_dense)
