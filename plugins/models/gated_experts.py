"""A forecaster that mixes experts of the past with a learned dense forecast, by gates for each residue and step."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from einops import rearrange, reduce
from torch import Tensor, nn

from emprot_core.batch import MISSING_ID, Batch, move_batch
from emprot_core.breach import broken
from emprot_core.contracts import Expert, Model, Opinion, Outputs, ParameterGroup, Transitions, UsesClassCounts
from emprot_core.errors import EmprotError
from emprot_core.registry import register

from .gates import Gates
from .mixture import mix, num_parts
from .past import NUM_ACTIVITIES, BatchPast
from .transition_tables import TransitionTables

_DENSE_SCORE = -2.0  # where the score of the dense part starts: it has nothing to say before it has learned
_GATES = ParameterGroup("gates.*", rate_factor=3.0, weight_decay=0.01)


@register("model")
class GatedExperts(nn.Module):
    """p_h(y) = g_0 softmax(dense)_h(y) + sum_i g_i p_i,h(y), the p_i being the parts of the experts.

    The gates g are a softmax over all parts, for each residue and step. They see statistics of the past alone, so that
    what they learn holds on other proteins. What an expert leaves of 1 on the slots of a residue goes to the class
    frequencies U of the training. The logits are log p: they are normalised.

    Training windows leave their own part of the training out of the tables (left_out), so that the gates learn how far
    the tables are to be trusted elsewhere. The tables are sparse, and no array is larger than a few times the logits
    (B, F, N, C), whatever the number of classes.
    """

    def __init__(
        self,
        num_clusters: int,
        future_horizon: int,
        experts: Sequence[Expert],
        dense: Model | None = None,
        num_slots: int = 32,
        hidden: int = 32,
        dense_dropout: float = 0.3,
        token_dropout: float = 0.1,
    ):
        """
        Args:
            num_clusters, future_horizon: C classes of a residue, and F frames to predict.
            experts: in the order of their gates.
            dense: a model whose logits are one more part; None leaves it out.
            num_slots: K, classes of a residue's past that experts of the residue tell apart, the heaviest. Time and
                memory of these experts grow with it, and not with the number of classes. Rarer classes count as U.
            hidden: width of the gates' hidden layer.
            dense_dropout: probability of taking the dense part away from a residue of a window, in training, so that
                the experts' gates learn as well.
            token_dropout: probability of hiding an ID of the past from the dense part, in training. The last frame
                stays.

        Raises:
            EmprotError: there is no expert, a number is out of range, or the dense part has other classes or steps.
        """
        super().__init__()
        if not experts:
            raise EmprotError("GatedExperts.experts is empty, expected one expert or more: [@experts.Caches()]")
        for name, size in {"num_slots": num_slots, "hidden": hidden}.items():
            if size < 1:
                raise EmprotError(f"GatedExperts.{name} is {size}, expected 1 or more")
        for name, share in {"dense_dropout": dense_dropout, "token_dropout": token_dropout}.items():
            if not 0 <= share < 1:
                raise EmprotError(f"GatedExperts.{name} is {share}, expected a probability below 1")
        sizes = (num_clusters, future_horizon)
        if dense is not None and (dense.num_clusters, dense.future_horizon) != sizes:
            raise EmprotError(
                f"GatedExperts.dense has num_clusters and future_horizon {dense.num_clusters, dense.future_horizon}, "
                f"expected {sizes}; bind both models to %NUM_CLUSTERS and %FUTURE_HORIZON"
            )
        self.num_clusters, self.future_horizon, self.num_slots = num_clusters, future_horizon, num_slots
        self.dense_dropout, self.token_dropout = dense_dropout, token_dropout
        self.max_lag = future_horizon + 1
        self.experts = tuple(experts)
        self.learned = nn.ModuleList(expert for expert in experts if isinstance(expert, nn.Module))
        self.dense: Any = dense
        scores = torch.cat([torch.tensor(expert.shares).log() for expert in experts])
        if dense is not None:
            scores = torch.cat([torch.tensor([_DENSE_SCORE]), scores])
        num_statistics = NUM_ACTIVITIES + sum(expert.num_statistics for expert in experts)
        self.gates = Gates(num_statistics, future_horizon, scores, hidden)
        self.tables = TransitionTables(num_clusters, self.max_lag)

    def parameter_groups(self) -> list[ParameterGroup]:
        """The gates learn three times as fast as the dense part."""
        return [_GATES]

    def use_class_counts(self, counts: Tensor) -> None:
        """Give the class counts (C,) of the training to the dense part, if it wants them."""
        if isinstance(self.dense, UsesClassCounts):
            self.dense.use_class_counts(counts)

    @torch.no_grad()
    def use_transitions(self, transitions: Transitions, windows: Iterable[Batch]) -> None:
        """Fill the tables. The scale of the gates' statistics is set too, unless it came with other weights."""
        self.tables.fill(transitions)
        if not self.gates.is_scaled:
            device = self.gates.mean.device
            self.gates.set_scales(self._known_statistics(move_batch(batch, device)) for batch in windows)

    def forward(
        self,
        input_cluster_ids: Tensor,
        times: Tensor | None,
        sequence_lengths: Tensor,
        history_mask: Tensor,
        state: Tensor | None = None,
        left_out: Tensor | None = None,
    ) -> Outputs:
        """cluster_logits (B, F, N, C), context (B, N, D) and, if a state was given, new_state (B, N, D).

        The context is that of the dense part. Without one it is the gates' hidden layer, averaged over the steps; the
        state is then not read.

        Args:
            input_cluster_ids: (B, T, N) long; values where history_mask is False are not read.
            history_mask: (B, T, N) bool.
            state: (B, N, D), the new_state that the preceding frames gave to the dense part.
            left_out: (B,) long, the part of the training that each window leaves out of the tables; None: no part.

        Raises:
            EmprotError: the tables were never filled.
        """
        if self.tables.is_empty:
            raise EmprotError(
                "GatedExperts has no transitions to make its tables of; train it by jobs.Train, or call "
                "model.use_transitions(data.transitions(model.max_lag), windows) with training batches first"
            )
        dense = self._run_dense(input_cluster_ids, times, sequence_lengths, history_mask, state)
        with torch.autocast(input_cluster_ids.device.type, enabled=False):  # sums of counts and logs need float32
            past = self._past(input_cluster_ids, history_mask, left_out)
            opinions = self._opinions(past)
            scores, hidden = self.gates(self._statistics(past, opinions))
            if dense:
                gates = self._without_dense_at_random(scores).softmax(-1)
                mixture = mix(gates[..., 1:], opinions, past)
                mixture = torch.addcmul(mixture, gates[..., :1], dense["cluster_logits"].to(mixture.dtype).softmax(-1))
            else:
                mixture = mix(scores.softmax(-1), opinions, past)
            logits = mixture.log()
        outputs = dense or {"context": reduce(hidden, "b f n d -> b n d", "mean")}
        outputs["cluster_logits"] = logits
        return outputs if state is None else {**outputs, "new_state": outputs["context"]}

    def _past(self, ids: Tensor, mask: Tensor, left_out: Tensor | None) -> BatchPast:
        return BatchPast(ids, mask, left_out, self.tables, self.future_horizon, self.num_slots)

    def _opinions(self, past: BatchPast) -> list[Opinion]:
        opinions = [expert(past) for expert in self.experts]
        for expert, opinion in zip(self.experts, opinions, strict=True):
            if not isinstance(opinion, Opinion):
                raise broken(
                    expert, "a contracts.Opinion", opinion, "return Opinion(statistics, on_slots=..., rows=...)"
                )
            parts, statistics = num_parts(opinion), opinion.statistics.shape[-1]
            if (parts, statistics) != (len(expert.shares), expert.num_statistics):
                wanted = f"{len(expert.shares)} parts and {expert.num_statistics} statistics"
                change = "correct its shares and num_statistics"
                raise broken(expert, wanted, f"{parts} parts and {statistics} statistics", change)
        return opinions

    def _statistics(self, past: BatchPast, opinions: Sequence[Opinion]) -> Tensor:
        """(B, F, N, S): what is known of each residue's activity, then the statistics of the experts in their order."""
        steps = [past.activity(), *(opinion.statistics for opinion in opinions)]
        return torch.cat([each.expand(-1, self.future_horizon, -1, -1) for each in steps], dim=-1)

    def _known_statistics(self, batch: Batch) -> Tensor:
        """(M, S): the statistics of the residues of which some frame is known."""
        past = self._past(batch["input_cluster_ids"], batch["history_mask"], batch.get("left_out"))
        statistics = self._statistics(past, self._opinions(past))
        known = (past.ids != MISSING_ID).any(-1)
        return rearrange(statistics, "b f n s -> b n f s")[known].flatten(0, 1)

    def _run_dense(
        self, ids: Tensor, times: Tensor | None, lengths: Tensor, mask: Tensor, state: Tensor | None
    ) -> Outputs:
        """The outputs of the dense part, which in training does not see some of the past; {} without one."""
        if self.dense is None:
            return {}
        if self.training and self.token_dropout:
            kept = torch.rand(mask.shape, device=mask.device) >= self.token_dropout
            kept[:, -1] = True
            mask = mask & kept
        return self.dense(ids, times, lengths, mask, state)

    def _without_dense_at_random(self, scores: Tensor) -> Tensor:
        """scores (B, F, N, 1 + P), in training without the dense part at some residues, at all steps of a window."""
        if not (self.training and self.dense_dropout):
            return scores
        is_dropped = torch.rand(scores.shape[0], 1, scores.shape[2], device=scores.device) < self.dense_dropout
        return torch.cat([scores[..., :1].masked_fill(is_dropped[..., None], -torch.inf), scores[..., 1:]], dim=-1)
