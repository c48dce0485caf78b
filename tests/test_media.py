"""What is sent, under which name, and what is not: the table of formats."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identifai_watch.core import media
from identifai_watch.core.media import FORMATS, Leave, Policy, Reject, Send
from identifai_watch.core.model import Media

LIMITS = {Media.IMAGE: 50_000_000, Media.VIDEO: 5_000_000_000, Media.AUDIO: 15_000_000}


def policy(
    *,
    kinds: frozenset[Media] = frozenset(Media),
    mp4_as: Media = Media.VIDEO,
    min_bytes: int = 0,
    reject_unsupported: bool = False,
) -> Policy:
    """A folder's policy, as by default but for what is named."""
    return Policy(
        kinds=kinds, mp4_as=mp4_as, limits=LIMITS, min_bytes=min_bytes, reject_unsupported=reject_unsupported
    )


SENT = [
    ("a.jpg", "jpeg", Media.IMAGE, "image/jpeg"),
    ("a.JPEG", "jpeg", Media.IMAGE, "image/jpeg"),
    ("a.png", "png", Media.IMAGE, "image/png"),
    ("a.gif", "gif", Media.IMAGE, "image/gif"),
    ("a.webp", "webp", Media.IMAGE, "image/webp"),
    ("a.tif", "tiff", Media.IMAGE, "image/tiff"),
    ("a.tiff", "tiff", Media.IMAGE, "image/tiff"),
    ("a.mp4", "mp4", Media.VIDEO, "video/mp4"),
    ("a.3gp", "3gp", Media.VIDEO, "video/3gpp"),
    ("a.m4v", "m4v", Media.VIDEO, "video/x-m4v"),
    ("a.mov", "mov", Media.VIDEO, "video/quicktime"),
    ("a.webm", "webm", Media.VIDEO, "video/webm"),
    ("a.mkv", "mkv", Media.VIDEO, "video/x-matroska"),
    ("a.avi", "avi", Media.VIDEO, "video/x-msvideo"),
    ("a.mpg", "mpeg", Media.VIDEO, "video/mpeg"),
    ("a.ts", "mpegts", Media.VIDEO, "video/mp2t"),
    ("a.mxf", "mxf", Media.VIDEO, "video/mxf"),
    ("a.wmv", "wmv", Media.VIDEO, "video/x-ms-wmv"),
    ("a.flv", "flv", Media.VIDEO, "video/x-flv"),
    ("a.ogv", "ogv", Media.VIDEO, "video/ogg"),
    ("a.mp3", "mp3", Media.AUDIO, "audio/mpeg"),
    ("a.wav", "wav", Media.AUDIO, "audio/wav"),
    ("a.ogg", "ogg", Media.AUDIO, "audio/ogg"),
    ("a.flac", "flac", Media.AUDIO, "audio/flac"),
    ("a.aac", "aac", Media.AUDIO, "audio/aac"),
    ("a.m4a", "m4a", Media.AUDIO, "audio/m4a"),
    ("a.m4b", "m4b", Media.AUDIO, "audio/m4b"),
    ("a.m4p", "m4p", Media.AUDIO, "audio/m4p"),
    ("a.m4r", "m4r", Media.AUDIO, "audio/m4r"),
]


@pytest.mark.parametrize(("name", "sniffed", "kind", "mime"), SENT)
def test_each_taken_format_is_sent_under_its_documented_name(
    name: str, sniffed: str, kind: Media, mime: str
) -> None:
    """The vendor's MIME names, not Python's (api-notes 24)."""
    assert Send(media=kind, mime=mime) == media.judge(name.encode(), sniffed, 1000, policy())


def test_every_format_that_is_taken_has_a_row_here() -> None:
    """The table above and FORMATS agree."""
    assert {sniffed for _, sniffed, _, _ in SENT} | {"dv"} == {
        name for name, form in FORMATS.items() if form.mime
    }


