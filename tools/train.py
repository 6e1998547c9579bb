import sys

from dbnet.cli.train import main

if __name__ == "__main__":
    sys.exit(main())
