"""A stand-in for a cluster's API server: it keeps what it is sent, and runs each pod's command on this machine."""

import json
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class KubernetesStandIn:
    """Takes jobs and secrets as Kubernetes does, without images, nodes or quotas: pods are processes of this machine.

    Parameters
    ----------
    folder : Path
        Every pod gets an empty folder in it, as the plugin's pods do.
    run : bool
        Whether pods run; otherwise all of them fail at once.
    path : str
        PATH inside the pods.
    """

    def __init__(self, folder: Path, run: bool, path: str) -> None:
        self.folder, self.run, self.path = folder, run, path
        self.jobs: dict[str, dict[str, Any]] = {}
        self.status: dict[str, dict[str, int]] = {}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    def __enter__(self) -> "KubernetesStandIn":
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def kubeconfig(self) -> Path:
        """Write the file that leads a client here."""
        cluster = {"name": "here", "cluster": {"server": f"http://127.0.0.1:{self.server.server_port}"}}
        context = {"name": "here", "context": {"cluster": "here", "user": "nobody"}}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [cluster],
            "contexts": [context],
            "users": [{"name": "nobody", "user": {}}],
            "current-context": "here",
        }
        path = self.folder / "kubeconfig"
        path.write_text(json.dumps(config))
        return path

    def create(self, job: dict[str, Any]) -> None:
        """Keep a job and run its pod to the end."""
        name = job["metadata"]["name"]
        self.jobs[name] = job
        self.status[name] = {"active": 1}
        threading.Thread(target=self._run_pod, args=(name,), daemon=True).start()

    def _run_pod(self, name: str) -> None:
        (container,) = self.jobs[name]["spec"]["template"]["spec"]["containers"]
        code = 1
        if self.run:
            workdir = self.folder / name
            workdir.mkdir()
            environment = {"PATH": self.path, "HOME": str(workdir), "OMP_NUM_THREADS": "1"}
            with (self.folder / f"{name}.log").open("wb") as log:
                command = [*container["command"], *container["args"]]
                code = subprocess.run(
                    command, cwd=workdir, env=environment, stdout=log, stderr=log, check=False
                ).returncode
        self.status[name] = {"failed": 1} if code else {"succeeded": 1}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self, body: dict[str, Any]) -> None:
                data = json.dumps(body).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path.endswith("/jobs"):
                    stand_in.create(body)
                self.answer(body)

            def do_GET(self) -> None:
                if self.path.endswith("/status"):
                    name = self.path.split("/")[-2]
                    self.answer(stand_in.jobs[name] | {"status": stand_in.status[name]})
                else:
                    self.answer({"kind": "PodList", "apiVersion": "v1", "items": []})

            def do_DELETE(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.answer({"kind": "Status", "apiVersion": "v1", "status": "Success"})

            def log_message(self, *_: object) -> None:
                """Say nothing: the run under test prints enough."""

        return Handler


def inside_pods(*folders: Path) -> str:
    """PATH of the pods: these folders first, then this machine's."""
    return os.pathsep.join([*map(str, folders), os.environ["PATH"]])
