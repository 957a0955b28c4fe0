"""A report of results: what it says, and its forms as a page, as Markdown and as LaTeX.

`content.py` has what a report is, `parts.py` makes its parts, `methods.py` and `methods.j2` its methods in
words. `page.py` and `texts.py` are the forms. `citations.py` and `templates.py` are helpers.
"""
