"""`python -m refq` is the command `refq`."""

from refq.app.main import main

main()
