"""What lies on a disk: studies, lone runs, prepared data, exports; and what may be deleted of it.

In: folders. Out: what is in them, how far it is, what it takes; a plan of what to delete. Needs no
TensorFlow. Start with `search.py` (`find_folders`), then `cleaning.py` (`plan_cleaning`).
"""
