"""A small world in plain English: endless stories that keep its rules, and questions about combinations no story has.

dice.py draws, words.py holds who and what there is, rules.py what follows from what, episodes.py and lessons.py tell
one thing that happens, stories.py joins them, items.py asks. Standard library alone; the same text everywhere.
"""
