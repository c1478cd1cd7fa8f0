"""The web service: every answer against the bundle itself, and everything that does not fit as one line."""

import io
import json

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from tiny import IMAGE_SHAPE, random_images

from kvae.bundle import locate
from kvae.errors import KvaeError
from kvae.runtime import Bundle, scoring
from kvae.serving import Limits, create_app

IMAGES = random_images(5).astype(np.float32)
LIMITS = Limits(max_body=20_000, max_images=8)


def npy(array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def array(response) -> np.ndarray:
    assert response.status_code == 200, response.text
    return np.load(io.BytesIO(response.content))


@pytest.fixture(scope="module")
def bundle(bundle_path):
    return Bundle.open(bundle_path)


@pytest.fixture(scope="module")
def client(bundle):
    with TestClient(create_app(bundle, LIMITS)) as found:
        yield found


@pytest.fixture(scope="module")
def labelled(member_path):
    bundle = Bundle.open(member_path("labelled"))
    with TestClient(create_app(bundle, LIMITS)) as found:
        yield found, bundle


def post(client, path, content, kind="application/x-npy"):
    return client.post(path, content=content, headers={"Content-Type": kind})


def test_samples_are_those_of_the_bundle(client, bundle):
    expected = bundle.sample(4, seed=7)
    found = array(client.get("/v1/sample", params={"n": 4, "seed": 7, "format": "npy"}))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    later = array(client.get("/v1/sample", params={"n": 2, "seed": 7, "start": 2, "format": "npy"}))
    np.testing.assert_allclose(later, expected[2:], atol=1e-6)
    cold = array(client.get("/v1/sample", params={"n": 2, "temperature": 0, "format": "npy"}))
    np.testing.assert_allclose(cold, bundle.decode(np.zeros((2, 3), np.float32)), atol=1e-6)
    told = client.get("/v1/sample", params={"seed": 7, "format": "json"}).json()["images"]
    np.testing.assert_allclose(told, expected[:1], atol=1e-6)


def test_pictures_are_grey_levels_of_the_means(client, bundle):
    response = client.get("/v1/sample", params={"seed": 7})
    assert response.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(response.content)) as picture:
        np.testing.assert_array_equal(np.asarray(picture), np.rint(bundle.sample(1, seed=7)[0, ..., 0] * 255))


def test_images_are_encoded_reconstructed_and_scored_as_by_the_bundle(client, bundle):
    pixels = (IMAGES > 0.5).astype(np.float32)
    bits = npy((255 * pixels).astype(np.uint8))
    found = post(client, "/v1/encode", bits).json()
    expected = bundle.encode(pixels)
    np.testing.assert_allclose(found["loc"], expected.loc, atol=1e-6)
    np.testing.assert_allclose(found["scale"], expected.scale, atol=1e-6)
    np.testing.assert_allclose(array(post(client, "/v1/encode?format=npz", bits))["loc"], expected.loc, atol=1e-6)
    back = array(post(client, "/v1/reconstruct?format=npy", bits))
    np.testing.assert_allclose(back, bundle.reconstruct(pixels), atol=1e-6)
    score = post(client, "/v1/score", bits).json()
    alone = scoring.score(bundle, pixels, *scoring.recorded_settings(bundle.manifest))
    np.testing.assert_allclose(score["elbo"], alone.elbo, rtol=1e-6)
    np.testing.assert_allclose(np.add(score["rate"], score["distortion"]), -alone.elbo, rtol=1e-6)
    codes = json.dumps({"z": expected.loc.tolist()})
    decoded = array(post(client, "/v1/decode?format=npy", codes, "application/json"))
    np.testing.assert_allclose(decoded, bundle.decode(expected.loc), atol=1e-5)


def test_a_picture_an_array_and_json_are_read_alike(client):
    levels = np.rint(IMAGES[0] * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(levels[..., 0]).save(file, format="PNG")
    bodies = [
        (file.getvalue(), "image/png"),
        (npy(levels), "application/x-npy"),
        (npy(np.asfortranarray(levels[None] / 255)), "application/x-npy; charset=binary"),
        (json.dumps({"images": (levels[None] / 255).tolist()}), "application/json"),
    ]
    found = [post(client, "/v1/encode", *body).json()["loc"] for body in bodies]
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=1e-5)


def test_labels(labelled):
    client, bundle = labelled
    name = bundle.labels[1]
    found = array(client.get("/v1/sample", params={"n": 3, "label": name, "format": "npy"}))
    np.testing.assert_allclose(found, bundle.sample(3, label=name), atol=1e-6)
    drawn = array(client.get("/v1/sample", params={"n": 6, "format": "npy"}))
    np.testing.assert_allclose(drawn, bundle.sample(6), atol=1e-6)
    assert client.get("/v1/model").json()["labels"] == bundle.labels
    for params in ({"label": "no such"}, {"label": "99"}):
        assert client.get("/v1/sample", params=params).status_code == 422
    shape = bundle.manifest.image_shape
    assert post(client, "/v1/encode", npy(np.zeros((1, *shape), np.uint8))).status_code == 422  # without a label


