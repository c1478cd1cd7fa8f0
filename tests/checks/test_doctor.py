"""`kvae doctor` on installations that work and on broken ones."""

import json
import subprocess
import sys

import onnxruntime
import pytest
from click.testing import CliRunner

from kvae import __version__
from kvae.bundle import locate
from kvae.checks import doctor, requirements
from kvae.checks.providers import FAILS, WORKS, Provider
from kvae.cli.checks import doctor as command
from kvae.data import named
from kvae.machine import extras


@pytest.fixture
def installed(monkeypatch):
    """Pretends that distributions are installed in other versions, or not at all (None)."""

    def pretend(**versions):
        known = requirements.installed
        versions = {name.replace("_", "-"): version for name, version in versions.items()}
        monkeypatch.setattr(requirements, "installed", lambda name: versions[name] if name in versions else known(name))

    return pretend


@pytest.fixture(autouse=True)
def downloads(monkeypatch):
    """No data set is missing, unless a test restores the function that says so, which this returns."""
    known = doctor._downloads
    monkeypatch.setattr(doctor, "_downloads", list)
    return known


def commands(diagnosis):
    return [line for advice in diagnosis.advice for line in advice.commands]


def test_this_installation_samples_and_trains():
    diagnosis = doctor.examine()
    assert diagnosis.healthy
    assert diagnosis.can_train
    assert diagnosis.wheels == {"onnxruntime": onnxruntime.__version__}
    assert diagnosis.kvae == __version__
    assert {package.name for package in diagnosis.packages} >= {"click", "numpy", "pillow", "keras", "tensorflow"}
    assert commands(diagnosis) == ["pip uninstall -y onnxruntime", extras.command("gpu")]


@pytest.mark.parametrize(
    ("package", "extra", "row"), [("constriction", "compress", "compressing"), ("ray", "ray", "many machines")]
)
def test_each_extra_that_is_missing_has_a_row_and_a_command(installed, package, extra, row):
    installed(**{package: None})
    diagnosis = doctor.examine()
    assert diagnosis.healthy and not diagnosis.has(extra)
    rows = dict(diagnosis.rows)
    assert rows[row] == "not ready" and rows[f"  {package}"].startswith("not installed")
    assert commands(diagnosis)[-1] == extras.command(extra)


def test_a_data_set_that_is_missing_has_a_command_if_training_works(monkeypatch, tmp_path, downloads, installed):
    monkeypatch.setattr(doctor, "_downloads", downloads)
    monkeypatch.setenv("KVAE_CACHE_DIR", str(tmp_path))
    assert "kvae train --dataset mnist" in commands(doctor.examine())
    monkeypatch.setattr(doctor.datasets, "where", lambda name: tmp_path)
    assert not any("--dataset" in line for line in commands(doctor.examine()))
    monkeypatch.setattr(doctor.datasets, "where", lambda name: None)
    installed(keras=None)
    assert not any("--dataset" in line for line in commands(doctor.examine()))


def test_two_wheels_are_a_clash_with_the_commands_that_fix_it(installed):
    installed(onnxruntime_gpu="1.31.0")
    diagnosis = doctor.examine()
    assert diagnosis.clash
    assert diagnosis.can_sample
    assert not diagnosis.healthy
    assert commands(diagnosis) == [
        "pip uninstall -y onnxruntime onnxruntime-gpu", extras.command("cpu"),
        "pip uninstall -y onnxruntime onnxruntime-gpu", extras.command("gpu"),
    ]  # fmt: skip


