"""Straightforward reference code that follows the RoBiS specification to the letter, to compare speeds with."""
