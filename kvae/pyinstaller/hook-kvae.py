"""The shipped bundles and pages, and the modules that are imported by a name in a table (`kvae.families`)."""

from PyInstaller.utils.hooks import collect_data_files, collect_submodules, copy_metadata

datas = collect_data_files("kvae") + collect_data_files("kvae.exported") + copy_metadata("kvae-onnx")
hiddenimports = ["kvae.exported", *collect_submodules("kvae.likelihoods"), *collect_submodules("kvae.data.named")]
