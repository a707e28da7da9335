"""Result tables: which rows are meant, means over seeds, and how they are written. Nothing here draws."""
