"""The directory of a training run: its lock, its log, its records, and whether it may go on."""

import logging
from types import TracebackType
from typing import Any

from emprot_core.checkpoint import CheckpointStore
from emprot_core.config import load_text
from emprot_core.distributed import any_rank, rank
from emprot_core.files import Damaged, read_hashed_json, write_hashed_json, write_hashed_text
from emprot_core.hooks.base import RunInfo
from emprot_core.jobs.code_version import versions
from emprot_core.jobs.context import RunContext, RunRefused
from emprot_core.jobs.log_file import LogFile
from emprot_core.jobs.run_lock import RunLock
from emprot_core.jobs.stores import Record

_log = logging.getLogger("emprot")


class RunDirectory:
    """A context manager that holds the lock and the log file of a run. Only rank 0 writes."""

    def __init__(self, context: RunContext):
        self.path = context.directory
        self.checkpoints = CheckpointStore(self.path / "checkpoints")
        self._context = context
        self._is_writer = rank() == 0
        self.lock = RunLock(self.path)
        self._log_file: logging.Handler = logging.NullHandler()

    def __enter__(self) -> "RunDirectory":
        """
        Raises:
            RunRefused: another process is running in the directory, or the ranks do not share it.
            OSError: the directory cannot be written.
        """
        if any_rank(not self.lock.take()):
            self.lock.release()
            raise RunRefused(
                f"another process is running in {self.path}; wait for it, or take another directory: --fresh, "
                "or run.directory=runs/other"
            )
        if any_rank(not self.lock.is_shared()):
            self.lock.release()
            raise RunRefused(
                f"the ranks do not share {self.path}: each sees another directory there; bind run.directory to one on "
                "a file system that all of them have"
            )
        if self._is_writer:
            try:
                self._log_file = LogFile(self.path / "run.log")
            except OSError:
                self.lock.release()
                raise
            self._log_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        _log.addHandler(self._log_file)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not isinstance(error, RunRefused):
            self._log_file.handle(
                _log.makeRecord(_log.name, logging.ERROR, __file__, 0, "the run failed", (), (kind, error, trace))  # type: ignore[arg-type]
            )
        _log.removeHandler(self._log_file)
        self._log_file.close()
        self.lock.release()

    @property
    def config_digest(self) -> str:
        return self._context.config.digest()

    def info(self, data_digest: str) -> RunInfo:
        """What the trainer and its hooks know about the run."""
        config = self._context.config
        return RunInfo(
            directory=self.path,
            device=self._context.device,
            seed=self._context.seed,
            config=config.text(),
            hparams=config.own(),
            config_digest=self.config_digest,
            data_digest=data_digest,
        )

    def result(self) -> dict[str, Any] | None:
        """The result.json of an earlier run here, or None. If it is damaged, the log says so."""
        path = self.path / "result.json"
        try:
            types = {"status": str, "stop_reason": str, "config_digest": str, "data_digest": str}
            return read_hashed_json(path, **types) if path.is_file() else None
        except Damaged as damage:
            _log.warning("%s; it is written anew from the checkpoints", damage)
            return None

    def check_unchanged(self, earlier: dict[str, Any], data_digest: str) -> None:
        """Compare the digests that a checkpoint or result carries with those of this run.

        Raises:
            RunRefused: they differ, and run.allow_config_change is not set. The message shows the difference.
        """
        changes = []
        if earlier["config_digest"] != self.config_digest:
            changes += self._config_difference(earlier.get("config"))
        if earlier["data_digest"] != data_digest:
            changes.append(f"the data: digest {earlier['data_digest'][:12]} became {data_digest[:12]}")
        if not changes:
            return
        listed = "".join(f"\n    {line}" for line in changes)
        if self._context.allow_config_change:
            _log.info("going on in %s with a change:%s", self.path, listed)
            return
        raise RunRefused(
            f"{self.path} holds a run with another config:{listed}\n"
            "  take another directory: run.directory=runs/other, or --fresh;\n"
            "  or go on with the change: run.allow_config_change=True"
        )

    def warn_of_lost_checkpoints(self) -> None:
        """Warn of each checkpoint of a finished run that is missing or damaged."""
        faults = self.checkpoints.faults()
        if not self.checkpoints.names() and not self.checkpoints.was_never_saved_to():
            faults = {"": "is missing"}
        for name, what in faults.items():
            path = self.checkpoints.directory / name
            _log.warning("%s %s; restore it, or train again into another run.directory", path, what)

    def check_nothing_is_lost(self) -> None:
        """
        Raises:
            RunRefused: a run was here, but its checkpoints are gone. A new one would mix with what is left of it.
        """
        if not (self.path / "config.gin").is_file():
            return
        if self.checkpoints.was_never_saved_to():
            _log.info("no checkpoint was written yet in %s: the run begins anew", self.path)
            return
        faults = [f"{name} {what}" for name, what in self.checkpoints.faults().items()]
        reason = "; ".join(faults) or f"{self.checkpoints.directory / 'index.json'} is missing or damaged"
        raise RunRefused(
            f"{self.path} holds a run, but none of its checkpoints can be read: {reason}\n"
            "  bring them back (is the disk with them mounted?), and the same command goes on;\n"
            "  or start anew in another directory: run.directory=runs/other, or --fresh"
        )

    def begin(self, stores: Record, input_frames: int) -> None:
        """Write the files that exist before the first step. config.gin is last: if it exists, so must index.json.

        Args:
            stores: where the data lie (jobs.stores).
            input_frames: T of its batches.
        """
        if self._is_writer:
            self.checkpoints.create()
            record = {"settings": self._context.config.settings(), "stores": stores, "input_frames": input_frames}
            write_hashed_json(self.path / "settings.json", record)
            write_hashed_text(self.path / "config.gin", self._context.config.text())

    def write_operative_config(self) -> None:
        if self._is_writer:
            write_hashed_text(self.path / "operative_config.gin", self._context.config.operative_text())

    def write_result(self, result: dict[str, Any]) -> None:
        """Write result.json, the last file of a run."""
        if self._is_writer:
            self.lock.check_held()
            whole = {**result, "config_digest": self.config_digest, "versions": versions()}
            write_hashed_json(self.path / "result.json", whole)

    def _config_difference(self, earlier: str | None) -> list[str]:
        """The differences from an earlier config: the text in a checkpoint, or else config.gin."""
        path = self.path / "config.gin"
        if earlier is None and path.is_file():
            earlier = path.read_text()
        if earlier is None:
            return ["the config (the earlier config.gin is missing)"]
        return load_text(earlier, str(path)).difference(self._context.config)
