"""What the reader sees of sequences that are padded, and of the loss that counts them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_nnguard.observation import PaddingSeen
from lightning_nnguard.probe.audit.readers.paddings import paddings
from tests.probe.audit.recording import Net, record


def padded(tokens: Tensor, size: int = 50) -> list[PaddingSeen]:
    model = Net(lambda self, x: self.embed(x).sum(), embed=nn.Embedding(size, 4))
    return list(paddings(record(model, model, tokens)))


def sequences(pad: int) -> Tensor:
    tokens = torch.arange(4 * 10).reshape(4, 10) + 1
    tokens[:, 4:] = pad
    tokens[0, 2] = pad  # in the middle: no padding
    return tokens


def test_padding_at_the_end_and_at_the_beginning():
    for tokens in (sequences(0), sequences(0).flip(1)):
        (found,) = padded(tokens)
        assert (found.where, found.token, found.fraction, found.num_positions) == ("embed", 0, 0.6, 40)
        assert (found.num_sequences, found.length, found.vocabulary) == (4, 10, 50)
        assert found.num_tokens == len(set(tokens.flatten().tolist()))


def test_sequences_without_padding():
    (found,) = padded(torch.arange(40).reshape(4, 10))
    assert found.fraction == 1 / 40  # each ends with a token of its own


def test_categories_are_no_sequences():
    assert padded(torch.zeros(40, dtype=torch.long)) == []


def test_long_sequences_are_cut_to_whole_ones():
    (found,) = padded(torch.zeros(3, 3000, dtype=torch.long))
    assert (found.num_sequences, found.num_positions, found.fraction) == (1, 3000, 1.0)
    assert padded(torch.zeros(3, 5000, dtype=torch.long)) == []


# -- the loss


def judged(loss, tokens: Tensor | None = None) -> PaddingSeen:
    model = Net(loss, embed=nn.Embedding(50, 4), head=nn.Linear(4, 50), rnn=nn.GRU(4, 4, batch_first=True))
    tokens = sequences(0) if tokens is None else tokens
    (found,) = paddings(record(model, model, tokens, (tokens.roll(-1, 1) + 5) % 50))
    return found


def whole(self, x, y, **changes):
    y = torch.where(x == 0, 3, y)
    return F.cross_entropy(self.head(self.rnn(self.embed(x))[0]).flatten(0, 1), y.flatten(), **changes)


def shifted(self, x, y, **changes):
    logits = self.head(self.rnn(self.embed(x))[0])
    return F.cross_entropy(logits[:, :-1].reshape(-1, 50), x[:, 1:].reshape(-1), **changes)


def test_a_loss_that_counts_padding():
    found = judged(whole)
    assert "cross_entropy at" in found.loss
    assert "y.flatten()" in found.loss
    assert (found.loss_target, found.counted_fraction, found.inner_fraction) == (3, 1.0, 1 / 16)


def test_the_next_token_of_all_but_the_last_position():
    found = judged(shifted)
    assert (found.loss_target, found.counted_fraction) == (0, 1.0)
    # padding in front: the target of its last position is the first token
    found = judged(shifted, sequences(0).flip(1))
    assert (found.loss_target, found.counted_fraction) == (0, 20 / 24)


def test_a_loss_that_is_written_in_two_steps():
    def loss(self, x, y):
        return F.nll_loss(self.head(self.embed(x)).log_softmax(-1).transpose(1, 2), torch.where(x == 0, 3, y))

    assert (judged(loss).loss_target, judged(loss).counted_fraction) == (3, 1.0)


def test_padding_that_is_ignored():
    found = judged(lambda self, x, y: whole(self, x, y, ignore_index=3))
    assert (found.loss_target, found.counted_fraction) == (3, 0.0)
    assert judged(lambda self, x, y: shifted(self, x, y, ignore_index=0)).counted_fraction == 0.0


def test_targets_that_differ_are_no_padding():
    assert (
        judged(lambda self, x, y: F.cross_entropy(self.head(self.embed(x)).flatten(0, 1), torch.arange(40))).counted_fraction < 0.1
    )


def one_for_each(self, x, y):
    return F.cross_entropy(self.head(self.embed(x).mean(1)), x[:, 0])


def masked(self, x, y):
    return F.cross_entropy(self.head(self.embed(x))[x != 0], x[x != 0])


def elsewhere(self, x, y):
    return self.embed(x).sum() + F.cross_entropy(self.head(torch.ones(40, 4)), x.flatten())


@pytest.mark.parametrize(
    "loss",
    [
        lambda self, x, y: (whole(self, x, y, reduction="none") * (x != 0).flatten()).mean(),
        lambda self, x, y: whole(self, x, y, weight=torch.ones(50).index_fill_(0, torch.tensor([3]), 0.0)),
        lambda self, x, y: whole(self, x, y).detach() + self.head.weight.sum(),
        one_for_each,
        masked,
        elsewhere,
    ],
    ids=["masked afterwards", "weights", "not trained", "one target a sequence", "chosen positions", "not of the sequences"],
)
def test_losses_that_do_not_count_padding(loss):
    assert (judged(loss).loss, judged(loss).counted_fraction) == ("", 0.0)
