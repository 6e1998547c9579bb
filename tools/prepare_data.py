import sys

from dbnet.cli.prepare import main

if __name__ == "__main__":
    sys.exit(main())
