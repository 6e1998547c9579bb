from dbnet.models.postprocessors.db_postprocessor import DBPostprocessor

__all__ = ["DBPostprocessor"]
