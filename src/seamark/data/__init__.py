"""The photographs of a data set: where they lie and what each is."""
