# Seamark and its pinned dependencies, for `docker run`, Kubernetes and, as seamark.sif, Apptainer (docs/as_a_module.md).
FROM python:3.11-slim
RUN apt-get update && apt-get install --yes --no-install-recommends git rsync && rm -rf /var/lib/apt/lists/*
COPY . /seamark
RUN pip install --no-cache-dir --constraint /seamark/constraints.txt \
    --extra-index-url https://download.pytorch.org/whl/cpu "/seamark[kubernetes]" && rm -rf /seamark
WORKDIR /work
CMD ["seamark", "--help"]
