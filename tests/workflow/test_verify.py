"""The target verify: what it finds, that its commands repair it, and that it makes nothing."""

import os
import re
import shutil


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def test_what_is_wrong_is_named_with_the_command_that_repairs_it(finished, project):
    maps = "out/tiny/40_maps/inp_former/bolt/test_private"
    damaged = {
        "out/tiny/10_tiles/tile/cloth/train.npy": "out/tiny/10_tiles/tile/cloth/train.json",
        f"{maps}/001_regular.tiff": f"{maps}.json",
        "out/tiny/60_coarse/bolt/test_private/001_regular.png": "out/tiny/60_coarse/bolt/test_private.json",
        "out/tiny/75_verdicts/cloth/test_private.verdicts.json": "out/tiny/75_verdicts/cloth/test_private.json",
        "out/tiny/90_eval/cloth.json": "out/tiny/90_eval/cloth.json",
        "out/tiny/90_eval/cloth.curves.csv": "out/tiny/90_eval/cloth.json",
        "out/tiny/90_eval/cloth.verdicts.csv": "out/tiny/90_eval/cloth.json",
        "submissions/tiny/anomaly_images/bolt/test_private/000_regular.tiff": "submissions/tiny.tar.gz",
    }
    for name in damaged:
        truncate(project.folder / name)
    (project.folder / "out/tiny/80_preview/cloth/validation/contact_sheet.jpg").unlink()
    (project.folder / "out/tiny/70_refined/bolt/.validation.tmp-7").mkdir()
    shutil.rmtree(project.out / "report")
    before = project.results()
    result = project.snakemake("verify", check=False)
    assert result.returncode != 0
    assert project.results() == before, "verify makes and removes nothing"
    lines = re.findall(r"^(\S+)  +(.+?)  +((?:snakemake|rm) .*)$", result.stdout, re.MULTILINE)
    prefix = "snakemake --cores all --configfile tiny.yaml -f "
    repairs = {name: command for name, _, command in lines if name != "file"}
    assert repairs == {name: prefix + manifest for name, manifest in damaged.items()} | {
        "out/tiny/80_preview/cloth/validation/contact_sheet.jpg": prefix + "out/tiny/80_preview/cloth/validation.json",
        "out/tiny/70_refined/bolt/.validation.tmp-7": "rm -r out/tiny/70_refined/bolt/.validation.tmp-7",
        "out/tiny/report/index.html": prefix + "out/tiny/report/index.html",
        "out/tiny/report/plots/plots.json": prefix + "out/tiny/report/index.html",
        "out/tiny/report/plots/scores.svg": prefix + "out/tiny/report/index.html",
    }
    (project.folder / "out/tiny/70_refined/bolt/.validation.tmp-7").rmdir()
    early = [name for name in damaged if "10_tiles" in name or "40_maps" in name]
    for name in early:  # put back: repairing these would repeat half of the run
        shutil.copy2(finished.folder / name, project.folder / name)
    commands = [command for name, command in repairs.items() if name not in early and command.startswith(prefix)]
    wanted = dict.fromkeys(command.removeprefix(prefix) for command in commands)
    project.snakemake(*wanted, options=("--force",))
    project.snakemake("submission")
    assert project.results() == finished.results()
    result = project.snakemake("verify")
    assert re.search(r"^verify: \d+ files, [\d.]+ MB read: all as it should be$", result.stdout, re.MULTILINE)
