import sys

from dbnet.cli.browse import main

if __name__ == "__main__":
    sys.exit(main())
