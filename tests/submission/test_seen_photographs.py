"""Test photographs that were learned from are named; the rules of a challenge refuse them."""

import pytest

from seamark.manifests.index import ImageRecord
from seamark.manifests.submission import ChallengeVerdict
from seamark.submission.seen_photographs import seen_test_photographs


def image(category, split, name, digest):
    facts = {"label": None, "light": "regular", "width": 4, "height": 3, "channels": 1, "mask": None}
    file = f"{category}/{split}/{name}.png"
    return ImageRecord(id=name, file=file, split=split, sha256=digest, **facts)


@pytest.mark.parametrize("learned", ["train", "validation"])
@pytest.mark.parametrize("tested", ["test_public", "test_private", "test_private_mixed"])
@pytest.mark.parametrize("category", ["felt", "wool"])
def test_the_same_file_in_a_split_to_learn_from_and_in_a_test_split_is_named(learned, tested, category):
    images = [image("felt", learned, "good/1", "a"), image(category, tested, "2", "a"), image("felt", tested, "3", "b")]
    breach = seen_test_photographs(images)
    assert breach.values == {f"{category}/{tested}/2.png": f"the same file as felt/{learned}/good/1.png"}


def test_the_same_file_twice_in_train_or_in_test_is_none_of_its_business():
    twice = [("train", "a"), ("train", "a"), ("validation", "a"), ("test_private", "b"), ("test_private_mixed", "b")]
    assert seen_test_photographs(image("felt", split, str(n), key) for n, (split, key) in enumerate(twice)) is None


def test_rules_in_force_refuse_it_and_others_do_not():
    breach = seen_test_photographs([image("felt", "train", "1", "a"), image("felt", "test_private", "2", "a")])
    verdict = ChallengeVerdict(challenge="vand4", enforced=False, breaches=(), cautions=()).with_breach(breach)
    assert verdict.refusal() is None
    refusal = verdict.model_copy(update={"enforced": True}).refusal()
    assert '"the same file as felt/train/1.png" for felt/test_private/2.png; take each out of train' in refusal


def test_thousands_are_not_all_spelt_out():
    images = [image("felt", split, f"{n:04}", str(n)) for split in ("train", "test_private") for n in range(2000)]
    spelled = seen_test_photographs(images).spelled()
    assert spelled.count(".png") == 40
    assert spelled.endswith('"likewise" for 1980 more')
