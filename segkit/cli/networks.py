"""`segkit models`: what there is to choose from. The table needs no torch; it is stored beside the networks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

TABLE = Path(__file__).parents[1] / "models" / "networks.json"
HEADS = ("name", "year", "params M", "GMAC", "stride", "train MB", "weights", "good for")
NOTE = "21 classes, RGB, 512 x 512 px; train MB: one image, float32, Adam. segkit models NAME prints a network's plan."


def models(
    name: tyro.conf.Positional[str | None] = None,
    encoder: str | None = None,
    sort: Annotated[Literal["name", "year", "params", "gmac", "memory"], tyro.conf.arg(aliases=["-s"])] = "name",
) -> int:
    """The networks that segkit.models.create knows, with what each costs; or the plan of one (that needs torch).

    Args:
        name: Of one network, to print its plan: paper, parameters, sizes, options, and each part at 256 px.
        encoder: For NAME: one of smp's encoders, or tu-NAME for any of timm's.
        sort: The table's order: name, year, params (parameters), gmac (cost of a forward pass), memory (of a step).
    """
    if name:
        from segkit import models as known

        print(known.describe(name, encoder=encoder, classes=21, in_channels=3))  # as the table counts
        return 0
    if encoder:
        raise ValueError(f"--encoder {encoder} is for the plan of one network: segkit models unet --encoder {encoder}")
    key = {"params": "parameters", "memory": "memory_mb"}.get(sort, sort)
    table = read()
    rows = [cells(network, table[network]) for network in sorted(table, key=lambda n: (table[n].get(key, n), n))]
    widths = [max(len(row[i]) for row in (HEADS, *rows)) for i in range(len(HEADS))]
    for row in (HEADS, *rows):
        places = (cell.rjust(w) if 0 < i < 6 else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths)))
        print("  ".join(places).rstrip())
    print(NOTE)
    return 0


def read() -> dict[str, dict[str, Any]]:
    """The stored table: {name: what `python -m benchmarks.networks` found}."""
    from segkit.files import read_json

    table: dict[str, dict[str, Any]] = read_json(TABLE)
    return table


def cells(name: str, row: dict[str, Any]) -> tuple[str, ...]:
    """One network's row of the table, as text, in the order of HEADS."""
    numbers = (str(row["year"]), f"{row['parameters'] / 1e6:.1f}", f"{row['gmac']:.1f}", str(row["stride"]))
    return name, *numbers, str(row["memory_mb"]), ", ".join(row["weights"]) or "-", row["good_for"]
