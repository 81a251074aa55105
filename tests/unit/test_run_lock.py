"""Files from the future."""

import os
import time

from seamark.planning.run_lock import forget_the_future


def test_only_files_from_the_future_change(tmp_path):
    old, new = tmp_path / "old.json", tmp_path / "deep" / "new.json"
    new.parent.mkdir()
    for path, shift in ((old, -5000), (new, 86400)):
        path.write_text("{}")
        os.utime(path, (time.time() + shift,) * 2)
    before = old.stat().st_mtime_ns
    assert forget_the_future([tmp_path, tmp_path / "absent"]) == 1
    assert old.stat().st_mtime_ns == before
    assert abs(new.stat().st_mtime - time.time()) < 100
