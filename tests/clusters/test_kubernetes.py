"""The Kubernetes profile against Snakemake's parser and the plugin; a stand-in answers for the cluster."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tests.clusters.gpu_jobs import write_gpu_jobs
from tests.clusters.kubernetes_api import KubernetesStandIn, inside_pods
from tests.workflow.project import ROOT, Project

pytest.importorskip(
    "snakemake_executor_plugin_kubernetes", reason="the plugin is missing: pip install -e '.[kubernetes]'"
)
PROFILE = Path("profiles") / "kubernetes" / "config.v9+.yaml"


def profile_for(project, volume):
    """The profile with the volume at a place that tests may write to."""
    text = (ROOT / PROFILE).read_text().replace(" /seamark", f" {volume}").replace(":/seamark", f":{volume}")
    (project / PROFILE).parent.mkdir(parents=True, exist_ok=True)
    (project / PROFILE).write_text(text)


def snakemake(project, cluster, *arguments):
    command = [sys.executable, "-m", "snakemake", "--profile", str(PROFILE.parent), "--retries", "0", *arguments]
    return subprocess.run(
        command,
        cwd=project,
        env=os.environ | {"KUBECONFIG": str(cluster.kubeconfig())},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def gpu_pod(tmp_path_factory):
    """What the plugin asks of Kubernetes for a job with a GPU."""
    volume = tmp_path_factory.mktemp("volume")
    project, pods = volume / "project", volume / "pods"
    pods.mkdir()
    profile_for(project, volume)
    write_gpu_jobs(project)
    with KubernetesStandIn(pods, run=False, path="") as cluster:
        result = snakemake(project, cluster, "--jobs", "1", "a.txt")
        assert cluster.jobs, result.stdout + result.stderr
        (job,) = cluster.jobs.values()
    return job["spec"]["template"]["spec"], volume


def test_a_gpu_is_requested_and_limited(gpu_pod):
    pod, _ = gpu_pod
    resources = pod["containers"][0]["resources"]
    assert resources["requests"]["nvidia.com/gpu"] == resources["limits"]["nvidia.com/gpu"] == "1"
    assert pod["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Equal", "value": "present", "effect": "NoSchedule"}
    ]


def test_memory_and_cpus_are_the_rules(gpu_pod):
    pod, _ = gpu_pod
    resources = pod["containers"][0]["resources"]
    assert resources["requests"]["memory"] == resources["limits"]["memory"] == "500M"
    assert resources["requests"]["cpu"] == "950m"
    assert resources["limits"]["cpu"] == "1000m"


def test_the_volume_and_the_image_are_the_profiles(gpu_pod):
    pod, volume = gpu_pod
    container = pod["containers"][0]
    assert {"name": "seamark", "mountPath": str(volume)} in container["volumeMounts"]
    assert {"name": "seamark", "persistentVolumeClaim": {"claimName": "seamark"}} in pod["volumes"]
    assert container["image"] == yaml.safe_load((ROOT / PROFILE).read_text())["container-image"]
    assert container["args"][1].startswith(f"ln -s {volume}/project/src")


@pytest.mark.slow
def test_the_pods_commands_give_the_bytes_of_a_local_run(tmp_path):
    local, project = Project.fresh(tmp_path / "local"), Project.fresh(tmp_path / "project")
    data = {"categories": ["bolt"], "splits": ["validation"], "root": str(tmp_path / "local" / "photographs")}
    for copy in (local, project):
        copy.configure({"data": data | {"truth_root": str(tmp_path / "local" / "truth")}})
    for folder in ("project/data", "project/.snakemake/storage", "pods", "bin"):
        (tmp_path / folder).mkdir(parents=True)
    profile_for(project.folder, tmp_path)
    pip = tmp_path / "bin" / "pip"  # pods install the storage's plugin, which is there already
    pip.write_text("#!/bin/sh\n")
    pip.chmod(0o755)
    with KubernetesStandIn(tmp_path / "pods", True, inside_pods(pip.parent, Path(sys.executable).parent)) as cluster:
        result = snakemake(
            project.folder,
            cluster,
            *("--resources", "gpu=0", "--seconds-between-status-checks", "1", "--configfile", "tiny.yaml"),
            *("--", "masks"),
        )
    assert result.returncode == 0, result.stdout + result.stderr
    local.snakemake("masks")
    made = tmp_path / "project" / ".snakemake" / "storage" / "fs" / str(tmp_path).lstrip("/") / "results"
    masks = {path.relative_to(local.folder): path.read_bytes() for path in local.out.rglob("70_refined/**/*.*")}
    masks = {path: content for path, content in masks.items() if not path.name.endswith(".prov.json")}
    assert len(masks) == 3
    assert {path: (made / path).read_bytes() for path in masks} == masks
