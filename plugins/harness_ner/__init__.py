"""Named entities: a bundled plugin with the CoNLL-2003 task and a task for annotated texts of your own."""
