"""Scripts that are copied beside exported models as `answer.py`; nothing imports them."""
