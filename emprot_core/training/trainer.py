"""The loop: optimizer steps, validation, events. It knows no concrete hook."""

import time
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import nn

from emprot_core.batch import Batch, move_batch, validate_batch
from emprot_core.contracts import Loss, Metric, Model, Optimizer, Scheduler, StepLoader
from emprot_core.distributed import together
from emprot_core.hooks.base import Hook
from emprot_core.registry import register
from emprot_core.training.forward_loss import ForwardLoss, MetricTerms
from emprot_core.training.gradients import backward, divide_gradients, nominal_weight, sum_gradients_over_ranks
from emprot_core.training.out_of_memory import DeviceOutOfMemory
from emprot_core.training.state import TrainingState
from emprot_core.training.steps import as_step_loader, with_last
from emprot_core.training.sums import MetricSums


@register("core")
class Trainer(TrainingState):
    """Trains a model on optimizer steps of one or more micro-batches; hooks do everything else.

    The gradient of a step is that of (sum of the loss) / (sum of its weights) over all its micro-batches; that of a
    parameter the step did not use is 0.
    """

    def __init__(
        self,
        model: Model,
        loss: Loss,
        optimizer: Optimizer,
        scheduler: Scheduler | None = None,
        metrics: Sequence[Metric] = (),
        hooks: Sequence[Hook] = (),
        extra_hooks: Sequence[Hook] = (),
        max_epochs: int = 1,
        max_steps: int | None = None,
        grad_accum_steps: int = 1,
        validate_every_steps: int | None = None,
        log_every_steps: int = 10,
    ):
        """
        Args:
            optimizer: called with the named parameters. scheduler: with the optimizer and the number of steps.
            extra_hooks: hooks beside `hooks`, so that a variant adds one without repeating the list.
            max_steps: optimizer steps after which training ends if max_epochs does not end it before.
            validate_every_steps: optimizer steps between validations; None: at the end of every epoch.

        Raises:
            ValueError: a number is below 1, or the loss needs what the model cannot give.
        """
        numbers = {"max_epochs": max_epochs, "max_steps": max_steps, "grad_accum_steps": grad_accum_steps}
        numbers |= {"validate_every_steps": validate_every_steps, "log_every_steps": log_every_steps}
        for name, value in numbers.items():
            if value is not None and value < 1:
                raise ValueError(f"Trainer.{name} is {value}, expected 1 or more")
        num_clusters, future_horizon = model.num_clusters, model.future_horizon
        if not isinstance(model, nn.Module):
            raise ValueError(f"Trainer.model is a {type(model).__name__}, expected a torch.nn.Module")
        self.num_clusters, self.future_horizon = num_clusters, future_horizon
        super().__init__(model, [*hooks, *extra_hooks], grad_accum_steps, log_every_steps)
        self.forward_loss: nn.Module = ForwardLoss(model, loss, metrics)
        self.max_epochs = max_epochs
        self.max_steps = max_steps
        self.validate_every_steps = validate_every_steps
        self._factories = (optimizer, scheduler)
        self._learning_rate = 0.0
        self._logged_at = 0.0

    def fit(self, train_loader: Iterable[Batch] | StepLoader, val_loader: Iterable[Batch] | None = None) -> None:
        """Train until max_epochs, max_steps or a hook's request; `stop` says why, if it ended early."""
        loader = as_step_loader(train_loader)
        try:
            self.start(loader)
            while not self.settle_stop() and (self.validation_pending or self._has_steps_left()):
                self._run_epoch(loader, val_loader, self.total_steps)
            self.emit("on_fit_end")
            self.write_saves()
        except BaseException as error:
            self.exception = error
            self.hooks.tell_exception(self)
            if isinstance(error, torch.OutOfMemoryError):
                raise DeviceOutOfMemory(
                    error, self.step, self.micro_batches, self.num_clusters, self.validation_pending
                ) from error
            raise

    def train_epoch(self, train_loader: Iterable[Batch] | StepLoader) -> dict[str, float]:
        """One epoch, or the rest of it, without validation.

        Returns:
            The means over the epoch: total_loss, token_ce and the metrics of every step.
        """
        loader = as_step_loader(train_loader)
        self.start(loader)
        self._run_epoch(loader, None, None)
        return self.epoch_sums.means()

    def validate(self, val_loader: Iterable[Batch]) -> dict[str, float]:
        """The means over all batches as val/total_loss, val/token_ce, val/<metric>.

        Empty if a hook asked to leave meanwhile: the validation is done anew when training is taken up again.
        """
        self.emit("on_validation_start")
        sums = MetricSums()
        with self.evaluation_weights():
            for terms in together(self.score(val_loader)):
                sums.add(terms or {})
                self.emit("on_validation_step_end")
                if self.settle_stop() and self.is_leaving:
                    return {}
        self.val_logs = sums.over_ranks_of_any_length().means("val/")
        if not self.val_logs:
            raise ValueError("the validation loader gave no batch; give it one, or train without validation")
        self.is_best = self.val_logs["val/total_loss"] < self.best.get("val/total_loss", float("inf"))
        if self.is_best:
            self.best = {"val/total_loss": self.val_logs["val/total_loss"], "step": self.step}
        self.validation_pending = False
        self.emit("on_validation_end")
        return self.val_logs

    @torch.no_grad()
    def score(self, loader: Iterable[Batch]) -> Iterator[MetricTerms]:
        """The (sum, weight) pairs of each batch in evaluation mode; no events."""
        self.forward_loss.eval()
        for batch in loader:
            with self.autocast():
                validate_batch(batch, self.num_clusters, self.future_horizon)
                terms = self.forward_loss(move_batch(batch, self.run.device))[2]
            yield terms

    def start(self, loader: StepLoader) -> None:
        """Build what training needs, once; the hooks' on_fit_start is called here."""
        if self.optimizer is None:
            self.count_steps(loader, self.max_epochs, self.max_steps)
            self.build_parts(*self._factories)
            self.write_saves()
            self._logged_at = time.perf_counter()

    def _run_epoch(self, loader: StepLoader, val_loader: Iterable[Batch] | None, last_step: int | None) -> None:
        self.forward_loss.train()
        epoch = self.epoch
        if self.epoch_position == 0:
            self.epoch_sums = MetricSums()
            self.emit("on_epoch_start")
        if self.validation_pending:
            self._settle(val_loader, epoch_ends=False)
        for micro_batches, is_last in with_last(loader.steps(self.epoch, self.epoch_step, self.grad_accum_steps)):
            if self.step == last_step:
                return
            for batch in micro_batches:
                validate_batch(batch, self.num_clusters, self.future_horizon, needs_target=False)
            if self.settle_stop(micro_batches, is_last):
                return
            self._train_step(micro_batches)
            self.validation_pending = val_loader is not None and self._is_validation_due(is_last)
            self._settle(val_loader, is_last)
        if self.epoch_position and not (self.settle_stop() and self.is_leaving):
            self._settle(val_loader, epoch_ends=True)
        elif self.epoch == epoch and not self.epoch_position:
            raise ValueError(
                f"the train loader gave no batch in epoch {epoch + 1}; give an iterable that can be read anew in every "
                "epoch (a list, a DataLoader), or lower max_epochs or max_steps to what it holds"
            )

    def _has_steps_left(self) -> bool:
        return self.epoch < self.max_epochs and self.step < self.total_steps

    def _is_validation_due(self, is_last: bool) -> bool:
        every = self.validate_every_steps
        regular = is_last if every is None else self.step % every == 0
        return regular or self.step == self.total_steps

    def _settle(self, val_loader: Iterable[Batch] | None, epoch_ends: bool) -> None:
        """Validate if it is due, turn to the next epoch if this one ends, and only then save."""
        if self.validation_pending and val_loader is not None:
            self.validate(val_loader)
        if epoch_ends and not self.validation_pending:
            self.epoch += 1
            self.epoch_position = 0
            self.emit("on_epoch_end")
        self.write_saves()

    def _train_step(self, micro_batches: list[Batch]) -> None:
        self.emit("on_step_start")
        if not (self.forward_loss.training and self.model.training):  # to set it anew takes as long as an operation
            self.forward_loss.train()
        self.micro_batches = [move_batch(batch, self.run.device) for batch in micro_batches]
        self.nominal_weight = self.nominal_weight or nominal_weight(micro_batches)
        sums = backward(self.forward_loss, self.micro_batches, self.autocast, self.scaler, self.nominal_weight)
        sum_gradients_over_ranks(self.gradients)
        self.scaler.unscale_(self.optimizer)
        weight = sums.weight("total_loss")
        self.step_loss = sums.total("total_loss") / weight
        self._gradient_norm = divide_gradients(self.gradients, weight / self.nominal_weight)
        self.log_sums.add_sums(sums)
        self.epoch_sums.add_sums(sums)
        self.emit("on_backward_end")
        self._update()
        self.step += 1
        self.epoch_position += self.step_size
        self.logs = self._collect_logs() if self.is_log_step else None
        self.emit("on_step_end")

    def _update(self) -> None:
        self._learning_rate = self.optimizer.param_groups[0]["lr"]
        scale = self.scaler.get_scale()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self._clear_gradients()
        if self.scheduler is not None and self.scaler.get_scale() >= scale:  # a lower scale: fp16 skipped the step
            self.scheduler.step()

    def _clear_gradients(self) -> None:
        """Zero them where they lie: the optimizer, and CUDA graphs, know them by their place."""
        torch._foreach_zero_(self.gradients)
        for parameter, gradient in zip(self.parameters, self.gradients, strict=True):
            parameter.grad = gradient  # a hook may have taken it away to withhold an update

    def _collect_logs(self) -> dict[str, float]:
        logs = self.log_sums.means("train/")
        logs["train/learning_rate"] = self._learning_rate
        logs["train/gradient_norm"] = float(self.gradient_norm())
        now = time.perf_counter()
        logs["time/tokens_per_s"] = float(self.log_sums.weight("token_ce")) / (now - self._logged_at)
        self._logged_at = now
        logs |= self.hooks.scalars(self)
        self.log_sums = MetricSums()
        return logs
