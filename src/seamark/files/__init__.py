"""Reading and writing the bytes of any file."""
