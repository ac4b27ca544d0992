"""Networks behind one interface: any image size in, raw logits of that size out.

Example:
    >>> import torch
    >>> model = create("unet", classes=("lung", "heart"), encoder="resnet18")
    >>> model(torch.zeros(1, 1, 97, 131)).shape
    torch.Size([1, 2, 97, 131])
"""

from segkit.models.description import describe
from segkit.models.factory import create
from segkit.models.network import Network, Paper
from segkit.models.registry import NETWORKS, names
from segkit.models.segmenter import Segmenter
from segkit.models.weights import WeightsError

__all__ = ["NETWORKS", "Network", "Paper", "Segmenter", "WeightsError", "create", "describe", "names"]
