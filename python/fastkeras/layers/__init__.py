"""All layers, by their public names.

The module of a layer is imported when the layer is first asked for: a program uses a few of more than a
hundred, and importing them all would be a good part of the time that `import fastkeras` takes.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fastkeras.layers.input_layer import Input, InputLayer
from fastkeras.layers.input_spec import InputSpec
from fastkeras.layers.layer import Layer

if TYPE_CHECKING:
    from fastkeras.layers.activations.activation import Activation
    from fastkeras.layers.activations.elu import ELU
    from fastkeras.layers.activations.leaky_relu import LeakyReLU
    from fastkeras.layers.activations.prelu import PReLU
    from fastkeras.layers.activations.relu import ReLU
    from fastkeras.layers.activations.softmax import Softmax
    from fastkeras.layers.attention.additive_attention import AdditiveAttention
    from fastkeras.layers.attention.attention import Attention
    from fastkeras.layers.attention.grouped_query_attention import GroupQueryAttention
    from fastkeras.layers.attention.multi_head_attention import MultiHeadAttention
    from fastkeras.layers.convolutional.conv1d import Conv1D
    from fastkeras.layers.convolutional.conv1d_transpose import Conv1DTranspose
    from fastkeras.layers.convolutional.conv2d import Conv2D
    from fastkeras.layers.convolutional.conv2d_transpose import Conv2DTranspose
    from fastkeras.layers.convolutional.conv3d import Conv3D
    from fastkeras.layers.convolutional.conv3d_transpose import Conv3DTranspose
    from fastkeras.layers.convolutional.depthwise_conv1d import DepthwiseConv1D
    from fastkeras.layers.convolutional.depthwise_conv2d import DepthwiseConv2D
    from fastkeras.layers.convolutional.separable_conv1d import SeparableConv1D
    from fastkeras.layers.convolutional.separable_conv2d import SeparableConv2D
    from fastkeras.layers.core.dense import Dense
    from fastkeras.layers.core.einsum_dense import EinsumDense
    from fastkeras.layers.core.embedding import Embedding
    from fastkeras.layers.core.identity import Identity
    from fastkeras.layers.core.lambda_layer import Lambda
    from fastkeras.layers.core.masking import Masking
    from fastkeras.layers.core.reversible_embedding import ReversibleEmbedding
    from fastkeras.layers.core.wrapper import Wrapper
    from fastkeras.layers.merging.add import Add, add
    from fastkeras.layers.merging.average import Average, average
    from fastkeras.layers.merging.concatenate import Concatenate, concatenate
    from fastkeras.layers.merging.dot import Dot, dot
    from fastkeras.layers.merging.maximum import Maximum, maximum
    from fastkeras.layers.merging.minimum import Minimum, minimum
    from fastkeras.layers.merging.multiply import Multiply, multiply
    from fastkeras.layers.merging.subtract import Subtract, subtract
    from fastkeras.layers.normalization.batch_normalization import BatchNormalization
    from fastkeras.layers.normalization.group_normalization import GroupNormalization
    from fastkeras.layers.normalization.layer_normalization import LayerNormalization
    from fastkeras.layers.normalization.rms_normalization import RMSNormalization
    from fastkeras.layers.normalization.spectral_normalization import SpectralNormalization
    from fastkeras.layers.normalization.unit_normalization import UnitNormalization
    from fastkeras.layers.pooling.adaptive_average_pooling1d import AdaptiveAveragePooling1D
    from fastkeras.layers.pooling.adaptive_average_pooling2d import AdaptiveAveragePooling2D
    from fastkeras.layers.pooling.adaptive_average_pooling3d import AdaptiveAveragePooling3D
    from fastkeras.layers.pooling.adaptive_max_pooling1d import AdaptiveMaxPooling1D
    from fastkeras.layers.pooling.adaptive_max_pooling2d import AdaptiveMaxPooling2D
    from fastkeras.layers.pooling.adaptive_max_pooling3d import AdaptiveMaxPooling3D
    from fastkeras.layers.pooling.average_pooling1d import AveragePooling1D
    from fastkeras.layers.pooling.average_pooling2d import AveragePooling2D
    from fastkeras.layers.pooling.average_pooling3d import AveragePooling3D
    from fastkeras.layers.pooling.global_average_pooling1d import GlobalAveragePooling1D
    from fastkeras.layers.pooling.global_average_pooling2d import GlobalAveragePooling2D
    from fastkeras.layers.pooling.global_average_pooling3d import GlobalAveragePooling3D
    from fastkeras.layers.pooling.global_max_pooling1d import GlobalMaxPooling1D
    from fastkeras.layers.pooling.global_max_pooling2d import GlobalMaxPooling2D
    from fastkeras.layers.pooling.global_max_pooling3d import GlobalMaxPooling3D
    from fastkeras.layers.pooling.max_pooling1d import MaxPooling1D
    from fastkeras.layers.pooling.max_pooling2d import MaxPooling2D
    from fastkeras.layers.pooling.max_pooling3d import MaxPooling3D
    from fastkeras.layers.preprocessing.category_encoding import CategoryEncoding
    from fastkeras.layers.preprocessing.normalization import Normalization
    from fastkeras.layers.preprocessing.pipeline import Pipeline
    from fastkeras.layers.preprocessing.rescaling import Rescaling
    from fastkeras.layers.regularization.activity_regularization import ActivityRegularization
    from fastkeras.layers.regularization.alpha_dropout import AlphaDropout
    from fastkeras.layers.regularization.dropout import Dropout
    from fastkeras.layers.regularization.gaussian_dropout import GaussianDropout
    from fastkeras.layers.regularization.gaussian_noise import GaussianNoise
    from fastkeras.layers.regularization.spatial_dropout1d import SpatialDropout1D
    from fastkeras.layers.regularization.spatial_dropout2d import SpatialDropout2D
    from fastkeras.layers.regularization.spatial_dropout3d import SpatialDropout3D
    from fastkeras.layers.reshaping.cropping1d import Cropping1D
    from fastkeras.layers.reshaping.cropping2d import Cropping2D
    from fastkeras.layers.reshaping.cropping3d import Cropping3D
    from fastkeras.layers.reshaping.flatten import Flatten
    from fastkeras.layers.reshaping.permute import Permute
    from fastkeras.layers.reshaping.repeat_vector import RepeatVector
    from fastkeras.layers.reshaping.reshape import Reshape
    from fastkeras.layers.reshaping.up_sampling1d import UpSampling1D
    from fastkeras.layers.reshaping.up_sampling2d import UpSampling2D
    from fastkeras.layers.reshaping.up_sampling3d import UpSampling3D
    from fastkeras.layers.reshaping.zero_padding1d import ZeroPadding1D
    from fastkeras.layers.reshaping.zero_padding2d import ZeroPadding2D
    from fastkeras.layers.reshaping.zero_padding3d import ZeroPadding3D
    from fastkeras.layers.rnn.bidirectional import Bidirectional
    from fastkeras.layers.rnn.conv_lstm1d import ConvLSTM1D
    from fastkeras.layers.rnn.conv_lstm2d import ConvLSTM2D
    from fastkeras.layers.rnn.conv_lstm3d import ConvLSTM3D
    from fastkeras.layers.rnn.gru import GRU
    from fastkeras.layers.rnn.gru_cell import GRUCell
    from fastkeras.layers.rnn.lstm import LSTM
    from fastkeras.layers.rnn.lstm_cell import LSTMCell
    from fastkeras.layers.rnn.rnn import RNN
    from fastkeras.layers.rnn.simple_rnn import SimpleRNN
    from fastkeras.layers.rnn.simple_rnn_cell import SimpleRNNCell
    from fastkeras.layers.rnn.stacked_rnn_cells import StackedRNNCells
    from fastkeras.layers.rnn.time_distributed import TimeDistributed

    AvgPool1D = AveragePooling1D
    AvgPool2D = AveragePooling2D
    AvgPool3D = AveragePooling3D
    Convolution1D = Conv1D
    Convolution1DTranspose = Conv1DTranspose
    Convolution2D = Conv2D
    Convolution2DTranspose = Conv2DTranspose
    Convolution3D = Conv3D
    Convolution3DTranspose = Conv3DTranspose
    GlobalAvgPool1D = GlobalAveragePooling1D
    GlobalAvgPool2D = GlobalAveragePooling2D
    GlobalAvgPool3D = GlobalAveragePooling3D
    GlobalMaxPool1D = GlobalMaxPooling1D
    GlobalMaxPool2D = GlobalMaxPooling2D
    GlobalMaxPool3D = GlobalMaxPooling3D
    MaxPool1D = MaxPooling1D
    MaxPool2D = MaxPooling2D
    MaxPool3D = MaxPooling3D
    SeparableConvolution1D = SeparableConv1D
    SeparableConvolution2D = SeparableConv2D

# The same for the running program: the names that every module defines.
_MODULES: dict[str, tuple[str, ...]] = {
    "activations.activation": ("Activation",),
    "activations.elu": ("ELU",),
    "activations.leaky_relu": ("LeakyReLU",),
    "activations.prelu": ("PReLU",),
    "activations.relu": ("ReLU",),
    "activations.softmax": ("Softmax",),
    "attention.additive_attention": ("AdditiveAttention",),
    "attention.attention": ("Attention",),
    "attention.grouped_query_attention": ("GroupQueryAttention",),
    "attention.multi_head_attention": ("MultiHeadAttention",),
    "convolutional.conv1d": ("Conv1D",),
    "convolutional.conv1d_transpose": ("Conv1DTranspose",),
    "convolutional.conv2d": ("Conv2D",),
    "convolutional.conv2d_transpose": ("Conv2DTranspose",),
    "convolutional.conv3d": ("Conv3D",),
    "convolutional.conv3d_transpose": ("Conv3DTranspose",),
    "convolutional.depthwise_conv1d": ("DepthwiseConv1D",),
    "convolutional.depthwise_conv2d": ("DepthwiseConv2D",),
    "convolutional.separable_conv1d": ("SeparableConv1D",),
    "convolutional.separable_conv2d": ("SeparableConv2D",),
    "core.dense": ("Dense",),
    "core.einsum_dense": ("EinsumDense",),
    "core.embedding": ("Embedding",),
    "core.identity": ("Identity",),
    "core.lambda_layer": ("Lambda",),
    "core.masking": ("Masking",),
    "core.reversible_embedding": ("ReversibleEmbedding",),
    "core.wrapper": ("Wrapper",),
    "merging.add": ("Add", "add"),
    "merging.average": ("Average", "average"),
    "merging.concatenate": ("Concatenate", "concatenate"),
    "merging.dot": ("Dot", "dot"),
    "merging.maximum": ("Maximum", "maximum"),
    "merging.minimum": ("Minimum", "minimum"),
    "merging.multiply": ("Multiply", "multiply"),
    "merging.subtract": ("Subtract", "subtract"),
    "normalization.batch_normalization": ("BatchNormalization",),
    "normalization.group_normalization": ("GroupNormalization",),
    "normalization.layer_normalization": ("LayerNormalization",),
    "normalization.rms_normalization": ("RMSNormalization",),
    "normalization.spectral_normalization": ("SpectralNormalization",),
    "normalization.unit_normalization": ("UnitNormalization",),
    "pooling.adaptive_average_pooling1d": ("AdaptiveAveragePooling1D",),
    "pooling.adaptive_average_pooling2d": ("AdaptiveAveragePooling2D",),
    "pooling.adaptive_average_pooling3d": ("AdaptiveAveragePooling3D",),
    "pooling.adaptive_max_pooling1d": ("AdaptiveMaxPooling1D",),
    "pooling.adaptive_max_pooling2d": ("AdaptiveMaxPooling2D",),
    "pooling.adaptive_max_pooling3d": ("AdaptiveMaxPooling3D",),
    "pooling.average_pooling1d": ("AveragePooling1D",),
    "pooling.average_pooling2d": ("AveragePooling2D",),
    "pooling.average_pooling3d": ("AveragePooling3D",),
    "pooling.global_average_pooling1d": ("GlobalAveragePooling1D",),
    "pooling.global_average_pooling2d": ("GlobalAveragePooling2D",),
    "pooling.global_average_pooling3d": ("GlobalAveragePooling3D",),
    "pooling.global_max_pooling1d": ("GlobalMaxPooling1D",),
    "pooling.global_max_pooling2d": ("GlobalMaxPooling2D",),
    "pooling.global_max_pooling3d": ("GlobalMaxPooling3D",),
    "pooling.max_pooling1d": ("MaxPooling1D",),
    "pooling.max_pooling2d": ("MaxPooling2D",),
    "pooling.max_pooling3d": ("MaxPooling3D",),
    "preprocessing.category_encoding": ("CategoryEncoding",),
    "preprocessing.normalization": ("Normalization",),
    "preprocessing.pipeline": ("Pipeline",),
    "preprocessing.rescaling": ("Rescaling",),
    "regularization.activity_regularization": ("ActivityRegularization",),
    "regularization.alpha_dropout": ("AlphaDropout",),
    "regularization.dropout": ("Dropout",),
    "regularization.gaussian_dropout": ("GaussianDropout",),
    "regularization.gaussian_noise": ("GaussianNoise",),
    "regularization.spatial_dropout1d": ("SpatialDropout1D",),
    "regularization.spatial_dropout2d": ("SpatialDropout2D",),
    "regularization.spatial_dropout3d": ("SpatialDropout3D",),
    "reshaping.cropping1d": ("Cropping1D",),
    "reshaping.cropping2d": ("Cropping2D",),
    "reshaping.cropping3d": ("Cropping3D",),
    "reshaping.flatten": ("Flatten",),
    "reshaping.permute": ("Permute",),
    "reshaping.repeat_vector": ("RepeatVector",),
    "reshaping.reshape": ("Reshape",),
    "reshaping.up_sampling1d": ("UpSampling1D",),
    "reshaping.up_sampling2d": ("UpSampling2D",),
    "reshaping.up_sampling3d": ("UpSampling3D",),
    "reshaping.zero_padding1d": ("ZeroPadding1D",),
    "reshaping.zero_padding2d": ("ZeroPadding2D",),
    "reshaping.zero_padding3d": ("ZeroPadding3D",),
    "rnn.bidirectional": ("Bidirectional",),
    "rnn.conv_lstm1d": ("ConvLSTM1D",),
    "rnn.conv_lstm2d": ("ConvLSTM2D",),
    "rnn.conv_lstm3d": ("ConvLSTM3D",),
    "rnn.gru": ("GRU",),
    "rnn.gru_cell": ("GRUCell",),
    "rnn.lstm": ("LSTM",),
    "rnn.lstm_cell": ("LSTMCell",),
    "rnn.rnn": ("RNN",),
    "rnn.simple_rnn": ("SimpleRNN",),
    "rnn.simple_rnn_cell": ("SimpleRNNCell",),
    "rnn.stacked_rnn_cells": ("StackedRNNCells",),
    "rnn.time_distributed": ("TimeDistributed",),
}
_ALIASES: dict[str, str] = {
    "AvgPool1D": "AveragePooling1D",
    "AvgPool2D": "AveragePooling2D",
    "AvgPool3D": "AveragePooling3D",
    "Convolution1D": "Conv1D",
    "Convolution1DTranspose": "Conv1DTranspose",
    "Convolution2D": "Conv2D",
    "Convolution2DTranspose": "Conv2DTranspose",
    "Convolution3D": "Conv3D",
    "Convolution3DTranspose": "Conv3DTranspose",
    "GlobalAvgPool1D": "GlobalAveragePooling1D",
    "GlobalAvgPool2D": "GlobalAveragePooling2D",
    "GlobalAvgPool3D": "GlobalAveragePooling3D",
    "GlobalMaxPool1D": "GlobalMaxPooling1D",
    "GlobalMaxPool2D": "GlobalMaxPooling2D",
    "GlobalMaxPool3D": "GlobalMaxPooling3D",
    "MaxPool1D": "MaxPooling1D",
    "MaxPool2D": "MaxPooling2D",
    "MaxPool3D": "MaxPooling3D",
    "SeparableConvolution1D": "SeparableConv1D",
    "SeparableConvolution2D": "SeparableConv2D",
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "Activation",
    "ActivityRegularization",
    "AdaptiveAveragePooling1D",
    "AdaptiveAveragePooling2D",
    "AdaptiveAveragePooling3D",
    "AdaptiveMaxPooling1D",
    "AdaptiveMaxPooling2D",
    "AdaptiveMaxPooling3D",
    "Add",
    "AdditiveAttention",
    "AlphaDropout",
    "Attention",
    "Average",
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "AvgPool1D",
    "AvgPool2D",
    "AvgPool3D",
    "BatchNormalization",
    "Bidirectional",
    "CategoryEncoding",
    "Concatenate",
    "Conv1D",
    "Conv1DTranspose",
    "Conv2D",
    "Conv2DTranspose",
    "Conv3D",
    "Conv3DTranspose",
    "ConvLSTM1D",
    "ConvLSTM2D",
    "ConvLSTM3D",
    "Convolution1D",
    "Convolution1DTranspose",
    "Convolution2D",
    "Convolution2DTranspose",
    "Convolution3D",
    "Convolution3DTranspose",
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "Dense",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "Dot",
    "Dropout",
    "ELU",
    "EinsumDense",
    "Embedding",
    "Flatten",
    "GRU",
    "GRUCell",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "GlobalAvgPool1D",
    "GlobalAvgPool2D",
    "GlobalAvgPool3D",
    "GlobalMaxPool1D",
    "GlobalMaxPool2D",
    "GlobalMaxPool3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "GroupNormalization",
    "GroupQueryAttention",
    "Identity",
    "Input",
    "InputLayer",
    "InputSpec",
    "LSTM",
    "LSTMCell",
    "Lambda",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "Masking",
    "MaxPool1D",
    "MaxPool2D",
    "MaxPool3D",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
    "Maximum",
    "Minimum",
    "MultiHeadAttention",
    "Multiply",
    "Normalization",
    "PReLU",
    "Permute",
    "Pipeline",
    "RMSNormalization",
    "RNN",
    "ReLU",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "ReversibleEmbedding",
    "SeparableConv1D",
    "SeparableConv2D",
    "SeparableConvolution1D",
    "SeparableConvolution2D",
    "SimpleRNN",
    "SimpleRNNCell",
    "Softmax",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "SpectralNormalization",
    "StackedRNNCells",
    "Subtract",
    "TimeDistributed",
    "UnitNormalization",
    "UpSampling1D",
    "UpSampling2D",
    "UpSampling3D",
    "Wrapper",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "ZeroPadding3D",
    "add",
    "average",
    "concatenate",
    "deserialize",
    "dot",
    "maximum",
    "minimum",
    "multiply",
    "serialize",
    "subtract",
]


def __getattr__(name: str) -> Any:
    public = _ALIASES.get(name, name)
    home = _HOMES.get(public)
    if home is None:
        raise AttributeError(f"module 'fastkeras.layers' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"fastkeras.layers.{home}"), public)
    # Kept, so that the next look-up finds it without coming here.
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def serialize(layer: Layer) -> dict[str, Any]:
    """Returns the dictionary that `deserialize` turns back into `layer` (without its weights)."""
    from fastkeras.saving.serialization import serialize_keras_object

    return serialize_keras_object(layer)


def deserialize(config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Layer:
    """Builds a layer from a dictionary made by `serialize`.

    Raises:
        ValueError: the dictionary does not describe a layer.
    """
    from fastkeras.saving.serialization import deserialize_keras_object

    layer = deserialize_keras_object(config, custom_objects=custom_objects)
    if not isinstance(layer, Layer):
        raise ValueError(
            "layers.deserialize: `config` must describe a layer. Received a description of a "
            f"{type(layer).__name__}: {config}"
        )
    return layer
