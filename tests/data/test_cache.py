"""Where the cache is."""

from kvae.data.cache import cache_dir


def test_the_cache_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("KVAE_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "kvae"
    monkeypatch.setenv("KVAE_CACHE_DIR", str(tmp_path / "own"))
    assert cache_dir() == tmp_path / "own"
