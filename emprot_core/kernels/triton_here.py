"""Whether Triton's kernels run on this machine."""

import logging
from functools import cache
from subprocess import SubprocessError

import torch

_log = logging.getLogger("emprot")


@cache
def triton_runs(device: str = "cuda") -> bool:
    """Whether a kernel of Triton can be built and run; if not, a warning says once why.

    Triton comes with torch for CUDA on Linux. It builds what starts a kernel with the C compiler of the machine and the
    headers of Python; small images of Docker have neither.
    """
    try:
        import triton

        def nothing(x):  # type: ignore[no-untyped-def]
            pass

        triton.jit(nothing)[(1,)](torch.zeros(1, device=device))
    except (ImportError, OSError, RuntimeError, SubprocessError) as error:  # no Triton, no compiler, or it fails
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        _log.warning(
            "Triton builds no kernel here, so slower ones of torch are used; it needs gcc and Python.h (Debian: "
            "gcc, python3-dev) (%s)",
            reason,
        )
        return False
    return True