@pytest.mark.parametrize(
    ("name", "sniffed", "mime"),
    [("a.mp4", "mp4", "video/mp4"), ("a.3gp", "3gp", "audio/3gp")],
)
def test_mp4_and_3gp_are_audio_where_the_folder_says_so(name: str, sniffed: str, mime: str) -> None:
    """Both are legal as either (api-notes 23)."""
    assert Send(media=Media.AUDIO, mime=mime) == media.judge(
        name.encode(), sniffed, 1, policy(mp4_as=Media.AUDIO)
    )


@pytest.mark.parametrize(
    ("name", "sniffed", "mime"),
    [
        ("photo.jpg", "png", "image/png"),
        ("song.jpg", "mp3", "audio/mpeg"),
        ("clip.mp4", "mov", "video/quicktime"),
        ("clip.mp4", "m4a", "audio/m4a"),
        ("no extension", "jpeg", "image/jpeg"),
        ("odd.xyz", "webm", "video/webm"),
        ("odd.txt", "gif", "image/gif"),
    ],
)
def test_the_bytes_win_over_the_extension(name: str, sniffed: str, mime: str) -> None:
    """A PNG named .jpg is sent as image/png."""
    found = media.judge(name.encode(), sniffed, 1000, policy())
    assert isinstance(found, Send)
    assert mime == found.mime


@pytest.mark.parametrize(
    ("name", "sniffed", "mime"),
    [
        ("a.m4a", "mp4", "audio/m4a"),
        ("a.m4v", "mp4", "video/x-m4v"),
        ("a.m4r", "m4a", "audio/m4r"),
        ("a.m4b", "mp4", "audio/m4b"),
        ("a.3gp", "mp4", "video/3gpp"),
    ],
)
def test_the_name_chooses_where_the_bytes_are_the_same(name: str, sniffed: str, mime: str) -> None:
    """Many programs write the brand "isom" into all of the MP4 family."""
    found = media.judge(name.encode(), sniffed, 1000, policy())
    assert isinstance(found, Send)
    assert mime == found.mime


@pytest.mark.parametrize("extension", ["cr2", "CR3", "nef", "arw", "dng", "raf", "rw2", "orf", "pef"])
@pytest.mark.parametrize("sniffed", ["tiff", "mp4", "jpeg", None])
def test_camera_raw_is_known_by_its_extension_and_never_sent(extension: str, sniffed: str | None) -> None:
    """From inside it looks like TIFF or MP4."""
    expected = Leave(reason=f"camera raw ({extension.upper()}) is not taken by identifAI", media=Media.IMAGE)
    assert expected == media.judge(f"IMG_1.{extension}".encode(), sniffed, 1000, policy())


@pytest.mark.parametrize("sniffed", ["heic", "avif", "bmp", "wma", "cr2", "cr3", "aiff", "psd", "jxl", "amr"])
def test_what_is_not_taken_is_left_or_rejected_as_the_folder_says(sniffed: str) -> None:
    """``unsupported`` decides, and both say the same reason."""
    left = media.judge(b"a", sniffed, 1000, policy())
    rejected = media.judge(b"a", sniffed, 1000, policy(reject_unsupported=True))
    reason = f"{FORMATS[sniffed].label} is not taken by identifAI"
    assert Leave(reason=reason, media=FORMATS[sniffed].media) == left
    assert Reject(reason=reason, media=FORMATS[sniffed].media) == rejected


@pytest.mark.parametrize(
    ("name", "sniffed", "reason"),
    [
        ("a.txt", "text", "no media: text/plain"),
        ("fake.jpg", "html", "no media: text/html"),
        ("a.pdf", "pdf", "no media: application/pdf"),
        ("fake.jpg", None, "no media: its first bytes are of no known format"),
        ("a.ts", "text", "no media: text/plain"),
        ("a", None, "no media: its first bytes are of no known format"),
    ],
)
def test_what_is_no_media_is_left_alone(name: str, sniffed: str | None, reason: str) -> None:
    """It is never rejected, whatever the folder says of unsupported media."""
    expected = Leave(reason=reason, media=None)
    assert expected == media.judge(name.encode(), sniffed, 1000, policy(reject_unsupported=True))


