"""What worker.py measures for the libraries `pytorch` and `pytorch-compile`: hand-written networks of torch_models/.

Written the way PyTorch is quick: tensors indexed by a permutation, channels_last images, fused Adam, no look at the
loss before an epoch ends, `autocast` for mixed precision. `pytorch-compile` compiles the forward pass with the loss and
the metric, and prediction; its cache on disk is the caller's business (compare.py gives every process an empty one).
"""

import importlib
import time

import torch
import torch.nn.functional as F


class TorchSubject:
    """One network with its optimizer, trained and served on NumPy data."""

    def __init__(self, name, policy, compiled, x, y, batch):
        self.batch = batch
        self.mixed = {"float32": False, "mixed_bfloat16": True}[policy]
        torch.manual_seed(0)
        self.network = importlib.import_module(f"torch_models.{name}").build()
        self.network.to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-3, eps=1e-7, fused=True)
        self.binary = y.dtype.kind == "f"
        self.x = torch.from_numpy(x)
        self.y = torch.from_numpy(y) if self.binary else torch.from_numpy(y).long()
        compile_ = (lambda f: torch.compile(f, dynamic=False)) if compiled else (lambda f: f)
        self.loss, self.output = compile_(self._loss), compile_(self._output)

    def _logits(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.mixed):
            return self.network(x.permute(0, 3, 1, 2) if x.ndim == 4 else x)

    def _loss(self, x, y):
        """Loss and number of right answers of a batch."""
        logits = self._logits(x).float()
        if self.binary:
            right = ((logits > 0) == (y > 0.5)).sum()
            return F.binary_cross_entropy_with_logits(logits, y), right
        logits, y = logits.flatten(0, -2), y.flatten()
        return F.cross_entropy(logits, y), (logits.argmax(1) == y).sum()

    def _output(self, x):
        """Probabilities, or logits where the Keras model gives them (labels of several dimensions)."""
        logits = self._logits(x).float()
        if self.binary:
            return logits.sigmoid()
        return logits.softmax(-1) if self.y.ndim == 1 else logits

    def _train(self, rows):
        self.optimizer.zero_grad(set_to_none=True)
        loss, right = self.loss(self.x[rows], self.y[rows])
        loss.backward()
        self.optimizer.step()
        return loss.detach(), right

    def step(self):
        """One training step on the first batch; its loss."""
        loss, _ = self._train(torch.arange(self.batch))
        return loss.item()

    def train(self, steps, seconds):
        """Trains for about `seconds`, at least two epochs after one of warm-up; the seconds of each epoch."""
        self.network.train()
        times, end = [], None
        while end is None or len(times) < 2 or time.perf_counter() < end:
            start = time.perf_counter()
            total, right = torch.zeros(()), torch.zeros((), dtype=torch.int64)
            for rows in torch.randperm(steps * self.batch).split(self.batch):
                loss, hits = self._train(rows)
                total += loss
                right += hits
            if not torch.isfinite(total / steps) or right.item() < 0:
                raise RuntimeError(f"The loss is {total.item()}.")
            if end is None:
                end = time.perf_counter() + seconds
            else:
                times.append(time.perf_counter() - start)
        self.network.eval()
        return times

    def predict(self, x):
        """NumPy inputs to NumPy outputs."""
        with torch.inference_mode():
            return self.output(torch.from_numpy(x)).numpy()

    call = predict

    def parameters(self):
        """Number of trained values."""
        return sum(p.numel() for p in self.network.parameters())
