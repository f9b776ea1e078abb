"""Named entities: a bundled plugin with CoNLL-2003, RuNNE-2022 and RuREBus-2020, and tasks for texts of your own."""
