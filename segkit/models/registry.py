"""One row for each network: how it is built, and what somebody who has to choose wants to know."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

GIVEN = ("classes", "in_channels", "prior", "encoder", "weights")  # by `create`; the rest are the network's options


@dataclass(frozen=True)
class Network:
    """A network that `create` knows. A family's file ends with the rows of its members.

    name: what `create` is asked for; build: called by keyword with classes (a number), in_channels and prior,
    with encoder and weights (None or the name of a set) where it takes them, and with the user's options, which
    are its other parameters. It returns a module (N, in_channels, H, W) -> raw logits (N, C, h, w), or a dict
    with "out" and extra outputs in any mode ("aux": logits, "deep": a list of logits, "cls": (N, C)); its
    weights other than the encoder's are ready, the prior in its last bias. `Segmenter` pads to `multiple` px
    and to at least `smallest`, resizes, crops, and gives extra outputs in training only.

    title, authors, venue, year: the paper; stride: image px for one logit before it is resized; good_for: when
    to choose it, in a few words; weights: the sets that build knows; encoder: the usual one, None where the
    network brings its own; options: a function that lists options and defaults where build's signature does
    not; depending: those whose defaults depend on the encoder and on the options given; leftovers: a library's
    network may hold parameters that no output needs, which are then frozen; on_encoder: the row that takes over
    where the user names an encoder, for plans that exist with and without one.
    """

    name: str
    build: Callable[..., nn.Module]
    title: str
    authors: str
    venue: str
    year: int
    stride: int
    good_for: str
    weights: tuple[str, ...] = ()
    encoder: str | None = None
    multiple: int | Callable[[nn.Module], int] = 1
    smallest: int = 64
    options: Callable[[], dict[str, Any]] | None = None
    depending: Callable[[str | None, dict[str, Any]], dict[str, Any]] | None = None
    leftovers: bool = False
    on_encoder: Network | None = None

    @property
    def paper(self) -> str:
        """The paper in one line, as "U-Net: Ronneberger, Fischer, Brox, MICCAI 2015"."""
        return f"{self.title}: {self.authors}, {self.venue} {self.year}"

    def takes(self, setting: str) -> bool:
        """Whether `build` has the parameter `setting`, "encoder" or "weights"."""
        return setting in inspect.signature(self.build).parameters

    def settings(self, encoder: str | None, given: dict[str, Any]) -> dict[str, Any]:
        """The network's own options as it is built on `encoder` where the user has `given` some of them."""
        return self.defaults() | (self.depending(encoder, given) if self.depending else {}) | given

    def defaults(self) -> dict[str, Any]:
        """The network's own options with their defaults."""
        if self.options is not None:
            return self.options()
        own = inspect.signature(self.build).parameters.values()
        return {p.name: p.default for p in own if p.name not in GIVEN}
