"""Every page for people: data, model, stopped days, with their templates."""
