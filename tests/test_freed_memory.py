"""What is freed is kept for the next step instead of given back to Linux."""

import platform
import subprocess
import sys

import pytest

from agelib import backend

FAULTS = """
import resource
import agelib.backend
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
b"x" * 2**26
before = faults()
for _ in range(5):
    b"x" * 2**26
print(faults() - before)
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc" or backend.name() != "tensorflow",
    reason="only glibc's allocator is told, and only for TensorFlow",
)
def test_work_space_of_a_step_is_not_mapped_again_for_the_next_one():
    done = subprocess.run(
        [sys.executable, "-c", FAULTS], capture_output=True, text=True, timeout=300, check=True
    )
    # 64 MB are 16,384 pages; given back each time, they would be 81,920.
    assert int(done.stdout) < 5_000