@pytest.mark.parametrize(
    ("name", "mime"), [("a.mp3", "audio/mpeg"), ("a.m2v", "video/mpeg"), ("a.dv", "video/dv")]
)
def test_the_name_is_believed_where_a_format_has_no_mark(name: str, mime: str) -> None:
    """An MP3 may begin with anything."""
    found = media.judge(name.encode(), None, 1000, policy())
    assert isinstance(found, Send)
    assert mime == found.mime


@pytest.mark.parametrize(
    ("sniffed", "size", "reason"),
    [
        ("mp3", 16_000_000, "over the local limit of 15,000,000 bytes for audio (it has 16,000,000)"),
        ("jpeg", 50_000_001, "over the local limit of 50,000,000 bytes for image (it has 50,000,001)"),
        (
            "mp4",
            5_000_000_001,
            "over the local limit of 5,000,000,000 bytes for video (it has 5,000,000,001)",
        ),
    ],
)
def test_what_is_over_the_limit_is_rejected_always(sniffed: str, size: int, reason: str) -> None:
    """The reason says that the limit is ours (api-notes 1); limits are decimal (api-notes 2)."""
    kind = FORMATS[sniffed].media
    assert Reject(reason=reason, media=kind) == media.judge(b"a", sniffed, size, policy())
    assert kind is not None
    assert isinstance(media.judge(b"a", sniffed, LIMITS[kind], policy()), Send)


def test_a_kind_that_the_folder_does_not_judge_is_left() -> None:
    """``media = ["image"]`` leaves a video, and even an unsupported one."""
    only = policy(kinds=frozenset({Media.IMAGE}), reject_unsupported=True)
    assert Leave(reason="videos are not judged in this folder", media=Media.VIDEO) == media.judge(
        b"a", "mp4", 9, only
    )
    assert Leave(reason="audio is not judged in this folder", media=Media.AUDIO) == media.judge(
        b"a", "wma", 9, only
    )


def test_a_small_file_is_left() -> None:
    """``min_bytes`` keeps thumbnails out."""
    expected = Leave(reason="smaller than min_bytes (9 of 10)", media=Media.IMAGE)
    assert expected == media.judge(b"a.png", "png", 9, policy(min_bytes=10))
    assert isinstance(media.judge(b"a.png", "png", 10, policy(min_bytes=10)), Send)


def test_an_empty_file_is_left() -> None:
    """Whatever its name says, there is nothing to judge."""
    assert Leave(reason="it is empty", media=Media.VIDEO) == media.judge(b"a.mp4", None, 0, policy())


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (b"a.jpg", Media.IMAGE),
        (b"a.CR2", Media.IMAGE),
        (b"a.mp4", Media.VIDEO),
        (b"a.wma", Media.AUDIO),
        (b"a.txt", None),
        (b"jpg", None),
        (b".jpg", None),
        (b"a.jp\xe9", None),
        (b"", None),
    ],
)
def test_the_name_alone_tells_the_kind(name: bytes, kind: Media | None) -> None:
    """An archive is held without opening its files; unsupported media counts too."""
    assert kind == media.by_name(name)


def test_no_extension_stands_for_two_formats() -> None:
    """The look-up by name is a function."""
    extensions = [extension for form in FORMATS.values() for extension in form.extensions]
    assert sorted(set(extensions)) == sorted(extensions)


@given(
    st.binary(max_size=40), st.sampled_from([None, *FORMATS]), st.integers(min_value=0, max_value=6 * 10**9)
)
def test_every_file_gets_an_answer_and_only_taken_formats_are_sent(
    name: bytes, sniffed: str | None, size: int
) -> None:
    """Nothing raises, and what is sent is within its limit under a documented name."""
    found = media.judge(name, sniffed, size, policy())
    if isinstance(found, Send):
        assert 0 < size <= LIMITS[found.media]
        assert found.mime in {mime for form in FORMATS.values() for mime in (form.mime, form.audio_mime)}
    else:
        assert found.reason
