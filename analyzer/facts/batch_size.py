"""How many samples a run takes at a time."""

BATCH_SIZE = 8  # unless the caller says otherwise, and where the model takes batches
