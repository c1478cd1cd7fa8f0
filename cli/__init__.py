"""The command line, installed as `kvae.cli`."""
