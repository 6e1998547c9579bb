import os
import shutil
import subprocess
import sys

import pytest

from dbnet.utils.environment import prepare_environment, processor_quota


@pytest.mark.parametrize(
    ("files", "own", "quota"),
    [
        ({"cpu.max": "150000 100000\n"}, "0::/\n", 1.5),
        ({"cpu.max": "max 100000\n"}, "0::/\n", None),
        # Seen from outside, the group lies below the root.
        ({"job/cpu.max": "400000 100000\n", "cpu.max": "max 100000\n"}, "0::/job\n", 4),
        (
            {"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"},
            "3:cpuset:/docker/1a\n2:cpu,cpuacct:/docker/1a\n1:memory:/\n",
            0.5,
        ),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, "2:cpu:/\n", None),
        ({}, "0::/\n", None),
        ({"cpu.max": "broken"}, "0::/\n", None),
    ],
)
def test_quota_of_both_versions(tmp_path, files, own, quota):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "own").write_text(own)
    assert processor_quota(tmp_path, tmp_path / "own") == quota


def test_without_control_groups(tmp_path):
    assert processor_quota(tmp_path, tmp_path / "none") is None


@pytest.mark.parametrize(
    ("quota", "given", "threads"),
    [(2.5, None, "2"), (0.5, None, "1"), (2.5, "7", "7"), (64.0, None, None), (None, None, None)],
)
def test_threads_are_as_many_as_the_quota_allows(monkeypatch, quota, given, threads):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    monkeypatch.setattr("dbnet.utils.environment.processor_quota", lambda: quota)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    prepare_environment()
    assert os.environ.get("OMP_NUM_THREADS") == threads
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def test_a_user_unknown_to_the_system_needs_no_home():
    unshare = shutil.which("unshare")
    command = [unshare or "", "--user", "--map-user=54321", sys.executable, "-c"]
    names = {"HOME", "USER", "LOGNAME"}
    environment = {key: value for key, value in os.environ.items() if key not in names}

    def run(code):
        return subprocess.run([*command, code], env=environment, capture_output=True, text=True)

    if not unshare or run("pass").returncode:
        pytest.skip("no user namespaces here")
    assert run("import dbnet, mmengine.config").returncode == 0
