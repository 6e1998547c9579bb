"""`dbnet report`: results on one page, without torch."""
