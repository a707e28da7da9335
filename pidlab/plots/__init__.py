"""Tables in, figures out. Nothing here imports torch."""
