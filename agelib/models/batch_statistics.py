"""P1's slip rebuilt: frozen batch normalisation that uses the statistics of the batch."""

from __future__ import annotations

from agelib.backend import keras

layers = keras.layers
ops = keras.ops


@keras.saving.register_keras_serializable("agelib")
class BatchStatistics(layers.BatchNormalization):
    """Batch normalisation that, even frozen, uses the batch's statistics while training.

    Multi-backend Keras did so when P1 ran (2.3): training normalised a frozen layer with the
    batch, evaluation with the stored statistics, and those stayed as they were loaded. Keras 3
    takes the stored ones in both. P1's frozen ResNet-50 thus learnt on features that it never met
    again, and came out at chance.

    Leaving such a layer trainable with gamma and beta fixed is not the same: its stored
    statistics would follow the new images, and evaluation would soon recover.

    While trainable it is ordinary batch normalisation.
    """

    def call(self, inputs, training=None, mask=None):  # noqa: ANN201, D102 - Keras's own
        if self.trainable or not training:
            return super().call(inputs, training=training, mask=mask)
        x = ops.cast(inputs, "float32")
        channel = self.axis % len(x.shape)
        mean, variance = ops.moments(x, [axis for axis in range(len(x.shape)) if axis != channel])
        x = ops.batch_normalization(
            x, mean, variance, channel, offset=self.beta, scale=self.gamma, epsilon=self.epsilon
        )
        return ops.cast(x, self.compute_dtype)


def with_batch_statistics(network: keras.Model) -> keras.Model:
    """Return a copy of a network, weights included, with `BatchStatistics` for its own layers."""

    def copied(layer: layers.Layer) -> layers.Layer:
        norm = isinstance(layer, layers.BatchNormalization)
        return (BatchStatistics if norm else type(layer)).from_config(layer.get_config())

    clone = keras.models.clone_model(network, clone_function=copied)
    clone.set_weights(network.get_weights())
    return clone
