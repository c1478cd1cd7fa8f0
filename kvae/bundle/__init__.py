"""The contract between training and running: manifest, noise, densities, operators, the card.

The package imports nothing itself, so that importing one module loads no other: this keeps start-up fast.
"""