CUT = npy(IMAGES)[:-10]
LYING = npy(IMAGES)[:128].replace(b"(5,", b"(5555555555,") + npy(IMAGES)[128:]
DEEP = b'{"images": ' + b"[" * 5_000 + b"]" * 5_000 + b"}"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "application/x-npy"),
        (b"", ""),
        (CUT, "application/x-npy"),
        (LYING, "application/x-npy"),
        (npy(IMAGES) + b"more", "application/x-npy"),
        (npy(np.array([{}], object)), "application/x-npy"),
        (npy(IMAGES[:0]), "application/x-npy"),
        (npy(np.repeat(IMAGES, 2, axis=0)), "application/x-npy"),  # more than 8
        (npy(IMAGES[:, :-1]), "application/x-npy"),
        (npy(IMAGES + 1), "application/x-npy"),
        (npy(np.full_like(IMAGES, np.nan)), "application/x-npy"),
        (npy(IMAGES.astype(np.int32)), "application/x-npy"),
        (npy(IMAGES.astype(np.complex64)), "application/x-npy"),
        (b"not a picture", "image/png"),
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b'{"images": "text"}', "application/json"),
        (b'{"images": [[1], [1, 2]]}', "application/json"),
        (b'{"images": [null]}', "application/json"),
        (DEEP, "application/json"),
        (npy(IMAGES), "text/plain"),
    ],
)
def test_bodies_that_do_not_fit_are_one_line(client, content, kind):
    response = post(client, "/v1/score", content, kind)
    assert response.status_code == 422
    error = response.json()["error"]
    assert error and "\n" not in error and len(error) < 400


@pytest.mark.parametrize("z", [[], [[1, 2]], [[1, 2, float("inf")]], [[1e39, 0, 0]], [[["a"]]], [[0.0] * 3] * 9])
def test_codes_that_do_not_fit(client, z):
    response = post(client, "/v1/decode", json.dumps({"z": z}), "application/json")
    assert response.status_code == 422 and response.json()["error"]


@pytest.mark.parametrize(
    "params", [{"n": 0}, {"n": 9}, {"n": "x"}, {"seed": -1}, {"seed": 2**64}, {"temperature": "nan"}, {"format": "gif"}]
)
def test_settings_out_of_range(client, params):
    response = client.get("/v1/sample", params=params)
    assert response.status_code == 422 and "\n" not in response.json()["error"]


def test_a_body_that_is_too_large_is_refused_whether_or_not_it_says_so(client):
    large = bytes(LIMITS.max_body + 1)
    assert post(client, "/v1/score", large).status_code == 413
    pieces = (large[first : first + 1000] for first in range(0, len(large), 1000))  # sent in chunks, without a length
    assert post(client, "/v1/score", pieces).status_code == 413
    assert post(client, "/v1/score", npy(IMAGES)).status_code == 200


def test_what_is_not_there(client):
    assert client.get("/v1/other").status_code == 404
    assert client.get("/v1/score").status_code == 405
    assert client.get("/docs").status_code == 404  # FastAPI's page loads scripts from other hosts


def test_it_describes_itself(client):
    assert client.get("/health").json()["status"] == "ok"
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/v1/sample", "/v1/score", "/v1/encode", "/v1/decode", "/v1/reconstruct"} <= set(paths)
    assert client.get("/v1/model").json()["image_shape"] == list(IMAGE_SHAPE)


def test_metrics_count_requests_and_rows(bundle):
    with TestClient(create_app(bundle, LIMITS)) as client:
        client.get("/v1/sample?n=3")
        client.get("/v1/sample?n=0")
        client.get("/v1/made-up")
        text = client.get("/metrics").text
    assert 'kvae_requests_total{path="/v1/sample",status="200"} 1.0' in text
    assert 'kvae_requests_total{path="/v1/sample",status="422"} 1.0' in text
    assert "kvae_batch_rows_sum 3.0" in text
    assert "made-up" not in text


def test_a_client_that_asks_too_often_is_told_so(bundle):
    with TestClient(create_app(bundle, LIMITS._replace(rate="2/hour"))) as client:
        assert [client.get("/v1/sample").status_code for _ in range(3)] == [200, 200, 429]
        assert client.get("/health").status_code == 200
    for rate in ("often", "0/second", "1/second;5/hour"):
        with pytest.raises(KvaeError, match="rate"):
            create_app(bundle, LIMITS._replace(rate=rate))


def test_only_named_hosts_are_answered(bundle):
    with TestClient(create_app(bundle, LIMITS, ["localhost"]), base_url="http://localhost") as client:
        assert client.get("/health").status_code == 200
        assert client.get("/health", headers={"Host": "evil.example"}).status_code == 400


def test_a_bundle_without_statistics_scores_without_percentiles(client, bundle):
    assert bundle.manifest.scoring is None
    assert post(client, "/v1/score", npy(IMAGES)).json()["percentile"] == [None] * 5


def test_percentiles_are_those_of_the_training_images():
    bundle = Bundle.open(locate.shipped()["fashion_mnist_small"])
    images = np.random.default_rng(0).integers(0, 256, (2, 28, 28, 1), np.uint8)
    with TestClient(create_app(bundle)) as client:
        found = post(client, "/v1/score", npy(images)).json()
    np.testing.assert_allclose(found["percentile"], scoring.percentile(bundle.manifest, np.array(found["elbo"])))
