"""All layers, by their public names."""

from __future__ import annotations

from typing import Any

from fastkeras.layers.activations.activation import Activation
from fastkeras.layers.activations.elu import ELU
from fastkeras.layers.activations.leaky_relu import LeakyReLU
from fastkeras.layers.activations.prelu import PReLU
from fastkeras.layers.activations.relu import ReLU
from fastkeras.layers.activations.softmax import Softmax
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
from fastkeras.layers.input_layer import Input, InputLayer
from fastkeras.layers.input_spec import InputSpec
from fastkeras.layers.layer import Layer
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
    "AlphaDropout",
    "Average",
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "AvgPool1D",
    "AvgPool2D",
    "AvgPool3D",
    "BatchNormalization",
    "Concatenate",
    "Conv1D",
    "Conv1DTranspose",
    "Conv2D",
    "Conv2DTranspose",
    "Conv3D",
    "Conv3DTranspose",
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
    "Identity",
    "Input",
    "InputLayer",
    "InputSpec",
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
    "Multiply",
    "PReLU",
    "Permute",
    "Pipeline",
    "RMSNormalization",
    "ReLU",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "ReversibleEmbedding",
    "SeparableConv1D",
    "SeparableConv2D",
    "SeparableConvolution1D",
    "SeparableConvolution2D",
    "Softmax",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "SpectralNormalization",
    "Subtract",
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
            f"layers.deserialize: `config` must describe a layer. Received: a {type(layer).__name__}, from "
            f"{config}"
        )
    return layer
