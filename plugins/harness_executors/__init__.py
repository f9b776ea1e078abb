"""Where stages run: worker processes, or this one."""
