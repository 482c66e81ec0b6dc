"""`python -m fine2coarse` is the command `fine2coarse`."""

from fine2coarse.cli.commands import main

if __name__ == "__main__":
    main()
