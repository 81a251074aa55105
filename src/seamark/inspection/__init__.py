"""Judging new photographs with a trained run: bundles, the Inspector, folders of photographs."""
