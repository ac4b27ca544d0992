"""All networks by name."""

from __future__ import annotations

from segkit.files import nearest
from segkit.models import libraries
from segkit.models.network import Network
from segkit.models.papers import (
    attention_unet,
    deconvnet,
    deeplab,
    deeplabv3plus,
    dilatednet,
    fcdensenet,
    fcn,
    hrnet,
    multiresunet,
    resunet,
    segnet,
    unet,
    unet3plus,
    unetpp,
)

FAMILIES = (
    attention_unet, deconvnet, deeplab, deeplabv3plus, dilatednet, fcdensenet, fcn, hrnet, multiresunet, resunet,
    segnet, unet, unet3plus, unetpp, libraries,
)  # fmt: skip
NETWORKS: dict[str, Network] = {row.name: row for family in FAMILIES for row in family.NETWORKS}


def names() -> list[str]:
    """All names that `create` takes.

    Returns:
        Names, sorted.
    """
    return sorted(NETWORKS)


def find(name: str, encoder: str | None) -> Network:
    """Find the row of a network.

    Args:
        name: One of `names()`.
        encoder: Encoder that the user named; None for the usual one.

    Returns:
        The row, of the variant on an encoder where one is named.

    Raises:
        ValueError: For an unknown name, with the nearest ones.
    """
    if name not in NETWORKS:
        raise ValueError(f"no network {name!r}; {nearest(name, NETWORKS)}")
    row = NETWORKS[name]
    return row.encoder_variant if encoder and row.encoder_variant else row
