"""The rules of the shelf: what a bookseller would not put side by side."""
