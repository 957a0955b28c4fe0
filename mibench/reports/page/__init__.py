"""A report of results: what it says, and its forms as a page, as Markdown and as LaTeX."""
