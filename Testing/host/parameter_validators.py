"""Annotations of parameters: what values may be, and how their widgets are set up."""

from __future__ import annotations

import abc
from dataclasses import dataclass


class Validator(abc.ABC):
    """Base of the checks that are made when a parameter is set."""

    @abc.abstractmethod
    def validate(self, value: object) -> None:
        """Raise ValueError unless `value` is allowed."""


@dataclass
class WithinRange(Validator):
    """From minimum to maximum, both included."""

    minimum: float
    maximum: float

    def validate(self, value: float) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"must be in [{self.minimum}, {self.maximum}], is {value}")


@dataclass
class Minimum(Validator):
    """Not below a number."""

    minimum: float

    def validate(self, value: float) -> None:
        if value < self.minimum:
            raise ValueError(f"must be at least {self.minimum}, is {value}")


@dataclass
class Maximum(Validator):
    """Not above a number."""

    maximum: float

    def validate(self, value: float) -> None:
        if value > self.maximum:
            raise ValueError(f"must be at most {self.maximum}, is {value}")


@dataclass
class Choice(Validator):
    """One of a list."""

    choices: list

    def validate(self, value: object) -> None:
        if value not in self.choices:
            raise ValueError(f"must be one of {self.choices}, is {value!r}")


@dataclass
class Exclude(Validator):
    """None of a list."""

    excludedValues: list

    def validate(self, value: object) -> None:
        if value in self.excludedValues:
            raise ValueError(f"must be none of {self.excludedValues}, is {value!r}")


class NotNone(Validator):
    """Not None."""

    def validate(self, value: object) -> None:
        if value is None:
            raise ValueError("must not be None")


@dataclass
class Default:
    """The value of a parameter that was not set yet."""

    value: object


@dataclass
class Decimals:
    """Digits that a spin box shows."""

    value: int


@dataclass
class SingleStep:
    """Step of a spin box."""

    value: float
