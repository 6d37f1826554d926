"""A PostgreSQL server of a test's own."""

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def postgres(directory: Path) -> Iterator[str]:
    """Start a server in a new directory, and give the address of its database.

    The test is skipped where the Debian package postgresql is not installed.
    """
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        pytest.skip("there is no PostgreSQL: apt-get install -y --no-install-recommends postgresql")
    run_as = []
    directory.mkdir()
    if os.geteuid() == 0:  # the server refuses to be root
        run_as = ["runuser", "-u", "postgres", "--"]
        shutil.chown(directory, pwd.getpwnam("postgres").pw_name)
        for parent in directory.parents[:-1]:
            parent.chmod(parent.stat().st_mode | 0o011)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def call(program: str, *arguments: str) -> None:
        command = [*run_as, str(programs[-1] / program), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")

    data = str(directory / "data")
    call("initdb", "-D", data, "-U", "emprot", "-A", "trust")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={directory}"
    call("pg_ctl", "-D", data, "-w", "-l", str(directory / "log"), "-o", options, "start")
    try:
        yield f"postgresql+psycopg2://emprot@127.0.0.1:{port}/postgres"
    finally:
        call("pg_ctl", "-D", data, "-m", "immediate", "stop")
