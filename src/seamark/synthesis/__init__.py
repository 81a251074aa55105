"""Synthetic anomalies for training: masks, textures, noise and where on a tile they may lie.

All of it works on 8-bit tiles with NumPy and OpenCV alone, so it can run in the threads that read tiles ahead. Every
choice comes from the generator that the caller gives, for example :meth:`seamark.batches.Batch.random` of a purpose and
a place; so a sample depends on seed, phase, step and place, and neither on its batch nor on the number of threads.
"""
