"""SLURM on this machine: a controller and a node with two CPUs and two GPUs that are only device files."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
DEBIAN_CONFIG = Path("/etc/slurm")
SLURM_CONF = """
ClusterName=seamark
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort={controller_port}
SlurmdPort={node_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=500
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
KillWait=2
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory={memory_mb} Gres=gpu:2 State=UNKNOWN
PartitionName=seamark Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
GRES_CONF = """
AutoDetect=off
Name=gpu File={folder}/nvidia[0-1]
"""


def hindrance() -> str | None:
    """Why no SLURM can be started here, or None; Debian's packages are installed if they are missing."""
    if os.getuid() != 0:
        return "only root can start SLURM's daemons"
    if (DEBIAN_CONFIG / "slurm.conf").exists():
        return f"{DEBIAN_CONFIG}/slurm.conf exists: this machine belongs to a cluster, which is left alone"
    if all(map(shutil.which, ("slurmctld", "slurmd", "sbatch", "munged"))):
        return None
    if shutil.which("apt-get") is None:
        return "SLURM is not installed, and there is no apt-get to install it with"
    quiet = {"capture_output": True, "text": True, "env": os.environ | {"DEBIAN_FRONTEND": "noninteractive"}}
    subprocess.run(["apt-get", "update", "-qq"], check=False, **quiet)
    done = subprocess.run(
        ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *PACKAGES], check=False, **quiet
    )
    return f"SLURM could not be installed: {done.stderr[-300:]}" if done.returncode else None


class Slurm:
    """Controller, node and their key service, run in the foreground and ended with the test.

    Parameters
    ----------
    folder : Path
        For state, logs and keys. The configuration goes where Debian's SLURM looks for it, because Snakemake's plugin
        keeps SLURM_CONF from the steps of its jobs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Slurm":
        try:
            self._bring_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _bring_up(self) -> None:
        self._configure()
        munge = self.folder / "munge"
        self._start("munged", "--foreground", "--force", *(f"--{key}={munge / name}" for key, name in MUNGE_FILES))
        self._until((munge / "socket").exists, "munged")
        self._start("slurmctld", "-D")
        self._start("slurmd", "-D")
        self._until(lambda: self.ask("sinfo", "-h", "-o", "%T") == "idle", "the node")

    def __exit__(self, *_: object) -> None:
        self.ask("scancel", "--full", "--user", "root")
        for _ in range(100):
            if not self.ask("squeue", "-h"):
                break
            time.sleep(0.2)
        for daemon in reversed(self.daemons.values()):
            daemon.terminate()
            try:
                daemon.wait(timeout=20)
            except subprocess.TimeoutExpired:
                daemon.kill()
        for name in ("slurm.conf", "gres.conf"):
            (DEBIAN_CONFIG / name).unlink(missing_ok=True)

    def ask(self, *command: str) -> str:
        """Return what a command of SLURM prints, or nothing if it fails."""
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    def running(self, rule: str) -> str | None:
        """Return the id of a running job of a rule; the plugin writes the rule into the comment."""
        lines = self.ask("squeue", "-h", "-t", "R", "-o", "%i %k").splitlines()
        return next((line.split()[0] for line in lines if f" rule_{rule}" in line), None)

    def wait_for(self, rule: str, snakemake: subprocess.Popen[str]) -> str:
        """Wait until a job of a rule runs and return its id."""
        while (job := self.running(rule)) is None:
            assert snakemake.poll() is None, f"the run ended before a job of {rule} was seen"
            time.sleep(0.2)
        return job

    def processes(self, job: str) -> list[int]:
        """Return the processes of a job."""
        rows = self.ask("scontrol", "listpids", job).splitlines()[1:]
        return [int(row.split()[0]) for row in rows if int(row.split()[0]) > 0]

    def _configure(self) -> None:
        for name in ("munge", "state", "spool"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "munge").chmod(0o700)
        key = self.folder / "munge" / "key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        for index in (0, 1):
            os.mknod(self.folder / f"nvidia{index}", 0o20666, os.makedev(1, 3))
        facts = {
            "folder": self.folder,
            "host": socket.gethostname().split(".")[0],
            "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
            "controller_port": _free_port(),
            "node_port": _free_port(),
        }
        (DEBIAN_CONFIG / "slurm.conf").write_text(SLURM_CONF.format(**facts))
        (DEBIAN_CONFIG / "gres.conf").write_text(GRES_CONF.format(**facts))

    def _start(self, name: str, *arguments: str) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            self.daemons[name] = subprocess.Popen([name, *arguments], stdout=log, stderr=log, start_new_session=True)

    def _until(self, ready, what: str) -> None:
        for _ in range(300):
            if ready():
                return
            time.sleep(0.2)
        logs = "\n".join(path.read_text()[-2000:] for path in self.folder.glob("*.log"))
        raise AssertionError(f"{what} did not come up within a minute:\n{logs}")


MUNGE_FILES = (
    ("key-file", "key"),
    ("socket", "socket"),
    ("pid-file", "pid"),
    ("log-file", "log"),
    ("seed-file", "seed"),
)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
