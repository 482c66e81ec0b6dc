"""The command line: the command `fine2coarse`, shared flags, recipe cards, exit codes.

In: `sys.argv`. Out: recipes, opened datasets, an exit code. Start with `commands.py` for the
installed command, with `program.py` for what each program in `launch/` is started by.
"""
