"""What the command-line programs share: flags, recipe cards, errors told in one line, exit codes.

In: `sys.argv`. Out: recipes, opened datasets, an exit code. Start with `program.py`.
"""
