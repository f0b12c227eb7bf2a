"""Healthy programs on tokens whose targets look like their inputs, and on sequences of other shapes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.faults.data import loaders, text
from benchmarks.faults.nets import Decoder
from benchmarks.faults.program import Program, Task, adam

Batch = tuple[Tensor, Tensor]


class _ShiftsItself(Task):
    """Inputs and labels are one tensor; the loss shifts them."""

    def loss(self, batch: Batch) -> Tensor:
        tokens = labels = batch[0]
        logits = self(tokens)
        return F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())


def language_model_that_shifts_inside() -> Program:
    (train, validation), num_tokens = text(16)
    return Program(module=_ShiftsItself(Decoder(num_tokens), optimizer=adam(5e-3)), train=train, validation=validation, epochs=4)


class _RollsItself(Task):
    """Labels keep their length; the last one of each sequence is ignored."""

    def loss(self, batch: Batch) -> Tensor:
        labels = F.pad(batch[0][:, 1:], (0, 1), value=-100)
        return F.cross_entropy(self(batch[0]).transpose(1, 2), labels)


def language_model_with_padded_labels() -> Program:
    (train, validation), num_tokens = text(16)
    return Program(module=_RollsItself(Decoder(num_tokens), optimizer=adam(5e-3)), train=train, validation=validation, epochs=4)


class _Context(nn.Module):
    def __init__(self, num_tokens: int, num_out: int | None = None) -> None:
        super().__init__()
        self.embed = nn.Embedding(num_tokens, 24)
        self.first, self.second = nn.Conv1d(24, 48, 5, padding=2), nn.Conv1d(48, num_out or num_tokens, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.second(F.relu(self.first(self.embed(tokens).transpose(1, 2))))  # type: ignore[no-any-return]


class _Masked(Task):
    """BERT's recipe: of 15 % of the tokens, a tenth stay as they are and a tenth are random; the others' labels are ignored."""

    def __init__(self, num_tokens: int) -> None:
        super().__init__(_Context(num_tokens + 1), optimizer=adam(5e-3))
        self.mask = num_tokens

    def loss(self, batch: Batch) -> Tensor:
        tokens = batch[0]
        chosen, how = torch.rand(tokens.shape) < 0.15, torch.rand(tokens.shape)
        labels = tokens.masked_fill(~chosen, -100)
        tokens = tokens.masked_fill(chosen & (how < 0.8), self.mask)
        tokens = torch.where(chosen & (how > 0.9), torch.randint_like(tokens, self.mask), tokens)
        return F.cross_entropy(self(tokens), labels)


def masked_tokens_of_which_most_are_ignored() -> Program:
    (train, validation), num_tokens = text(32)
    return Program(module=_Masked(num_tokens), train=train, validation=validation, epochs=5)


class _Repaired(Task):
    """A tenth of the tokens are wrong, and all are to be said: nine of ten labels equal their input."""

    def __init__(self, num_tokens: int) -> None:
        super().__init__(_Context(num_tokens), optimizer=adam(5e-3))
        self.num_tokens = num_tokens

    def loss(self, batch: Batch) -> Tensor:
        labels = batch[0]
        wrong = torch.rand(labels.shape) < 0.1
        tokens = torch.where(wrong, torch.randint_like(labels, self.num_tokens), labels)
        return F.cross_entropy(self(tokens), labels)


def tokens_to_be_repaired() -> Program:
    (train, validation), num_tokens = text(16)
    return Program(module=_Repaired(num_tokens), train=train, validation=validation, epochs=4)


class _Translator(nn.Module):
    """Attends to a source while it writes; teacher forcing."""

    def __init__(self, num_tokens: int, length: int) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(num_tokens, 32), nn.Parameter(0.1 * torch.randn(length, 32))
        self.net = nn.Transformer(32, 4, 1, 1, 64, 0.0, batch_first=True)
        self.head = nn.Linear(32, num_tokens)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(target.shape[1])
        h = self.net(self.embed(source) + self.place, self.embed(target) + self.place, tgt_mask=mask, tgt_is_causal=True)
        return self.head(h)  # type: ignore[no-any-return]


class _Copies(Task):
    """Writes its source, behind a token that begins the target: the decoder's input is not its label."""

    def loss(self, batch: tuple[Tensor]) -> Tensor:
        (source,) = batch
        target = F.pad(source[:, :-1], (1, 0))
        return F.cross_entropy(self.net(source, target).flatten(0, 1), source.flatten())  # type: ignore[misc]


