"""The contract between training and running: manifest, noise, densities, operators, the card.

The face is empty, so that a module alone is loaded: cold start.
"""
