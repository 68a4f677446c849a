"""Pages for people: one layout, one style sheet, plots inside the page; nothing is fetched from anywhere."""
