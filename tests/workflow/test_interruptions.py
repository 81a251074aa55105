"""A run that is killed leaves nothing that looks finished; the next call ends as an undisturbed run."""

import fcntl

from tests.workflow.project import OWN_WORDS

MODEL, FIT = "20_models/inp_former/bolt/.model.safetensors", "out/tiny/20_models/inp_former/bolt/fit.json"
MAPS, ARCHIVE = "40_maps/inp_former/bolt/.test_private.json", "submissions/.tiny.tar.gz"
"""Where runs are killed: at files that are written and not yet renamed."""


def test_killed_while_merging_and_packaging_and_finished_on_one_core(finished, project):
    """The undisturbed run had two cores, which changes no byte either."""
    undisturbed = finished.results()
    merged = project.out / "40_maps/inp_former/bolt/test_private.json"
    merged.unlink()
    assert project.killed_at(MAPS).exists()
    assert not merged.exists()
    assert project.killed_at(ARCHIVE).exists()
    assert project.results() | undisturbed == project.results()
    assert (
        "Writing and checking submissions/tiny.tar.gz"
        in project.snakemake("submission", cores=1, options=OWN_WORDS).stderr
    )
    results = project.results()
    assert sorted(results) == sorted(undisturbed)
    assert [name for name in results if results[name] != undisturbed[name]] == []
    assert "submissions/tiny.tar.gz" in results


def test_a_killed_training_leaves_the_model_of_before_and_goes_on_where_it_was(project):
    before = project.results()
    assert project.killed_at(MODEL, FIT, options=("-f",)).exists()
    assert project.results() | before == project.results()
    said = project.snakemake(FIT, cores=1, options=OWN_WORDS).stderr
    assert "Training inp_former on bolt" in said
    assert "train inp_former bolt: resuming after" in said
    assert "resuming after" in (project.out / "logs/train/inp_former/bolt.log").read_text()
    assert project.results() == before


def test_a_second_run_in_the_same_folder_is_refused(project):
    preview = "out/tiny/80_preview/bolt/test_public.json"
    (project.folder / preview).unlink()
    with (project.out / ".running").open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        result = project.snakemake(preview, check=False)
    assert result.returncode != 0
    assert "another snakemake works on this run" in result.stdout + result.stderr
    project.snakemake(preview)
