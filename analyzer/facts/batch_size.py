"""How many samples a run takes at a time, and how many are counted for every layer."""

BATCH_SIZE = 8  # unless the caller says otherwise, and where the model takes batches
FULL_SAMPLES = 256  # the same of what every layer counts
