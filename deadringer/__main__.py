"""`python -m deadringer` is the `deadringer` command."""

from deadringer.cli import main

main()
