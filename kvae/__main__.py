"""`python -m kvae` is `kvae`."""

from kvae.cli.main import main

main()
