"""The errors of EMPROT. A user's mistake is an EmprotError: one message that says what to do, and no traceback.

    EmprotError             a ValueError
        ConfigError         everything that is wrong with a gin config (emprot_core.config)
        UnknownComponent    no component of that kind has that name (emprot_core.registry)
        CheckpointError     a checkpoint that is missing, damaged or does not fit (emprot_core.checkpoint)
        StoreError          a trajectory store that is missing, damaged or inconsistent (emprot_core.data.store)
        RunRefused          a run that cannot start as it was asked for (emprot_core.jobs.context)
        DeviceOutOfMemory   a batch that does not fit on the device (emprot_core.training.stopping)

Any other error is a bug, ours or a plugin's: it keeps its traceback and gains a note that names the component. There is
one exception: a ValueError that a component's constructor or a reader raises counts as the user's mistake, since that
is how a plugin refuses a value. It is told with the name of the component.
"""


class EmprotError(ValueError):
    """A mistake that the user can mend. The message says what was got, what was expected and what to do.

    Attributes:
        page: where the documentation says more, as page#heading; the command line prints it below the message.
    """

    page = ""
