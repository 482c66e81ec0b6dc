"""Vision transformers of Dosovitskiy et al. (arXiv 2010.11929), headless.

Layers, their names and their order are those of KerasHub's `ViTBackbone`, whose presets therefore
fit, and so do the runs and exports that were made with it. Keras names weights in a file after the
layers' classes and attributes, so these are KerasHub's too.
"""

from __future__ import annotations

import dataclasses

import keras
from keras import layers, ops

_EPSILON = 1e-6  # of layer norms: the authors' code (github.com/google-research/vision_transformer)


@dataclasses.dataclass(frozen=True)
class VitSpec:
    """A ViT of table 1 there (Ti and S: arXiv 2012.12877).

    Attributes:
      patch_size_px: side of a patch.
      num_layers: encoder blocks.
      num_heads: attention heads.
      width: of the tokens; the blocks' inner layer is four times as wide.
    """

    patch_size_px: int
    num_layers: int
    num_heads: int
    width: int


def vit(image_size_px: int, spec: VitSpec, *, dropout_rate: float) -> keras.Model:
    """Builds a ViT; its feature is the class token after the last norm.

    Attention is Keras's: on JAX and a GPU, with bfloat16, cuDNN's flash attention. On a TPU that
    is switched off for the process: Keras 3.15's kernel there masks the future, for want of a
    mask, and cannot be partitioned over devices.

    Args:
      image_size_px: side of the square input, a multiple of the patch.
      spec: which one.
      dropout_rate: inside the encoder.

    Returns:
      Model from float [B, size, size, 3] to features [B, width].
    """
    if _is_jax_on_tpu():
        keras.config.disable_flash_attention()
    inputs = keras.Input((image_size_px, image_size_px, 3), name="images")
    tokens = ViTPatchingAndEmbedding(
        spec.patch_size_px, spec.width, name="vit_patching_and_embedding"
    )(inputs)
    tokens = ViTEncoder(spec.num_layers, spec.num_heads, dropout_rate, name="vit_encoder")(tokens)
    return keras.Model(inputs, tokens[:, 0], name="class_token_vit")


def _is_jax_on_tpu() -> bool:
    if keras.config.backend() != "jax":
        return False
    return any(device.startswith("tpu") for device in keras.distribution.list_devices())


