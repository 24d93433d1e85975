"""The language model of models/gpt.py in plain PyTorch: one product for q, k and v, `scaled_dot_product_attention`."""

import torch
import torch.nn.functional as F
from torch import nn

VOCABULARY, LENGTH, WIDTH, HEADS, LAYERS = 4096, 128, 256, 4, 4


def norm():
    """Layer normalization with Keras' epsilon."""
    return nn.LayerNorm(WIDTH, eps=1e-3)


class Block(nn.Module):
    """Causal self-attention and a feed-forward part, each normalized first and added to its input."""

    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = norm(), norm()
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x):
        """(batch, time, width) to the same."""
        batch, time, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(batch, time, 3, HEADS, width // HEADS).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.dropout(self.out(attended.transpose(1, 2).reshape(batch, time, width)))
        return x + self.dropout(self.down(F.gelu(self.up(self.norm2(x)))))


class Gpt(nn.Module):
    """Token and position vectors, the blocks, and a head of its own weights."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.positions = nn.Parameter(0.02 * torch.randn(LENGTH, WIDTH))
        self.dropout = nn.Dropout(0.1)
        self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.norm = norm()
        self.head = nn.Linear(WIDTH, VOCABULARY)

    def forward(self, tokens):
        """Tokens (batch, time) to logits (batch, time, vocabulary)."""
        x = self.dropout(self.embedding(tokens) + self.positions)
        return self.head(self.norm(self.blocks(x)))


def build():
    """The network, from tokens to logits."""
    return Gpt()
