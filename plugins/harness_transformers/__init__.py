"""Transformer students: any Hugging Face encoder checkpoint, or one built from dimensions."""
