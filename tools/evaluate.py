import sys

from dbnet.cli.evaluate import main

if __name__ == "__main__":
    sys.exit(main())
