"""What finished runs say: errors, paired comparisons with intervals, easy and hard images.

In: study folders. Out: finished runs, comparisons, verdicts, sentences. Needs no TensorFlow. Start
with `study_folder.py` (`read_study`), then `statistics.py` (`compare`).
"""
