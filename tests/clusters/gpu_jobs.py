"""Four small jobs with a GPU each, which tell what slot they hold."""

import textwrap

SNAKEFILE = textwrap.dedent("""
    rule all:
        input:
            expand("{item}.txt", item=list("abcd")),

    rule work:
        output:
            manifest="{item}.txt",
        log:
            "logs/{item}.log",
        params:
            seed=1,
        resources:
            gpu=1,
            mem_mb=500,
        script:
            "work.py"
""")

SCRIPT = textwrap.dedent("""
    import time
    from pathlib import Path
    from seamark.running import devices
    from seamark.running.job import run

    def main(job):
        slot = devices._slot_file(int(job.device.removeprefix("cuda:"))).stem[-1]
        held = Path(f"held{slot}")
        held.touch(exist_ok=False)
        while not (Path("held0").exists() and Path("held1").exists()) and not Path("both").exists():
            time.sleep(0.05)
        Path("both").touch()
        time.sleep(0.5)
        job.target("manifest").write_text(f"{len(devices.visible_gpus())} {slot}")
        held.unlink()

    run(main, globals())
""")


def write_gpu_jobs(folder):
    """Write a workflow whose jobs end only after two of them have held different slots at the same time."""
    (folder / "Snakefile").write_text(SNAKEFILE)
    (folder / "work.py").write_text(SCRIPT)
