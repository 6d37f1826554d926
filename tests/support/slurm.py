"""A Slurm of a test's own, on this machine and without systemd."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

_CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmctldPort={port}
SlurmdPort={next_port}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0{parameters}
AuthInfo=cred_expire=5
PriorityType=priority/basic
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
KillWait=20
MinJobAge=300
ReturnToService=2
InactiveLimit=0
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=low Nodes={host} Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=20
PartitionName=high Nodes={host} MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""


@contextmanager
def slurm(folder: Path, tells_of_preemption: bool) -> Iterator[None]:
    """Start munge and Slurm, with a partition `high` that preempts jobs of `low`.

    Args:
        tells_of_preemption: whether a job that is preempted gets the signal it asked for, beside SIGTERM.
    """
    if shutil.which("slurmctld") is None or os.geteuid() != 0:
        pytest.skip("needs root and: apt-get install -y --no-install-recommends slurm-wlm slurm-client munge")
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    text = _CONFIG.format(
        host=socket.gethostname().partition(".")[0],
        port=port,
        next_port=port + 1,
        folder=folder,
        cpus=os.cpu_count(),
        parameters=",preempt_send_user_signal" if tells_of_preemption else "",
    )
    (folder / "slurm.conf").write_text(text)
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    munge = _start_munge()
    try:
        for daemon in ("slurmctld", "slurmd"):
            subprocess.run([daemon], check=True, capture_output=True)
        end = time.monotonic() + 30
        while "idle" not in output("sinfo", "-h", "-o", "%T"):
            assert time.monotonic() < end, (folder / "slurmctld.log").read_text()
            time.sleep(0.1)
        yield
    finally:
        subprocess.run(["scancel", "-u", "root", "--signal=KILL"], check=False, capture_output=True)
        for daemon in ("slurmd", "slurmctld"):
            with suppress(OSError, ValueError):
                os.kill(int((folder / f"{daemon}.pid").read_text()), signal.SIGKILL)
        if munge is not None:
            munge.terminate()
            munge.wait()
        if before is None:
            del os.environ["SLURM_CONF"]
        else:
            os.environ["SLURM_CONF"] = before


def output(*command: str) -> str:
    """What a command prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _start_munge() -> subprocess.Popen | None:
    """munged, unless one is running."""
    if subprocess.run(["munge", "-n"], check=False, capture_output=True).returncode == 0:
        return None
    if not Path("/etc/munge/munge.key").exists():
        subprocess.run(["mungekey", "--create"], check=True)
    Path("/run/munge").mkdir(mode=0o755, exist_ok=True)
    shutil.chown("/run/munge", "munge", "munge")
    process = subprocess.Popen(["runuser", "-u", "munge", "--", "munged", "--foreground", "--force"])
    end = time.monotonic() + 10
    while subprocess.run(["munge", "-n"], check=False, capture_output=True).returncode:
        assert time.monotonic() < end
        time.sleep(0.1)
    return process
