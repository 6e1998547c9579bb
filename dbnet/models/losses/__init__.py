from dbnet.models.losses.db_loss import DBLoss

__all__ = ["DBLoss"]
