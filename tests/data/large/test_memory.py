"""A picture of a gigapixel takes little memory, in a process that does nothing else."""

import subprocess
import sys

import pytest


@pytest.mark.nightly
def test_a_gigapixel_is_read_in_less_than_a_gibibyte():
    command = [sys.executable, "-m", "benchmarks.gigapixel", "--sides", "31623"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
