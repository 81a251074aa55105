"""A run that is killed leaves nothing that looks finished; the next call ends as an undisturbed run."""

import fcntl

from tests.workflow.project import Project

PLACES = (
    "20_models/inp_former/bolt/",
    "40_maps/inp_former/bolt/.test_private.json",
    "submissions/.tiny.tar.gz",
)
"""A checkpoint in the middle of training, merge and package: a file written but not yet renamed."""


def test_killed_in_the_middle_of_three_stages_and_finished_on_one_core(finished, tmp_path):
    """The undisturbed run had two cores, which changes no byte either."""
    project = Project.fresh(tmp_path)
    for place in PLACES:
        paused = project.killed_at(place)
        target = paused.with_name(paused.name[1:].split(".tmp-")[0])
        assert paused.exists(), place
        assert not target.exists(), place
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
