"""Watch drop folders and have every new image, video and audio file judged by identifAI."""

__version__ = "0.1.0"
