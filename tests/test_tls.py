"""The way out: whom the daemon speaks to, through which proxy, and that nothing leaves where that is not certain."""

import base64
import hashlib
import io
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from identifai_watch.api import Api, Upload, wire
from identifai_watch.core.model import Media
from identifai_watch.core.replies import Failure, Matter, Response, matter
from identifai_watch.simulator import Simulator
from tests.harness import KEY, House
from tests.proxying import ConnectProxy

CONTENT = bytes(range(256)) * 2048


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Make an authority that nobody trusts by itself."""
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the authority's certificate, as an operator would name it."""
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def certificate(authority: trustme.CA, place: Path, *names: str) -> Path:
    """Write a certificate for ``names`` with its private key."""
    path = (
        place / f"{names[0]}.pem"
    )  # two servers of one test have two: one may still be starting with its own
    authority.issue_cert(*names).private_key_and_cert_chain_pem.write_to_path(str(path))
    return path


@pytest.fixture
def simulator(authority: trustme.CA, tmp_path: Path) -> Iterator[Simulator]:
    """Run the pretend identifAI behind TLS."""
    with Simulator(certificate=certificate(authority, tmp_path, "127.0.0.1")) as one:
        one.change(key=KEY, credits=7)
        yield one


@pytest.fixture
def reach(simulator: Simulator) -> Iterator[Callable[..., Api]]:  # noqa: ARG001 - closed before that one ends
    """Build Apis and close them afterwards: a TLS connection ends when both ends say so."""
    made: list[Api] = []

    def build(url: str, **changes: object) -> Api:
        made.append(Api(url, lambda: KEY, **changes))  # type: ignore[arg-type]  # the tests' own choice
        return made[-1]

    yield build
    for one in made:
        one.close()


Reach = Callable[..., Api]


def an_upload() -> Upload:
    """Build an upload whose content is what it was."""
    digest = hashlib.sha256(CONTENT).digest()
    return Upload(
        file=io.BytesIO(CONTENT),
        name="a.jpg",
        mime="image/jpeg",
        size=len(CONTENT),
        verify=lambda sent: sent == digest,
    )


# Certificates.


def test_a_certificate_that_nobody_vouches_for(reach: Reach, simulator: Simulator) -> None:
    """It is refused before the key or a byte of the file leaves, and everybody waits."""
    api = reach(simulator.url)
    for answer in (api.credits(), api.submit(Media.IMAGE, an_upload(), {})):
        assert isinstance(answer, Failure)
        assert (False, False, Matter.NETWORK) == (answer.sent, answer.reached, matter(answer))
        assert "CERTIFICATE_VERIFY_FAILED" in answer.reason
    assert 0 == simulator.state.count()


def test_a_certificate_of_another_host(
    reach: Reach, authority: trustme.CA, ca_file: Path, tmp_path: Path
) -> None:
    """A trusted authority is not enough: the name must be that of api.url."""
    with Simulator(certificate=certificate(authority, tmp_path, "backend.identifai.example")) as other:
        answer = reach(other.url, ca_file=str(ca_file)).submit(Media.IMAGE, an_upload(), {})
        assert 0 == other.state.count()
    assert isinstance(answer, Failure)
    assert (False, False) == (answer.sent, answer.reached)
    assert "IP address mismatch" in answer.reason


def test_an_authority_of_the_operator_s_own(reach: Reach, simulator: Simulator, ca_file: Path) -> None:
    """What ca_file vouches for is accepted, and the certificate's end is known."""
    api = reach(simulator.url, ca_file=str(ca_file))
    assert api.certificate_ends is None
    assert isinstance(api.submit(Media.IMAGE, an_upload(), {}), Response)
    assert api.certificate_ends is not None
    assert datetime.now(UTC) < api.certificate_ends
    assert [hashlib.sha256(CONTENT).digest()] == [each.sha256 for each in simulator.state.charged]


# Proxies.


def test_a_proxy_is_a_tunnel(reach: Reach, simulator: Simulator, ca_file: Path) -> None:
    """The proxy is asked for a tunnel to the API, gets its user and password, and sees neither key nor file."""
    basic = "Basic " + base64.b64encode(b"anna:s3cret @").decode()
    with ConnectProxy(authorization=basic) as proxy:
        api = reach(simulator.url, ca_file=str(ca_file), proxy=f"http://anna:s3cret%20%40@{proxy.address}")
        answers = [api.credits(), api.submit(Media.IMAGE, an_upload(), {})]
        assert [200, 200] == [answer.status for answer in answers if isinstance(answer, Response)]
        [head] = proxy.heads
    assert head.startswith(f"CONNECT {simulator.url.removeprefix('https://')} HTTP/1.")
    assert KEY not in head
    assert proxy.is_blind()
    assert len(CONTENT) < len(proxy.tunnelled[0])
    assert KEY.encode() not in proxy.tunnelled[0]
    assert 1 == len(simulator.state.charged)


