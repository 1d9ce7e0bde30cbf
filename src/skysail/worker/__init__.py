"""A worker process: one model version, batches of raw rows in, a status and a text for each row out."""
