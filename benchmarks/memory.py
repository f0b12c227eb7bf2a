"""Peak memory of a few training steps, guarded or bare, in a process of its own: `python -m benchmarks.memory cnn guarded`."""

from __future__ import annotations

import logging
import resource
import sys
import warnings
from functools import partial

from lightning.pytorch import Callback

from benchmarks.interleave import Phase, run
from benchmarks.models import WORKS
from benchmarks.overhead import own_seconds_of
from lightning_nnguard import NNGuard

NUM_PAIRS = 3


def main() -> None:
    """Print the peak resident memory in bytes."""
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    key, kind = sys.argv[1:]
    # Blocks of one step with `every_n_steps=1`: each guarded step is sampled.
    guard = NNGuard(every_n_steps=1)
    phases = [Phase(name="memory", block=1, num_pairs=NUM_PAIRS)]
    if kind == "guarded":
        run(WORKS[key], guard, phases, own_seconds=partial(own_seconds_of, guard))
    else:
        run(WORKS[key], Callback(), phases)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))


if __name__ == "__main__":
    main()
