"""Detectors, one per file; :mod:`seamark.registry` is the only place that names them."""
