"""A run that is killed leaves nothing that looks finished; the next call ends as an undisturbed run."""

import fcntl
import shutil

KILLED_AT = {
    "20_models/inp_former/bolt/": "out/tiny/20_models/inp_former/bolt/fit.json",
    "40_maps/inp_former/bolt/.test_private.json": "out/tiny/40_maps/inp_former/bolt/test_private.json",
    "submissions/.tiny.tar.gz": "submissions/tiny.tar.gz",
}
"""A checkpoint in the middle of training, merge and package, a file written but not yet renamed; and what is not made."""


def drop_results(project, category):
    """Remove what was made of a category, and of all together."""
    for path in project.out.rglob(f"{category}*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for folder in (project.out / "report", project.folder / "submissions"):
        shutil.rmtree(folder)


def test_killed_in_the_middle_of_three_stages_and_finished_on_one_core(finished, project):
    """The undisturbed run had two cores, which changes no byte either."""
    drop_results(project, "bolt")
    for place, unfinished in KILLED_AT.items():
        assert project.killed_at(place).exists(), place
        assert not (project.folder / unfinished).exists(), place
    project.snakemake("submission", cores=1)
    results, undisturbed = project.results(), finished.results()
    assert sorted(results) == sorted(undisturbed)
    assert [name for name in results if results[name] != undisturbed[name]] == []
    assert "submissions/tiny.tar.gz" in results


def test_a_second_run_in_the_same_folder_is_refused(project):

    (project.out / "80_preview/bolt/test_public.json").unlink()
    with (project.out / ".running").open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        result = project.snakemake("submission", check=False)
    assert result.returncode != 0
    assert "another snakemake works on this run" in result.stdout + result.stderr
    project.snakemake("submission")


def test_what_is_made_anew_stays_until_it_is_killed_and_made_again(project):
    before = project.results()
    for place, target in KILLED_AT.items():
        project.killed_at(place, "-f", target)
        assert project.results() | before == project.results(), place
        again = project.snakemake(target)
        assert place
