"""`python -m mlcanary`: the same as the console script."""

from mlcanary.cli.main import main

if __name__ == "__main__":
    main()
