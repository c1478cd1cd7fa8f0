"""`python -m kvae` is `kvae`."""

from kvae.cli.start import main

main()