def test_the_end_of_the_tunnel_is_verified(reach: Reach, simulator: Simulator) -> None:
    """A proxy that shows a certificate of its own gets nothing but the request for a tunnel."""
    with ConnectProxy() as proxy:
        answer = reach(simulator.url, proxy=f"http://{proxy.address}").submit(Media.IMAGE, an_upload(), {})
        assert 1 == len(proxy.heads)
        assert proxy.is_blind()
    assert isinstance(answer, Failure)
    assert (False, False) == (answer.sent, answer.reached)
    assert "CERTIFICATE_VERIFY_FAILED" in answer.reason
    assert 0 == simulator.state.count()


@pytest.mark.parametrize("how", ["idle", "cut"])
@pytest.mark.parametrize("is_tls", [False, True])
def test_a_tunnel_is_made_anew(
    reach: Reach,
    simulator: Simulator,
    authority: trustme.CA,
    ca_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    how: str,
    is_tls: bool,
) -> None:
    """A tunnel that idled, or that is lost while the upload waits for its turn, is asked for again: never in plain."""
    monkeypatch.setattr(wire, "_FRESH_SECONDS", -1.0 if how == "idle" else 60.0)
    context = None
    if is_tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
    with ConnectProxy(tls=context) as proxy:
        departed: list[str] = []

        def depart(method: str) -> None:
            departed.append(method)
            if how == "cut" and method == "POST":
                proxy.cut()
                cut.wait(0.5)  # the end of the connection has to reach us: nothing tells when

        cut = threading.Event()
        address = f"{'https' if is_tls else 'http'}://{proxy.address}"
        api = reach(simulator.url, ca_file=str(ca_file), proxy=address, depart=depart)
        answers = [api.credits(), api.submit(Media.IMAGE, an_upload(), {}), api.credits()]
        assert [200] * 3 == [getattr(answer, "status", answer) for answer in answers]
        assert 2 == len(proxy.heads)
        assert proxy.is_blind()
    assert ["GET", "POST", "GET"] == departed
    assert 1 == len(simulator.state.charged)


def test_an_upload_inside_tls_inside_tls_is_cut(
    reach: Reach, simulator: Simulator, authority: trustme.CA, ca_file: Path
) -> None:
    """A stop cuts an upload at once through a TLS proxy too; it is not completed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with ConnectProxy(tls=context) as proxy:
        api = reach(simulator.url, ca_file=str(ca_file), proxy=f"https://{proxy.address}")

        def verify(_: bytes) -> bool:
            api.abandon()
            return True

        answer = api.submit(Media.IMAGE, replace(an_upload(), verify=verify), {})
    assert isinstance(answer, Failure)
    assert (True, "abandoned: the daemon stops") == (answer.ours, answer.reason)
    assert () == simulator.state.charged


@pytest.mark.parametrize(
    ("user", "words"),
    [("anna:wr0ng@", "Tunnel connection failed: 407"), ("", "Tunnel connection failed: 407")],
)
def test_a_proxy_that_wants_to_know_who_we_are(
    reach: Reach, simulator: Simulator, ca_file: Path, user: str, words: str
) -> None:
    """A password that is refused is the network's matter; it is in no failure and no repr."""
    with ConnectProxy(authorization="Basic something") as proxy:
        api = reach(simulator.url, ca_file=str(ca_file), proxy=f"http://{user}{proxy.address}")
        answer = api.credits()
    assert isinstance(answer, Failure)
    assert (Matter.NETWORK, True) == (matter(answer), words in answer.reason)
    assert "wr0ng" not in f"{answer!r}{api!r}"
    assert 0 == simulator.state.count()


def test_a_proxy_that_is_not_there(reach: Reach, simulator: Simulator, ca_file: Path) -> None:
    """It is named as the proxy, without user and password, and nothing goes around it."""
    answer = reach(simulator.url, ca_file=str(ca_file), proxy="http://anna:s3cret@127.0.0.1:9").credits()
    assert isinstance(answer, Failure)
    assert "cannot connect to the proxy 127.0.0.1:9: connection refused" == answer.reason
    assert 0 == simulator.state.count()


def test_the_environment_changes_nothing(
    reach: Reach, simulator: Simulator, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a proxy nor authorities of the environment have an effect; of .netrc ``test_api`` speaks."""
    with ConnectProxy() as proxy:
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://{proxy.address}")
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            monkeypatch.setenv(name, str(ca_file))
        assert isinstance(reach(simulator.url).credits(), Failure)
        assert 0 == simulator.state.count()
        assert isinstance(reach(simulator.url, ca_file=str(ca_file)).credits(), Response)
        assert [] == proxy.heads
    assert 1 == simulator.state.count()


# The whole of it.


def test_the_daemon_goes_the_configured_way(simulator: Simulator, ca_file: Path, tmp_path: Path) -> None:
    """The settings ca_file and proxy carry a real daemon's uploads; the password of the proxy is in no log."""
    with ConnectProxy() as proxy:
        way = {"ca_file": str(ca_file), "proxy": f"http://anna:s3cret@{proxy.address}"}
        home = House(home=tmp_path, simulator=simulator, api=way)
        with home.process(environ={"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "*"}):
            assert home.sidecar(home.put("sample.png"))["verdict"] is not None
        assert proxy.heads
        assert proxy.is_blind()
    assert 1 == len(simulator.state.charged)
    assert "s3cret" not in home.log.read_text()