def translator_that_copies() -> Program:
    train, validation = loaders(torch.randint(1, 12, (3000, 6)))
    return Program(module=_Copies(_Translator(12, 6), optimizer=adam(5e-3)), train=train, validation=validation, epochs=6)


class _TimeFirst(nn.Module):
    """Time is dimension 0, so that attention pools over dimension 0."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.rnn = nn.Embedding(20, 16), nn.GRU(16, 24)
        self.score, self.head = nn.Linear(24, 1), nn.Linear(24, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        h, _ = self.rnn(self.embed(tokens.t()))
        weight = F.softmax(self.score(torch.tanh(h)), dim=0)
        return self.head((weight * h).sum(0))  # type: ignore[no-any-return]


def attention_that_pools_over_time_first() -> Program:
    tokens = torch.randint(0, 20, (1500, 10))
    train, validation = loaders(tokens, (tokens == 3).any(1).long())
    return Program(module=Task(_TimeFirst(), optimizer=adam(1e-2)), train=train, validation=validation, epochs=8)


class _Spoken(Task):
    """Connectionist temporal classification of noisy tokens, each of which lasts for a while."""

    def __init__(self) -> None:
        net = nn.Sequential(nn.Conv1d(8, 32, 3, padding=1), nn.ReLU(), nn.Conv1d(32, 9, 3, padding=1))
        super().__init__(net, optimizer=adam(1e-2))

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        sound, words = batch
        lengths = (words > 0).sum(1)
        log_probabilities = self(sound).permute(2, 0, 1).log_softmax(2)
        frames = torch.full((len(sound),), sound.shape[2])
        return F.ctc_loss(log_probabilities, words, frames, lengths, zero_infinity=True)


def connectionist_temporal_classification() -> Program:
    words = torch.randint(1, 9, (1200, 4))
    words[:, 3] *= torch.rand(1200) < 0.7
    frames = words.repeat_interleave(4, 1)
    sound = F.one_hot(frames, 9)[..., 1:].float().mT + 0.3 * torch.randn(1200, 8, 16)
    train, validation = loaders(sound, words)
    return Program(module=_Spoken(), train=train, validation=validation, epochs=8)


class _Tagged(Task):
    """Tags of padded sequences, of which some are padding for the most part; each token once more, at its place."""

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        tokens, tags = batch
        losses = F.cross_entropy(self(tokens), tags, ignore_index=0, reduction="none")
        return losses.sum() / (tags != 0).sum()


def tags_of_padded_tokens() -> Program:
    tokens = torch.randint(1, 20, (1500, 20))
    tags = 1 + (tokens > 10).long() + (tokens.roll(1, 1) % 2)
    padding = torch.arange(20) >= torch.randint(2, 12, (1500, 1))
    train, validation = loaders(tokens.masked_fill(padding, 0), tags.masked_fill(padding, 0))
    return Program(module=_Tagged(_Context(20, 4), optimizer=adam(5e-3)), train=train, validation=validation, epochs=6)


PROGRAMS = (
    language_model_that_shifts_inside, language_model_with_padded_labels, masked_tokens_of_which_most_are_ignored,
    tokens_to_be_repaired, translator_that_copies, attention_that_pools_over_time_first, connectionist_temporal_classification,
    tags_of_padded_tokens,
)  # fmt: skip
