"""How many near-duplicates are found by their hashes, and how many strangers with them."""

import io

from PIL import Image

from bench.similar import CHANGES, distinct, measure
from tests.samples import images


async def test_recall_and_precision() -> None:
    """Of 206 pictures, six of them photographs: what was coded anew is found, half of what was cut, and no stranger."""
    photos = [Image.open(io.BytesIO(images.real(name))).convert("RGB") for name in images.PHOTOS]
    found = await measure([*photos, *(distinct(seed) for seed in range(200))], changed=24)
    recall = found["recall"]
    cut = {name for name in CHANGES if "cut off" in name}
    assert min(recall[name] for name in CHANGES if name not in cut) >= 0.95, recall
    assert recall["5 % cut off"] >= 0.75, recall
    assert recall["10 % cut off"] >= 0.25, recall
    assert found["precision"] >= 0.98, found
    assert found["strangers_found"] <= 0.001 * found["pairs_of_strangers"], found
