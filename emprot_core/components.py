"""Imports every module of the core that registers components (the entry point `core`)."""

import emprot_core.attention
import emprot_core.hooks.activation_checkpointing
import emprot_core.hooks.checkpoint
import emprot_core.hooks.clip_gradients
import emprot_core.hooks.compile
import emprot_core.hooks.early_stopping
import emprot_core.hooks.ema
import emprot_core.hooks.mixed_precision
import emprot_core.hooks.non_finite
import emprot_core.hooks.preemption
import emprot_core.hooks.profiler
import emprot_core.hooks.progress
import emprot_core.hooks.tensorboard
import emprot_core.hooks.throughput
import emprot_core.jobs.evaluate
import emprot_core.jobs.prepare
import emprot_core.jobs.run
import emprot_core.jobs.train
import emprot_core.training.trainer  # noqa: F401
