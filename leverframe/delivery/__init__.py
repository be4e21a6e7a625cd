"""The local delivery: processes of each SHA behind a weighted router, following the overlays in git."""

from leverframe.delivery.serve import serve

__all__ = ["serve"]
