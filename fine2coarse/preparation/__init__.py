"""From image files to checked TFDS records, resumable and by several processes.

In: batches of files with their leaf labels. Out: TFRecord or ArrayRecord shards, `skipped.csv`,
`duplicates.csv`, a report, a fingerprint of the content. Start with `engine.py`.
"""
