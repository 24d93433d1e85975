"""The text classifier of models/bilstm.py in plain PyTorch: one two-layer bidirectional `nn.LSTM`."""

import torch
from torch import nn

VOCABULARY = 20000


class Classifier(nn.Module):
    """Embedding, two bidirectional LSTM layers, and the logit of the last states."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 128)
        self.lstm = nn.LSTM(128, 64, num_layers=2, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(128, 1)

    def forward(self, tokens):
        """Tokens (batch, time) to logits (batch, 1)."""
        _, (states, _) = self.lstm(self.embedding(tokens))
        return self.head(self.dropout(torch.cat((states[-2], states[-1]), dim=1)))


def build():
    """The network, from tokens to a logit."""
    return Classifier()
