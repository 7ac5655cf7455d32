"""What a training and a set of results look like: curves, failures by kind, comparisons, pictures of the data."""
