"""Stores and mirrors on S3, which moto plays on this machine."""

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from runs_in_forks import RUN, assert_same_outcome, bind, output

from emprot_core.data.store import SAMPLE_ROOT

pytestmark = pytest.mark.slow
STORE = "s3://bucket/stores/kmeans_environment"
SAMPLE = SAMPLE_ROOT / "kmeans_environment"


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    """The environment of a process that shall find S3 here, with a bucket named bucket."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    address = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    names = ("AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    environment = dict(zip(names, (address, "us-east-1", "somebody", "anything"), strict=True))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        Bucket().create()
        Bucket().put_all(SAMPLE, "stores/kmeans_environment")
        yield environment
    server.stop()


class Bucket:
    """The bucket, as another tool sees it."""

    def __init__(self) -> None:
        import boto3

        self.client = boto3.client("s3")

    def create(self) -> None:
        self.client.create_bucket(Bucket="bucket")

    def put_all(self, folder: Path, key: str) -> None:
        for path in folder.iterdir():
            self.client.put_object(Bucket="bucket", Key=f"{key}/{path.name}", Body=path.read_bytes())

    def flip_a_byte(self, key: str) -> None:
        data = bytearray(self.client.get_object(Bucket="bucket", Key=key)["Body"].read())
        data[len(data) // 2] ^= 1
        self.client.put_object(Bucket="bucket", Key=key, Body=bytes(data))

    def keys(self, prefix: str) -> list[str]:
        found = self.client.list_objects_v2(Bucket="bucket", Prefix=prefix)
        return [each["Key"].removeprefix(prefix) for each in found.get("Contents", [])]


def test_a_store_on_s3_gives_the_same_digest_and_the_same_losses(runs, whole: Path, s3, tmp_path: Path) -> None:
    remote = [*RUN, *bind(f"TrajectoryWindows.store='{STORE}'")]
    assert runs(tmp_path, remote, EMPROT_CACHE=str(tmp_path / "cache"), **s3) == 0, output(tmp_path)
    digests = [json.loads((run / "result.json").read_text())["data_digest"] for run in (tmp_path / "run", whole)]
    assert digests[0] == digests[1]
    assert_same_outcome(tmp_path / "run", whole, ignoring=["config", "config_digest"])
    Bucket().flip_a_byte("stores/kmeans_environment/index.npy")
    another = [*remote, *bind("run.directory='another'")]
    assert runs(tmp_path, another, EMPROT_CACHE=str(tmp_path / "empty"), **s3) == 1
    assert f"{STORE}/index.npy is not the file that store.json speaks of" in output(tmp_path)
    Bucket().put_all(SAMPLE, "stores/kmeans_environment")


def test_a_run_whose_directory_is_lost_comes_back_from_s3_and_ends_with_the_same_bits(
    runs, whole: Path, s3, tmp_path: Path
) -> None:
    url = "s3://bucket/runs/{name}"
    mirrored = [*RUN, *bind("Trainer.extra_hooks=[@hooks.EMA(), @hooks.Mirror()]", f"Mirror.url='{url}'")]
    killed = "emprot_core.training.updates:Updates.step 12 before"
    assert runs(tmp_path, mirrored, SABOTAGE=killed, **s3) == -signal.SIGKILL, output(tmp_path)
    shutil.rmtree(tmp_path / "run")
    newest = max(key for key in Bucket().keys("runs/run/") if "step" in key)
    Bucket().flip_a_byte(f"runs/run/{newest}")
    assert runs(tmp_path, mirrored, **s3) == 1
    assert f"s3://bucket/runs/run/{newest} is not the file that mirror.json speaks of" in output(tmp_path)
    Bucket().flip_a_byte(f"runs/run/{newest}")
    assert runs(tmp_path, mirrored, **s3) == 0, output(tmp_path)
    assert "going on from" in output(tmp_path)
    assert_same_outcome(tmp_path / "run", whole, ignoring=["config", "config_digest", "hooks"])
    shutil.rmtree(tmp_path / "run")
    assert runs(tmp_path, mirrored, **s3) == 0
    assert "is finished" in output(tmp_path)
    assert_same_outcome(tmp_path / "run", whole, ignoring=["config", "config_digest", "hooks"])


def test_a_bucket_that_does_not_exist_is_told_at_the_start(runs, s3, tmp_path: Path) -> None:
    mirrored = [*RUN, *bind("Trainer.extra_hooks=[@hooks.Mirror()]", "Mirror.url='s3://nobody-s/run'")]
    assert runs(tmp_path, mirrored, **s3) == 1
    assert "error: s3://nobody-s/run/mirror.json cannot be written: FileNotFoundError" in output(tmp_path)
