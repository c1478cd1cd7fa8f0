"""The bundles that ship with kvae, one folder each; made by `make shipped`, read through `kvae.locate`."""