@keras.saving.register_keras_serializable("fine2coarse")
class ViTPatchingAndEmbedding(layers.Layer):
    """Images [B, size, size, 3] to tokens [B, 1 + patches, width]: the class token, then patches.

    Args:
      patch_size_px: side of a patch.
      width: of the tokens.
    """

    def __init__(self, patch_size_px: int, width: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.patch_size_px, self.width = patch_size_px, width

    def build(self, input_shape: tuple) -> None:
        """Makes the weights."""
        patch, width = self.patch_size_px, self.width
        self.class_token = self.add_weight(
            shape=(1, 1, width), initializer="random_normal", name="class_token"
        )
        self.patch_embedding = layers.Conv2D(
            width, patch, patch, dtype=self.dtype_policy, name="patch_embedding"
        )
        self.patch_embedding.build(input_shape)
        self.num_patches = (input_shape[1] // patch) * (input_shape[2] // patch)
        self.position_embedding = layers.Embedding(
            1 + self.num_patches,
            width,
            dtype=self.dtype_policy,
            embeddings_initializer=keras.initializers.RandomNormal(stddev=0.02),
            name="position_embedding",
        )
        self.position_embedding.build()
        self.built = True

    def call(self, images: keras.KerasTensor) -> keras.KerasTensor:
        """Tokens with their positions."""
        patches = self.patch_embedding(images)
        patches = ops.reshape(patches, (-1, self.num_patches, self.width))
        class_token = ops.tile(self.class_token, (ops.shape(patches)[0], 1, 1))
        tokens = ops.concatenate([class_token, patches], axis=1)
        return ops.add(tokens, self.position_embedding.embeddings)


@keras.saving.register_keras_serializable("fine2coarse")
class ViTEncoder(layers.Layer):
    """Tokens [B, T, width] through all blocks and a norm.

    Args:
      num_layers: blocks.
      num_heads: of each.
      dropout_rate: after the positions, the attention and both layers of a block's network.
    """

    def __init__(
        self, num_layers: int, num_heads: int, dropout_rate: float, **kwargs: object
    ) -> None:
        super().__init__(**kwargs)
        self.num_layers, self.num_heads = num_layers, num_heads
        self.dropout_rate = dropout_rate

    def build(self, input_shape: tuple) -> None:
        """Makes the blocks and their weights."""
        self.encoder_layers = []
        for number in range(1, self.num_layers + 1):
            block = ViTEncoderBlock(
                self.num_heads,
                self.dropout_rate,
                dtype=self.dtype_policy,
                name=f"transformer_block_{number}",
            )
            block.build(input_shape)
            self.encoder_layers.append(block)
        self.dropout = _dropout(self)
        self.layer_norm = _layer_norm(self, "ln", input_shape)
        self.built = True

    def call(self, tokens: keras.KerasTensor) -> keras.KerasTensor:
        """Encoded tokens."""
        tokens = self.dropout(tokens)
        for block in self.encoder_layers:
            tokens = block(tokens)
        return self.layer_norm(tokens)


@keras.saving.register_keras_serializable("fine2coarse")
class ViTEncoderBlock(layers.Layer):
    """Tokens [B, T, width] through self-attention and a network of two layers, pre-norm.

    Args:
      num_heads: of the attention; each is width / num_heads wide.
      dropout_rate: as of `ViTEncoder`.
    """

    def __init__(self, num_heads: int, dropout_rate: float, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.num_heads, self.dropout_rate = num_heads, dropout_rate

    def build(self, input_shape: tuple) -> None:
        """Makes the weights."""
        width = input_shape[-1]
        self.layer_norm_1 = _layer_norm(self, "ln_1", input_shape)
        self.mha = layers.MultiHeadAttention(
            self.num_heads, width // self.num_heads, dtype=self.dtype_policy, name="mha"
        )
        self.mha.build(input_shape, input_shape)
        self.dropout = _dropout(self)
        self.layer_norm_2 = _layer_norm(self, "ln_2", input_shape)
        self.mlp = ViTMlp(self.dropout_rate, dtype=self.dtype_policy, name="mlp")
        self.mlp.build(input_shape)
        self.built = True

    def call(self, tokens: keras.KerasTensor) -> keras.KerasTensor:
        """Tokens after both residual parts."""
        x = self.layer_norm_1(tokens)
        x = self.dropout(self.mha(x, x)) + tokens
        return x + self.mlp(self.layer_norm_2(x))


@keras.saving.register_keras_serializable("fine2coarse")
class ViTMlp(layers.Layer):
    """Tokens [B, T, width] through a layer of four times the width with GELU, and one back.

    Args:
      dropout_rate: after each layer.
    """

    def __init__(self, dropout_rate: float, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.dropout_rate = dropout_rate

    def build(self, input_shape: tuple) -> None:
        """Makes the weights."""
        width = input_shape[-1]
        self.dense_1 = self._dense(4 * width, "dense_1", activation="gelu")
        self.dense_1.build(input_shape)
        self.dense_2 = self._dense(width, "dense_2")
        self.dense_2.build((*input_shape[:-1], 4 * width))
        self.dropout = _dropout(self)
        self.built = True

    def _dense(self, units: int, name: str, activation: str | None = None) -> layers.Dense:
        # The biases' spread is the authors' code's.
        return layers.Dense(
            units,
            activation,
            bias_initializer=keras.initializers.RandomNormal(stddev=1e-6),
            dtype=self.dtype_policy,
            name=name,
        )

    def call(self, tokens: keras.KerasTensor) -> keras.KerasTensor:
        """Tokens of the same shape."""
        return self.dropout(self.dense_2(self.dropout(self.dense_1(tokens))))


def _layer_norm(owner: layers.Layer, name: str, input_shape: tuple) -> layers.LayerNormalization:
    norm = layers.LayerNormalization(epsilon=_EPSILON, dtype=owner.dtype_policy, name=name)
    norm.build(input_shape)
    return norm


def _dropout(owner: layers.Layer) -> layers.Dropout:
    return layers.Dropout(owner.dropout_rate, dtype=owner.dtype_policy, name="dropout")