def test_without_onnxruntime_there_is_a_table_and_a_command(installed, monkeypatch):
    installed(onnxruntime=None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    diagnosis = doctor.examine()
    assert not diagnosis.healthy
    assert diagnosis.onnxruntime == "not installed"
    assert commands(diagnosis) == [extras.command("cpu"), extras.command("gpu")]


def test_an_onnxruntime_damaged_by_another_wheel_s_removal_is_broken(installed, monkeypatch):
    """Uninstalling one of two wheels leaves a module without its contents."""
    monkeypatch.delattr(onnxruntime, "get_available_providers")
    diagnosis = doctor.examine()
    assert not diagnosis.healthy
    assert diagnosis.onnxruntime.startswith("broken: ")
    assert commands(diagnosis)[:2] == ["pip uninstall -y onnxruntime", extras.command("cpu")]


def test_missing_packages_and_wrong_versions_are_named(installed):
    installed(keras="3.14.2", tf2onnx=None)
    diagnosis = doctor.examine()
    assert not diagnosis.can_train
    assert diagnosis.healthy
    rows = dict(diagnosis.rows)
    assert rows["  keras"] == "3.14.2; needs >=3.15,<3.16"
    assert rows["  tf2onnx"] == "not installed; needs >=1.17,<2"
    assert rows["training"] == "not ready"
    assert commands(diagnosis)[-1] == extras.command("train")


def test_an_onnxruntime_that_is_too_old_is_reported(installed):
    installed(onnxruntime="1.19.0")
    assert dict(doctor.examine().rows)["  onnxruntime"] == "1.19.0; needs >=1.20"


def test_a_base_package_of_the_wrong_version_is_fixed_first(installed):
    installed(numpy="1.25.0")
    assert commands(doctor.examine())[0] == extras.command()


def test_cuda_that_does_not_start_leaves_sampling_on_the_cpu(installed, monkeypatch):
    installed(onnxruntime=None, onnxruntime_gpu="1.31.0")
    tried = [
        Provider("CPUExecutionProvider", WORKS, "works"), Provider("CUDAExecutionProvider", FAILS, "does not start: x")
    ]  # fmt: skip
    monkeypatch.setattr(doctor.providers, "try_all", lambda module, graph: tried)
    diagnosis = doctor.examine()
    assert diagnosis.healthy
    assert dict(diagnosis.rows)["  CUDAExecutionProvider"] == "does not start: x"
    assert commands(diagnosis) == []


def test_without_a_working_provider_there_is_no_sampling(monkeypatch):
    failing = [Provider("CPUExecutionProvider", FAILS, "fails: x")]
    monkeypatch.setattr(doctor.providers, "try_all", lambda module, graph: failing)
    assert not doctor.examine().healthy


def test_without_a_shipped_bundle_no_provider_is_tried(monkeypatch):
    monkeypatch.setattr(locate, "shipped", dict)
    diagnosis = doctor.examine()
    assert not diagnosis.healthy
    assert "shipped bundle is missing" in diagnosis.onnxruntime


def test_data_sets_are_found_if_all_their_files_are_there(monkeypatch, tmp_path):
    monkeypatch.setenv("KVAE_CACHE_DIR", str(tmp_path / "cache"))
    diagnosis = doctor.examine()
    assert diagnosis.cache == f"{tmp_path / 'cache'} (not there yet)"
    assert diagnosis.data_sets["mnist"] is None
    assert diagnosis.data_sets["fashion_mnist_mini"].endswith("fashion_mnist_mini")
    folder = tmp_path / "cache" / "mnist"
    folder.mkdir(parents=True)
    files = named.get("mnist").files
    for file in files[:3]:
        (folder / f"{file.name}.gz").touch()
    assert doctor.examine().data_sets["mnist"] is None
    (folder / f"{files[3].name}").touch()
    assert doctor.examine().data_sets["mnist"] == str(folder)


def test_the_command_prints_a_table_and_exits_0():
    result = CliRunner().invoke(command, [], catch_exceptions=False)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"kvae {'':<20}{__version__}, ")
    assert "sampling                 works" in lines


def test_the_command_exits_1_for_a_clash_with_its_commands(installed):
    installed(onnxruntime_gpu="1.31.0")
    result = CliRunner().invoke(command, [], catch_exceptions=False)
    assert result.exit_code == 1
    assert f"\n    pip uninstall -y onnxruntime onnxruntime-gpu\n    {extras.command('cpu')}\n" in result.stdout


def test_the_command_s_json_is_one_object():
    result = CliRunner().invoke(command, ["--json"], catch_exceptions=False)
    report = json.loads(result.stdout)
    assert (report["healthy"], report["can_sample"], report["can_train"], report["clash"]) == (True, True, True, False)
    assert report["providers"][0]["name"] == "CPUExecutionProvider"


def test_it_needs_only_the_base_install_and_does_not_import_tensorflow(tmp_path):
    """In a process that can import nothing else, as in an environment with the base install."""
    code = (
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        top = name.partition('.')[0]\n"
        "        if top in ('onnxruntime', 'onnx', 'tensorflow', 'keras', 'tf2onnx', 'matplotlib'):\n"
        "            raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "from kvae.cli.checks import doctor\n"
        "doctor([])"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == ""
    assert "onnxruntime            not installed" in done.stdout
    assert extras.command("cpu") in done.stdout


def test_the_threads_are_those_that_kvae_uses(monkeypatch):
    monkeypatch.setenv("KVAE_THREADS", "5")
    diagnosis = doctor.examine()
    assert diagnosis.threads == 5
    assert dict(diagnosis.rows)["threads"].startswith("5 ")


def test_a_bad_number_of_threads_is_a_row_of_the_whole_report(monkeypatch):
    monkeypatch.setenv("KVAE_THREADS", "abc")
    done = CliRunner().invoke(command, [])
    assert (done.exit_code, done.stderr) == (1, "")
    table = " ".join(done.stdout.split())
    assert "threads KVAE_THREADS must be an integer from 1 to 1024; got 'abc'." in table
    assert "sampling works" in table and "data sets" in table
    diagnosis = doctor.examine()
    assert not diagnosis.healthy and diagnosis.can_sample
    assert diagnosis.to_dict()["threads"] == 0


def test_on_a_python_without_tensorflow_the_advice_is_another_python(monkeypatch):
    """None of the train extra's requirements is for that Python."""
    found = [wanted for wanted in requirements.of() if wanted.extra != "train"]
    monkeypatch.setattr(requirements, "of", lambda: found)
    monkeypatch.setattr(extras, "LAST_PYTHON", (3, 10))
    diagnosis = doctor.examine()
    assert not diagnosis.can_train
    assert diagnosis.healthy
    assert "To train: no TensorFlow has been released for Python 3." in diagnosis.advice[-1].purpose
    assert diagnosis.advice[-1].commands == []
