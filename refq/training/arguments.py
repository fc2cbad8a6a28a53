"""The arguments of the training functions, each by its rule. Both packages call these, so their errors cannot diverge."""
