"""How speed, memory and size are obtained. The timer knows nothing of models; nothing here imports one."""
