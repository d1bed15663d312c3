"""`python -m deadringer` is the `deadringer` command."""

from deadringer.cli import main

if __name__ == "__main__":  # and not when a process of the service looks for its functions
    main()
