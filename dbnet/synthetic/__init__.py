"""Scene-text-like images, drawn by the project itself."""

from dbnet.synthetic.scene import Scene, draw_scene

__all__ = ["Scene", "draw_scene"]
