"""Small pictures of what lies in the folders: of images themselves, of a video one frame, of audio its waveform.

The files come from strangers. They are decoded in a process of its own, which is confined before it sees the first
one; what it answers is checked, and kept in a cache of bounded size. The libraries are the extra ``previews``.
"""

from identifai_watch.previews.thumbnails import MISSING, Previews, available
from identifai_watch.previews.webp import MIME, Thumbnail

__all__ = ["MIME", "MISSING", "Previews", "Thumbnail", "available"]
