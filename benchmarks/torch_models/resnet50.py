"""The ResNet50 of models/resnet50.py in plain PyTorch.

As in `keras.applications`: convolutions with a bias, and the stride in the first 1x1 convolution of a stage.
"""

from torch import nn


def conv_norm(inputs, outputs, size, stride=1):
    """Convolution and batch normalization."""
    return (
        nn.Conv2d(inputs, outputs, size, stride, padding=size // 2),
        nn.BatchNorm2d(outputs, eps=1.001e-5, momentum=0.01),
    )


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut, which is projected in the first block of a stage."""

    def __init__(self, inputs, width, stride, project):
        super().__init__()
        self.body = nn.Sequential(
            *conv_norm(inputs, width, 1, stride),
            nn.ReLU(inplace=True),
            *conv_norm(width, width, 3),
            nn.ReLU(inplace=True),
            *conv_norm(width, 4 * width, 1),
        )
        self.shortcut = nn.Sequential(*conv_norm(inputs, 4 * width, 1, stride)) if project else nn.Identity()
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        """(batch, inputs, height, width) to (batch, 4 * width, height / stride, width / stride)."""
        return self.relu(self.body(x).add_(self.shortcut(x)))


def build():
    """The network, from images to logits."""
    parts = [*conv_norm(3, 64, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, padding=1)]
    channels = 64
    for width, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(blocks):
            parts.append(Bottleneck(channels, width, stride if block == 0 else 1, project=block == 0))
            channels = 4 * width
    return nn.Sequential(
        *parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(channels, 100)
    )
