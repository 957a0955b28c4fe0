"""What is shown: tables, figures, the report and its prose. Nothing here imports torch."""
