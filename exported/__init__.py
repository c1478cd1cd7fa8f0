"""The bundles that ship with kvae, one folder each; made by `make shipped`, found by `kvae.bundle.locate`."""
