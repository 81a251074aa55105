# Seamark and its pinned dependencies, for `docker run`, Kubernetes and, as seamark.sif, Apptainer (docs/as_a_module.md).
FROM python:3.11-slim
# Options of pip, for example where it finds builds of torch for the CPU alone.
ARG PIP_OPTIONS=""
RUN apt-get update && apt-get install --yes --no-install-recommends git rsync && rm -rf /var/lib/apt/lists/*
COPY . /seamark
RUN pip install --no-cache-dir $PIP_OPTIONS --constraint /seamark/constraints.txt "/seamark[kubernetes]" && rm -rf /seamark
WORKDIR /work
CMD ["seamark", "--help"]
