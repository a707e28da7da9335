"""`python -m pidlab`: the command line."""

from pidlab.cli import main

if __name__ == "__main__":
    main()
