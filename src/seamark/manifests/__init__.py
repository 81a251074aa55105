"""Manifests, one file per stage: what a stage wrote, in a form that is the same for the same pixels."""
