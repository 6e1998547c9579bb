import sys

from dbnet.cli.test import main

if __name__ == "__main__":
    sys.exit(main())
