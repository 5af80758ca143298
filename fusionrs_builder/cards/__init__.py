"""The texts of every card as Jinja templates, and what renders them."""
