"""Options of a dataset, as `with_options` takes them."""

from __future__ import annotations

import enum
from typing import Any


class AutoShardPolicy(enum.IntEnum):
    """How a dataset is divided among workers."""

    OFF = -1
    AUTO = 0
    FILE = 1
    DATA = 2
    HINT = 3


class OptionGroup:
    """A group of options that are accepted and kept, so that code for tf.data runs; they change nothing here."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in sorted(vars(self).items()))})"


class Options(OptionGroup):
    """Settings for a whole dataset.

    Only `deterministic` has an effect: set to False, parallel `map` and `interleave` steps that do not say
    otherwise may hand out their results as they become ready. Any other attribute of `tf.data.Options` can be
    set and read.

    Example:
        >>> options = Options()
        >>> options.deterministic = False
        >>> dataset = dataset.with_options(options)
    """

    def __init__(self) -> None:
        self.deterministic: bool | None = None
        self.autotune = OptionGroup()
        self.threading = OptionGroup()
        self.experimental_distribute = OptionGroup()
        self.experimental_distribute.auto_shard_policy = AutoShardPolicy.AUTO  # type: ignore[attr-defined]
        self.experimental_optimization = OptionGroup()

    @property
    def experimental_deterministic(self) -> bool | None:
        """The former name of `deterministic`."""
        return self.deterministic

    @experimental_deterministic.setter
    def experimental_deterministic(self, value: bool | None) -> None:
        self.deterministic = value

    def merge(self, other: Options) -> Options:
        """Returns options in which what `other` sets has precedence."""
        merged = Options()
        for options in (self, other):
            for name, value in vars(options).items():
                if isinstance(value, OptionGroup):
                    vars(getattr(merged, name)).update(vars(value))
                elif value is not None:
                    setattr(merged, name, value)
        return merged

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, OptionGroup) and repr(self) == repr(other)

    __hash__ = None  # type: ignore[assignment]
