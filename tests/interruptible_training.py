"""A training that ends in the middle, as if its process had died, and that can be gone on with."""

from seamark.learning.checkpoints import Checkpoint
from seamark.learning.loop import Training


class Stopped(Exception):
    """Stands for the end of the process."""


def interruptible_training(detector, path, train, validation, stop_after=None):
    """Return the training of a detector with a checkpoint, which raises ``Stopped`` after so many steps."""
    done = 0

    def track(items, _):
        nonlocal done
        for item in items:
            yield item
            done += 1
            if done == stop_after:
                raise Stopped

    return Training(
        detector,
        detector.settings,
        train=train,
        validation=validation,
        checkpoint=Checkpoint(path, {"key": "a"}),
        device="cpu",
        workers=0,
        track=track,
    )
