import sys

from dbnet.cli.publish import main

if __name__ == "__main__":
    sys.exit(main())
