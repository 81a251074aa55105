"""Straightforward reference code that follows docs/methods/robis.md to the letter, to compare speeds with."""
