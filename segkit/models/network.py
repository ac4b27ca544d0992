"""What `create` and whoever has to choose want to know about one network."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import nn

GIVEN = ("classes", "in_channels", "prior", "encoder", "weights")  # by `create`; the rest are the network's options


class Paper(NamedTuple):
    """Where a network was published.

    Attributes:
        title: Name of the network in the paper.
        authors: Up to three, or the first "et al.".
        venue: Conference, journal, or arXiv number.
        year: Of publication.
    """

    title: str
    authors: str
    venue: str
    year: int

    def __str__(self) -> str:
        return f"{self.title}: {self.authors}, {self.venue} {self.year}"


@dataclass(frozen=True)
class Network:
    """A network that `create` knows. The file of each family of networks ends with their rows.

    `Segmenter` pads images to `size_multiple` and `min_size`, resizes the logits, crops, and returns extra outputs in
    training only.

    Args:
        name: What `create` is asked for.
        build: Called by keyword with classes (a number) and in_channels, with prior, encoder and weights (None or the
            name of a set) where it takes them, and with the user's options, which are its other parameters. Returns a
            module (N, in_channels, H, W) -> raw logits (N, C, h, w), or a dictionary with "out" and extra outputs in
            any mode ("aux": logits, "deep": a list of logits, "cls": (N, C)), its weights initialised.
        paper: Where it was published.
        stride: Image px for one logit before it is resized.
        good_for: When to choose it, in a few words.
        heads: Lists the submodules of build's module whose last convolution starts with the prior as bias.
        weights: Names of the sets of pretrained weights.
        load_weights: Fills a built module with a set: (module, name, set). None where build does it.
        encoder: The usual one; None where the network brings its own.
        size_multiple: Height and width that build's module takes are multiples of it, in px; may depend on the module.
        min_size: Smallest height and width that the module sees, in px.
        options: Lists options and defaults where build's signature does not.
        encoder_defaults: Defaults that depend on the encoder and on the options given: (encoder, options) -> defaults.
        has_unused_parameters: A library's network may hold parameters that no output needs; they are frozen.
        encoder_variant: Row that takes over where the user names an encoder, for networks with and without one.
    """

    name: str
    build: Callable[..., nn.Module]
    paper: Paper
    stride: int
    good_for: str
    heads: Callable[[Any], Iterable[nn.Module]] = lambda body: (body.head,)
    weights: tuple[str, ...] = ()
    load_weights: Callable[[nn.Module, str, str], None] | None = None
    encoder: str | None = None
    size_multiple: int | Callable[[nn.Module], int] = 1
    min_size: int = 64
    options: Callable[[], dict[str, Any]] | None = None
    encoder_defaults: Callable[[str | None, dict[str, Any]], dict[str, Any]] | None = None
    has_unused_parameters: bool = False
    encoder_variant: Network | None = None

    def takes(self, parameter: str) -> bool:
        """Whether `build` has a parameter.

        Args:
            parameter: "prior", "encoder" or "weights".

        Returns:
            True where it has.
        """
        return parameter in inspect.signature(self.build).parameters

    def settings(self, encoder: str | None, given: dict[str, Any]) -> dict[str, Any]:
        """Options as the network is built with.

        Args:
            encoder: Name of the encoder, if any.
            given: Options of the user.

        Returns:
            {option: value}, all of them.
        """
        return self.defaults() | (self.encoder_defaults(encoder, given) if self.encoder_defaults else {}) | given

    def defaults(self) -> dict[str, Any]:
        """Options with their defaults.

        Returns:
            {option: default}.
        """
        if self.options is not None:
            return self.options()
        return {p.name: p.default for p in inspect.signature(self.build).parameters.values() if p.name not in GIVEN}
