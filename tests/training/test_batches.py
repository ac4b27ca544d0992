"""EpochBatchSampler: every image once an epoch, shared out evenly; EpochDataset: datasets of others."""

import pytest
import torch
from torch.utils.data import DataLoader

from segkit.training.batches import EpochBatchSampler, EpochDataset


def test_an_epoch_sees_each_image_once_and_processes_share_its_batches():
    sampler = EpochBatchSampler(10, batch_size=5, epochs=range(3), seed=1)
    batches = list(sampler)
    assert len(batches) == len(sampler) == 6
    for epoch in range(3):
        seen = [at for batch in batches[2 * epoch : 2 * epoch + 2] for at in batch]
        assert {e for e, _ in seen} == {epoch}
        assert sorted(i for _, i in seen) == list(range(10))
    assert sampler.order(0) != sampler.order(1) != EpochBatchSampler(10, batch_size=5, epochs=range(3), seed=2).order(1)
    whole = list(EpochBatchSampler(9, batch_size=4, epochs=range(1, 3), seed=1))
    halves = [list(EpochBatchSampler(9, batch_size=4, epochs=range(1, 3), seed=1, rank=r, world=2)) for r in (0, 1)]
    assert whole == [a + b for a, b in zip(*halves)]
    assert len(whole) == 4  # 9 = 2 x 4 + 1: the odd one waits for the next shuffle


def test_a_set_smaller_than_a_batch_is_one_batch():
    assert [len(batch) for batch in EpochBatchSampler(3, batch_size=8, epochs=range(2), seed=0)] == [3, 3]
    with pytest.raises(ValueError, match="multiple of the 2"):
        EpochBatchSampler(9, batch_size=3, epochs=range(1), seed=0, world=2)
    with pytest.raises(ValueError, match="at least one each"):
        EpochBatchSampler(1, batch_size=2, epochs=range(1), seed=0, world=2)


def test_pairs_and_samples_without_an_index_are_taken():
    image, target = torch.zeros(1, 2, 2), torch.ones(1, 2, 2)
    assert EpochDataset([(image, target)])[3, 0] == {"index": 0, "image": image, "target": target}
    assert EpochDataset([{"image": image, "target": target, "index": 7}])[3, 0]["index"] == 7


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (DataLoader([1, 2]), "got a DataLoader: pass loader.dataset"),
        (iter([1]), "expected a dataset"),
        ([{"image": 1, "mask": 2}], r'sample 0: expected \{"image", "target"\} or \(image, target\), got image, mask'),
        ([(1, 2, 3)], "got a tuple"),
    ],
)
def test_other_data_is_refused_by_name(data, says):
    with pytest.raises(ValueError, match=says):
        EpochDataset(data)[0, 0]
