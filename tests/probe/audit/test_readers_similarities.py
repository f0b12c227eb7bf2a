"""What the reader sees of losses over the similarities of all pairs of a batch."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_nnguard.observation import SelfSimilaritySeen
from lightning_nnguard.probe.audit.readers.similarities import self_similarities
from lightning_nnguard.rules.wiring.self_similarity_not_masked import SelfSimilarityNotMasked
from tests.probe.audit.recording import Net, record

X = torch.randn(12, 6, generator=torch.Generator().manual_seed(0))
PARTNER, OWN = torch.arange(12).roll(6), torch.arange(12)
EYE = torch.eye(12, dtype=torch.bool)


def seen_in(loss) -> list[SelfSimilaritySeen]:
    torch.manual_seed(0)
    model = Net(lambda self, x: loss(F.normalize(self.a(x), dim=1), self.b(x)), a=nn.Linear(6, 5), b=nn.Linear(6, 5))
    return list(self_similarities(record(model, model, X)))


def faults(seen: list[SelfSimilaritySeen]) -> int:
    return sum(SelfSimilarityNotMasked().check(each) is not None for each in seen)


@pytest.mark.parametrize(
    "logits",
    [
        lambda z: z @ z.T / 0.2,
        lambda z: 5 * z.mm(z.t()),
        lambda z: torch.einsum("id,jd->ij", z, z).div(torch.tensor(0.2)),
        lambda z: F.cosine_similarity(z[:, None], z[None], dim=-1),
        lambda z: -(torch.cdist(z, z) ** 2),
        lambda z: (z @ z.T).masked_fill(torch.zeros(12, 12, dtype=torch.bool), -torch.inf),
    ],
    ids=["product", "mm", "einsum", "cosine", "distance", "empty mask"],
)
def test_a_diagonal_that_is_not_masked(logits):
    (seen,) = seen_in(lambda z, other: F.cross_entropy(logits(z), PARTNER))
    assert (seen.num_rows, seen.largest_on_diagonal, seen.targets_on_diagonal) == (12, 1.0, 0.0)
    assert seen.product_source is not None
    assert faults([seen]) == 1


def test_a_softmax_of_ones_own():
    assert faults(seen_in(lambda z, other: F.nll_loss(F.log_softmax(z @ z.T, 1), PARTNER))) == 1


def kept(z: Tensor, mask: Tensor) -> Tensor:
    sim = z @ z.T
    sim[mask] = -1e9
    return sim


@pytest.mark.parametrize(
    "loss",
    [
        lambda z, other: F.cross_entropy((z @ z.T).masked_fill(EYE, -1e9), PARTNER),
        lambda z, other: F.cross_entropy((z @ z.T).fill_diagonal_(-torch.inf), PARTNER),
        lambda z, other: F.cross_entropy(z @ z.T - 1e9 * EYE, PARTNER),
        lambda z, other: F.cross_entropy(kept(z, EYE), PARTNER),
        lambda z, other: F.cross_entropy((z @ z.T)[~EYE].view(12, 11), PARTNER % 11),
        lambda z, other: F.cross_entropy(z @ z.T, OWN),
        lambda z, other: F.cross_entropy(z @ F.normalize(other, dim=1).T, OWN),
        lambda z, other: F.cross_entropy(z @ other.T + 100 * EYE, PARTNER),
    ],
    ids=["mask", "filled", "subtracted", "written", "left out", "own targets", "two kinds", "another product"],
)
def test_healthy_similarities(loss):
    assert faults(seen_in(loss)) == 0


def test_only_the_product_of_a_tensor_with_itself_is_seen():
    assert seen_in(lambda z, other: F.cross_entropy(z @ other.T, PARTNER)) == []
    assert seen_in(lambda z, other: F.cross_entropy(z @ z[:8].T, PARTNER % 8)) == []
