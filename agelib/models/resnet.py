"""ResNet-50 (He et al. 2016) and its second version: P1, P2; chapter on ResNet."""

from __future__ import annotations

from collections.abc import Sequence

from agelib.backend import keras
from agelib.models.pretrained import Backbone, Trainable, dense_layers, trunk

_STORE = "https://storage.googleapis.com/tensorflow/keras-applications/resnet"

RESNET50 = Backbone(
    "ResNet-50",
    keras.applications.ResNet50,
    f"{_STORE}/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "4d473c1dd8becc155b73f8504c6f6626",
)
RESNET50_V2 = Backbone(
    "ResNet50V2",
    keras.applications.ResNet50V2,
    f"{_STORE}/resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "fac2f116257151a9d068a22e544a4917",
)


def resnet50(
    x: keras.KerasTensor,
    *,
    weights: str | None = None,
    trainable: Trainable = "all",
    batch_statistics: bool = False,
    dense: Sequence[int] = (),
) -> keras.KerasTensor:
    """ResNet-50 with global average pooling, as P1's R1.0 to R4.0 at 224x224.

    From a random start as it stands (R2.0); fine-tuned with ``weights="imagenet"`` (R3.0); frozen
    with ``trainable="none"`` besides (R1.0), and with ``dense=(512, 512)`` on it (R4.0).

    Parameters
    ----------
    x : KerasTensor of shape (n, h, w, c)
        Preprocessed images, 32 pixels or more. The ImageNet weights were trained with
        preprocessing 'caffe'; P1 gave them 'scale'.
    weights : str, optional
        None: random; "imagenet"; or a file, see :func:`agelib.models.pretrained.trunk`.
    trainable : {'all', 'none'} or int
        What of the trunk is trained, see :func:`agelib.models.pretrained.set_trainable`.
    batch_statistics : bool
        Whether frozen batch normalisation uses the batch's statistics while training. It did in
        P1, whose R1.0 and R4.0 therefore learnt well and predicted at chance; see
        :class:`agelib.models.batch_statistics.BatchStatistics`.
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
    x = trunk(RESNET50, x, weights=weights, trainable=trainable, batch_statistics=batch_statistics)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return dense_layers(x, dense)


def resnet50_v2(
    x: keras.KerasTensor,
    *,
    weights: str | None = None,
    trainable: Trainable = "all",
    dense: Sequence[int] = (),
) -> keras.KerasTensor:
    """ResNet50V2 (He et al. 2016, "Identity mappings") with global average pooling.

    P2's network is ``weights="imagenet", dense=(512,)`` at 256x256, all trainable. The ImageNet
    weights were trained with preprocessing 'minus-one-to-one'; P2 gave them 'scale'. Parameters
    and errors are those of :func:`resnet50`.
    """
    x = trunk(RESNET50_V2, x, weights=weights, trainable=trainable)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return dense_layers(x, dense)
