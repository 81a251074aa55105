import select
import subprocess
import sys
import textwrap

import pytest

from seamark.errors import SeamarkError
from seamark.running.devices import claimed_device, visible_gpus


@pytest.fixture
def slots(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return monkeypatch


def test_named_gpus_win(slots):
    slots.setenv("SEAMARK_GPUS", "0,3")
    assert visible_gpus() == (0, 3)
    slots.setenv("SEAMARK_GPUS", "")
    assert visible_gpus() == ()
    slots.setenv("SEAMARK_GPUS", "first")
    with pytest.raises(SeamarkError, match="integers"):
        visible_gpus()


def test_cpu_jobs_take_no_slot(slots):
    slots.setenv("SEAMARK_GPUS", "")
    with claimed_device(0) as device:
        assert device == "cpu"


def test_two_jobs_get_two_devices(slots):
    slots.setenv("SEAMARK_GPUS", "0,1")
    with claimed_device(1) as first, claimed_device(1) as second:
        assert {first, second} == {"cuda:0", "cuda:1"}


def test_a_gpu_that_is_not_there_is_an_error(slots):
    slots.setenv("SEAMARK_GPUS", "")
    with pytest.raises(SeamarkError, match="gpu=0"), claimed_device(1):
        pass


HOLDER = textwrap.dedent("""
    import sys, time
    from seamark.running.devices import claimed_device
    with claimed_device(1) as device:
        print(device, flush=True)
        time.sleep(60)
""")


def test_one_gpu_is_never_shared_and_is_free_again_when_its_holder_is_killed(slots):
    slots.setenv("SEAMARK_GPUS", "0")
    holder = subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True)
    waiting = subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True)
    try:
        ready, _, _ = select.select([holder.stdout, waiting.stdout], [], [], 20)
        assert len(ready) == 1
        first = holder if ready[0] is holder.stdout else waiting
        second = waiting if first is holder else holder
        assert first.stdout.readline() == "cuda:0\n"
        assert select.select([second.stdout], [], [], 1.0)[0] == []
        first.kill()
        assert select.select([second.stdout], [], [], 20)[0]
        assert second.stdout.readline() == "cuda:0\n"
    finally:
        holder.kill()
        waiting.kill()
