"""Classes that a mirror turns into each other: left and right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor

from segkit.files import nearest

Swaps = Sequence[tuple[int, int]] | Sequence[tuple[str, str]]


class ClassSwaps:
    """Which channel of a view's output each channel of the result is taken from.

    Attributes:
        classes: Names in channel order, or None.
        swaps: {channel: the channel that a mirror turns it into}, in both directions.
    """

    def __init__(self, pairs: Swaps, classes: Sequence[str] | None) -> None:
        self.classes = None if classes is None else tuple(classes)
        self.swaps = _read(pairs, self.classes)

    def sources(self, out: Tensor, *, mirrored: bool) -> list[int]:
        """Return the source of each channel.

        Args:
            out: What the model returned.
            mirrored: Whether the view exchanged left and right.

        Returns:
            For each channel of the result its channel in `out`.

        Raises:
            ValueError: If the model returned no tensor (N, C, h, w), or channels that do not fit swaps or classes.
        """
        if not isinstance(out, Tensor) or out.ndim != 4:
            got = tuple(out.shape) if isinstance(out, Tensor) else f"a {type(out).__name__}"
            raise ValueError(
                f"expected a model that returns one tensor (N, C, H, W), got {got}; "
                "wrap it: lambda image: model(image)[...], or put it in eval mode where it has auxiliary outputs"
            )
        count = out.shape[1]
        if self.classes is not None and len(self.classes) != count:
            raise ValueError(f"the model returned {count} channels but {len(self.classes)} classes are named")
        if self.swaps and max(self.swaps) >= count:
            raise ValueError(f"class_swaps name channel {max(self.swaps)} but the model returned {count} channels")
        return [self.swaps.get(channel, channel) if mirrored else channel for channel in range(count)]


def _read(pairs: Iterable[Sequence[int | str]], classes: tuple[str, ...] | None) -> dict[int, int]:
    """{channel: the channel a mirror turns it into}, in both directions."""
    swaps: dict[int, int] = {}
    for pair in pairs:
        if isinstance(pair, str) or not isinstance(pair, Sequence):
            raise ValueError(f"class_swaps are pairs such as [(0, 1)], got {pair!r} among {pairs!r}")
        channels = []
        for one in pair:
            if isinstance(one, str):
                if classes is None:
                    raise ValueError(f"class_swaps name {one!r}; pass classes= in channel order, or channel indices")
                if one not in classes:
                    raise ValueError(f"class_swaps name {one!r}; {nearest(one, classes)}")
                one = classes.index(one)
            channels.append(int(one))
        if len(set(channels)) != 2 or min(channels) < 0 or any(channel in swaps for channel in channels):
            raise ValueError(f"class_swaps are pairs of two different classes, each class in one pair, got {pair}")
        first, second = channels
        swaps |= {first: second, second: first}
    return swaps
