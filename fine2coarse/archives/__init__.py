"""Files inside archives and folders, read without unpacking.

In: a .tar (plain or compressed), a .zip or a folder, damaged ones too. Out: entries (names, sizes)
and their bytes, in stored order; damage is reported, never skipped silently. Start
with `archives.py`.
"""
